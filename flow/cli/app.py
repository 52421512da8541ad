"""The root of the command line: its nouns, one version, and the table of exit codes."""

from __future__ import annotations

from typing import Annotated

import typer

from flow.cli import user
from flow.cli.clean import clean
from flow.cli.data import commands as data
from flow.cli.data import model
from flow.cli.exit_codes import epilog
from flow.cli.job import commands as job
from flow.cli.job import control
from flow.cli.party import commands as party
from flow.cli.queue import queue
from flow.cli.screen import Screen

app = typer.Typer(
    name="flow",
    help="Train models together while every party keeps its data at home.",
    epilog=epilog(),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: starts in a third of the time
    pretty_exceptions_enable=False,
)
app.add_typer(party.app, name="party")
app.add_typer(job.app, name="job")
job.app.add_typer(control.app)
app.add_typer(data.app, name="data")
app.add_typer(model.app, name="model")
app.add_typer(user.app, name="user")
app.command("queue")(queue)
app.command("clean")(clean)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        Screen().line(f"archipelago-fl {version('archipelago-fl')}")
        raise typer.Exit


@app.callback()
def root(
    _show: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Train models together while every party keeps its data at home."""
