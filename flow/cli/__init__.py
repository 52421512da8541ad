"""The command line: `flow party|job|data|model|user …`. Each command parses, asks `flow.client`, and prints.

Decides what is shown and with which code a command ends (`exit_codes.py`), and nothing about jobs. Read `app.py` first,
then `options.py`: what every command shares.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """The console script `flow`."""
    import sys

    import typer

    from flow.cli.app import app
    from flow.cli.exit_codes import Exit
    from flow.cli.screen import Screen
    from runtime.errors import InvalidInput

    if "--json" not in sys.argv:
        app(prog_name="flow")
    try:
        sys.exit(app(prog_name="flow", standalone_mode=False))
    except typer.TyperException as error:  # what was typed is no command: that is told as JSON too
        Screen(as_json=True).error(InvalidInput(error.format_message(), hint="See 'flow --help'."))
        sys.exit(Exit.BAD_INPUT)
