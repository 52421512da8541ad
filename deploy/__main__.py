"""`python -m deploy --home HOME`: write a party's compose file, or bring it up to date after party.toml changed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.compose import write
from party.home import find_home
from runtime.error_kinds import exit_code
from runtime.errors import PlatformError


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code; the path of the file goes to standard output."""
    parser = argparse.ArgumentParser(prog="python -m deploy", description="Write the compose file of one party.")
    parser.add_argument("--home", help="the party's home (default: $ARCHIPELAGO_HOME, else ~/.archipelago)")
    parser.add_argument("--folder", type=Path, help="where the file and its secrets go (default: HOME/compose)")
    options = parser.parse_args(argv)
    try:
        home = find_home(options.home)
        sys.stdout.write(f"{write(home, options.folder or home.root / 'compose')}\n")
    except PlatformError as error:
        sys.stderr.write(f"{error}\n")
        return exit_code(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
