"""What a command writes: one JSON document, or text for people. stdout carries results, stderr everything else.

With `--json` stdout holds exactly one document (one a line where a command streams) and nothing else. Rich is
used on a terminal only and imported only then, so that the commands start fast.

Nothing reaches a terminal but through here, and nothing goes through here that could steer one: text is made
`printable`, because names, reasons and log lines may come from another party; JSON is plain ASCII.
"""

from __future__ import annotations

import getpass
import json
import math
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from flow.cli.bars import Bars, drawn_bars
from runtime.errors import PlatformError
from runtime.text import printable

Progress = Callable[[int, int], None]
_INDENT = "    "
SILENT_S = 3.0  # so long may a command say nothing
SAY_EVERY_S = 15.0


@dataclass(frozen=True)
class Screen:
    """Where a command writes.

    Attributes:
        as_json: Whether stdout is for a machine.
    """

    as_json: bool = False

    @property
    def width(self) -> int | None:
        """How many characters a line of the terminal has; None where stdout is none."""
        return shutil.get_terminal_size().columns if sys.stdout.isatty() else None

    def document(self, value: object) -> None:
        """The one JSON document of this command."""
        sys.stdout.write(_ascii_json(value, indent=2) + "\n")

    def record(self, value: object) -> None:
        """One JSON line of a stream, visible at once."""
        sys.stdout.write(_ascii_json(value, indent=None) + "\n")
        sys.stdout.flush()

    def line(self, text: str = "") -> None:
        """One line of a result for people; a line break inside is shown as a character that cannot be."""
        sys.stdout.write(printable(text) + "\n")
        sys.stdout.flush()

    def block(self, text: str) -> None:
        """Text of several lines, such as a traceback: all but the first are set in, so that none passes for ours."""
        first, *more = printable(text, lines=True).rstrip("\n").split("\n")
        sys.stdout.write("\n".join([first, *(_INDENT + line for line in more)]) + "\n")
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """One line beside the result."""
        sys.stderr.write(printable(text) + "\n")
        sys.stderr.flush()

    def result(self, value: object, *lines: str) -> None:
        """The document for a machine, or the lines for a person."""
        if self.as_json:
            self.document(value)
        for text in () if self.as_json else lines:
            self.line(text)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
        """A table for people: drawn on a terminal, aligned and untruncated elsewhere."""
        heads = [printable(column) for column in columns]
        cells = [["" if cell is None else printable(str(cell)) for cell in row] for row in rows]
        if not cells:
            self.line(empty)
        elif sys.stdout.isatty():
            _draw(heads, cells)
        else:
            for text in _aligned(heads, cells):
                self.line(text)

    @property
    def asks_a_person(self) -> bool:
        """Whether somebody sits at a terminal to be asked."""
        return sys.stdin.isatty()

    def secret(self, question: str) -> str:
        """What a person types without showing it; where nobody sits, the next line of stdin."""
        if self.asks_a_person:
            return getpass.getpass(question)
        return sys.stdin.readline().rstrip("\r\n")

    def error(self, error: PlatformError, source: str = "") -> None:
        """An error: `FILE: path.of.field: message; hint` on stderr, and the same as JSON where asked for."""
        first = {"message": error.message, "hint": error.hint, "path": getattr(error, "field", "")}
        found = getattr(error, "problems", ())  # of our own as they are, of a party's as its JSON
        problems = [each if isinstance(each, dict) else asdict(each) for each in found]
        if self.as_json:
            body = {"code": error.code, "message": error.message, "hint": error.hint, "field": first["path"] or None}
            self.document({"error": body | {"problems": problems}})
        for each in problems or [first]:
            self.note(complaint(each["message"], hint=each["hint"], field=each["path"], source=source))

    @contextmanager
    def progress(self, what: str) -> Iterator[Progress]:
        """A callback `(done, total)`: a bar on a terminal, nothing elsewhere."""
        if sys.stderr.isatty():
            with _bar(printable(what)) as move:
                yield move
        else:
            yield lambda _done, _total: None

    @contextmanager
    def waits(self, what: str, after_s: float = SILENT_S) -> Iterator[None]:
        """Say beside the result what is waited for while that takes long, from time to time; nothing beside JSON."""
        if self.as_json:
            yield
            return
        over = threading.Event()

        def tell() -> None:
            for pause_s in chain((after_s,), repeat(SAY_EVERY_S)):
                if over.wait(pause_s):
                    return
                self.note(f"{what} …")

        threading.Thread(target=tell, name="screen-waits", daemon=True).start()
        try:
            yield
        finally:
            over.set()

    @contextmanager
    def bars(self) -> Iterator[Bars]:
        """Bars that come and go while lines are written above them; on a terminal only, and not beside JSON."""
        if self.as_json or not sys.stderr.isatty():
            yield Bars()
            return
        with drawn_bars() as bars:
            yield bars


def _ascii_json(value: object, *, indent: int | None) -> str:
    """JSON in which every control character and every character beyond ASCII is written as an escape."""
    return json.dumps(finite(value), indent=indent, ensure_ascii=True, allow_nan=False).replace("\x7f", "\\u007f")


def finite(value: Any) -> Any:
    """The same for JSON, which has no NaN and no infinity: they become text, which `float` reads."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def complaint(message: str, *, hint: str = "", field: str = "", source: str = "") -> str:
    """`SOURCE: field: message; hint`, without what is missing, and without a file's name that the source says."""
    message = message.removeprefix(f"{Path(source).name}: ")
    place = "".join(f"{part}: " for part in (source, field) if part)
    text = message.rstrip(".") if hint else message
    return f"{place}{text}; {hint[:1].lower()}{hint[1:]}" if hint else f"{place}{text}"


def _aligned(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    for row in [[c.upper() for c in columns], *rows]:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _draw(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text  # never read as markup

    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(Text(column))
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(markup=False, highlight=False, emoji=False).print(table)


@contextmanager
def _bar(what: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    parts = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bars(*parts, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
