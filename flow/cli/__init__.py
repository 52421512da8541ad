"""The command line: `flow party|job|data …`. Each command parses, asks `flow.client`, and prints; no logic."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """The console script `flow`."""
    from flow.cli.app import app

    app(prog_name="flow")
