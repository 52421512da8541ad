"""The options that every command shares, declared once: which party to ask, as whom, and how to answer.

`@asks_a_party` gives a command a `CommandContext` as its first parameter and puts `--home`, `--url`, `--token-file` and
`--json` on it. The client is imported and made only when the command first uses it.
"""

from __future__ import annotations

import functools
import inspect
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from flow.cli.exit_codes import Exit, exit_for
from flow.cli.screen import Screen
from flow.job.overrides import merged
from runtime.canonical import parse_json
from runtime.disk.faults import fault_of
from runtime.errors import InvalidInput, NotFound, PlatformError

if TYPE_CHECKING:
    from flow.client import FlowClient
    from party.home import PartyHome

HOME_VARIABLE, URL_VARIABLE = "ARCHIPELAGO_HOME", "ARCHIPELAGO_URL"
"""Read below, not by typer: a `--home` that is typed counts more than a URL that is set."""

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="Home folder of the party. [env var: ARCHIPELAGO_HOME]", show_default=False),
]
UrlOption = Annotated[
    str | None,
    typer.Option("--url", help=f"Address of a party's REST API, instead of --home. [env var: {URL_VARIABLE}]"),
]
TokenOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        envvar="ARCHIPELAGO_TOKEN_FILE",
        help="File with your token (with --url, or to be another user).",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write one JSON document to stdout and nothing else.")]


class TableForm(StrEnum):
    """What kind of file a table becomes."""

    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"


OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there already.")]

_SHARED: dict[str, tuple[Any, Any]] = {
    "home": (HomeOption, None),
    "url": (UrlOption, None),
    "token_file": (TokenOption, None),
    "as_json": (JsonOption, False),
}


class NoParty(InvalidInput):
    """The command does not say which party it is for."""

    code = "flow.no_party"


class NoSuchFile(NotFound):
    """A file named on the command line does not exist."""

    code = "flow.no_such_file"


@dataclass
class CommandContext:
    """Where a command asks and answers.

    Attributes:
        home_dir: Home folder of the party, if given.
        url, token_file: A party asked from elsewhere.
        screen: Where the answer goes.
        source: The file that an error is about, put in front of its message.
    """

    home_dir: Path | None
    url: str | None
    token_file: Path | None
    screen: Screen
    source: str = ""

    @property
    def asked(self) -> str:
        """The options by which the party was named, to be typed again."""
        given = {"--home": self.home_dir, "--url": self.url, "--token-file": self.token_file}
        return shlex.join([text for name, value in given.items() if value for text in (name, str(value))])

    def home(self) -> PartyHome:
        """The party's home: named, in the environment, or in the usual place. Raises NoHome."""
        from party.home import find_home

        return find_home(self.home_dir)

    def client(self) -> FlowClient:
        """A client for the party, as the user of `--token-file` or the party's own first user."""
        from flow.client import FlowClient

        if self.url is not None:
            if self.token_file is None:
                raise NoParty("--url needs a token.", hint="Give --token-file FILE.")
            return FlowClient(self.url, read_token(self.token_file))
        return FlowClient.of_home(self.home(), token=read_token(self.token_file) if self.token_file else None)

    def is_down_here(self) -> bool:
        """Whether the party lives on this machine and does not answer."""
        from flow.client import FlowClient, FlowUnreachable, url_of

        if self.url is not None:
            return False
        try:
            with FlowClient(url_of(self.home())) as flow:
                flow.health()
        except FlowUnreachable:
            return True
        return False


def needs_no_party(command: Callable[..., None]) -> Callable[..., None]:
    """The same for a command that asks nobody: `--json` only."""
    return _with_options(command, ("as_json",))


def asks_a_party(command: Callable[..., None]) -> Callable[..., None]:
    """Put the shared options on a command whose first parameter is a `CommandContext`."""
    return _with_options(command, tuple(_SHARED))


def at_home(command: Callable[..., None]) -> Callable[..., None]:
    """The same for a command that works on a home folder of this machine: `--home` and `--json` only."""
    return _with_options(command, ("home", "as_json"))


def _with_options(command: Callable[..., None], names: tuple[str, ...]) -> Callable[..., None]:
    signature = inspect.signature(command, eval_str=True)
    own = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in list(signature.parameters.values())[1:]]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_SHARED[name][1], annotation=_SHARED[name][0])
        for name in names
    ]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        taken = {name: given.pop(name, None) for name in _SHARED}
        if taken["home"] is None:
            taken["home"] = Path(os.environ[HOME_VARIABLE]) if os.environ.get(HOME_VARIABLE) else None
            taken["url"] = taken["url"] or os.environ.get(URL_VARIABLE) or None
        context = CommandContext(taken["home"], taken["url"], taken["token_file"], Screen(bool(taken["as_json"])))
        with complaints(context):
            command(context, **given)

    run.__signature__ = signature.replace(parameters=[*own, *shared])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in [*own, *shared]} | {"return": None}
    del run.__wrapped__  # typer would look through it
    return run


@contextmanager
def complaints(context: CommandContext) -> Iterator[None]:
    """Every named error ends the command with a sentence on stderr and its exit code, never with a traceback."""
    try:
        yield
    except PlatformError as error:
        _complain(context, error)
    except KeyboardInterrupt as error:
        raise typer.Exit(Exit.INTERRUPTED) from error
    except BrokenPipeError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise typer.Exit(Exit.OK) from error
    except OSError as error:
        fault = fault_of(error)
        if fault is None:
            raise
        _complain(context, fault)


def _complain(context: CommandContext, error: PlatformError) -> NoReturn:
    context.screen.error(error, context.source)
    raise typer.Exit(exit_for(error)) from error


def parameter_changes(texts: list[str]) -> dict[str, dict[str, object]]:
    """`TASK.PARAMETER=VALUE` (of a group `TASK.GROUP.PARAMETER`) as values by task; what is not JSON is text.

    Raises InvalidInput.
    """
    changes: dict[str, dict[str, Any]] = {}
    for text in texts:
        place, equals, value = text.partition("=")
        task, *path = place.split(".")
        if not (all((task, *path)) and path and equals):
            raise InvalidInput(f"--set '{text[:80]}' changes nothing.", hint="Write --set TASK.PARAMETER=VALUE.")
        said: Any = json_or_text(value)
        for name in reversed(path):
            said = {name: said}
        changes = merged(changes, {task: said})
    return changes


def read_token(file: Path) -> str:
    """The token in a file. Raises NoSuchFile."""
    return read_text(file, "token file").strip()


def read_text(file: Path, what: str) -> str:
    """The text of a file the user named. Raises NoSuchFile or InvalidInput naming it."""
    return read_bytes(file, what).decode("utf-8", errors="replace")


def read_bytes(file: Path, what: str) -> bytes:
    """The bytes of a file the user named. Raises NoSuchFile naming it."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise NoSuchFile(f"The {what} {file} does not exist.", hint="Check the path.") from None
    except OSError as error:
        raise InvalidInput(f"The {what} {file} cannot be read: {error.strerror}.") from error


def json_or_text(text: str) -> object:
    """The JSON value that a text is, or the text."""
    try:
        return parse_json(text.encode(), "The value")
    except InvalidInput:
        return text
