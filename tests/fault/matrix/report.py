"""Writes what `make soak` measured into docs/reliability.md: `MATRIX_RESULTS=FILE make soak …`, then this with FILE."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from tests.fault.matrix.cells import CELLS, MOMENTS, VICTIMS

PAGE = Path(__file__).parents[3] / "docs" / "reliability.md"
BEGIN, END = "<!-- matrix: begin -->", "<!-- matrix: end -->"


def table(seconds: Mapping[tuple[str, str], float], on: str) -> str:
    """A row for each kind of process that was killed, a column for each moment: seconds from submission to success."""
    numbered = "\n".join(f"{number}. {moment.name}" for number, moment in enumerate(MOMENTS, 1))
    head = " | ".join(str(number) for number, _ in enumerate(MOMENTS, 1))
    rows = [
        f"| {victim.name} | " + " | ".join(_cell(seconds, victim.name, moment.name) for moment in MOMENTS) + " |"
        for victim in VICTIMS
    ]
    total = sum(seconds.values())
    return "\n".join(
        [
            f"{on}: {len(seconds)} of {len(CELLS)} kills, {total / 60:.0f} minutes in all. The moments are:",
            "",
            numbered,
            "",
            f"| killed | {head} |",
            "|---|" + "---|" * len(MOMENTS),
            *rows,
        ]
    )


def _cell(seconds: Mapping[tuple[str, str], float], victim: str, moment: str) -> str:
    found = seconds.get((victim, moment))
    return "" if found is None else f"{found:.1f}"


def read(lines: Iterable[str]) -> dict[tuple[str, str], float]:
    """The seconds of each kill; of one that was tried more than once the last."""
    found = (json.loads(line) for line in lines)
    return {(each["victim"], each["moment"]): each["seconds"] for each in found}


def main(file: Path) -> None:
    """Put the table of the file into the page."""
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    with file.open() as lines:
        made = table(read(lines), datetime.now(UTC).date().isoformat())
    PAGE.write_text(f"{before}{BEGIN}\n{made}\n{END}{after}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
