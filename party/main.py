"""The main function of `python -m ROOM`: open the home once, log as JSON, and serve until told to stop."""

from __future__ import annotations

import argparse
import faulthandler
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from party.home import PartyHome, find_home
from runtime import log
from runtime.disk.faults import fault_of
from runtime.disk.files import OTHERS
from runtime.error_kinds import exit_code
from runtime.errors import PlatformError
from runtime.service import STOP_GRACE_S, Service, raise_descriptor_limit, run_until_stopped


def run_forever(make: Callable[[PartyHome], Service], argv: Sequence[str] | None = None) -> None:
    """The main function of `python -m ROOM --home DIR`; does not return.

    Args:
        make: The room's `serve`; the room's name is its package.
        argv: Arguments (default: the process's).
    """
    faulthandler.enable()  # where a fault of native code happened is among the last words of the process
    os.umask(OTHERS)  # whatever a service or a library of it writes is its owner's alone
    room = make.__module__.partition(".")[0]
    options = _parser(room).parse_args(argv)
    try:
        raise_descriptor_limit()
        home = find_home(options.home)
        path = None if options.log == "-" else home.log_file(room)
        log.configure(room, path, party=home.party, level=options.log_level)
        with home.lock(room):
            if options.parent_fd is not None:
                _end_with(options.parent_fd)
            run_until_stopped(make(home), room, ready_fd=options.ready_fd, parent_fd=options.parent_fd)
    except PlatformError as error:
        _refused(room, error)
    except (OSError, sqlite3.Error) as error:
        fault = fault_of(error)
        if fault is None:
            raise
        _refused(room, fault)
    sys.exit(0)


def _refused(room: str, error: PlatformError) -> NoReturn:
    log.get_logger(room).error("Refused to run", code=error.code, reason=error.message, hint=error.hint)
    sys.stderr.write(f"{room}: {error}\n")
    sys.exit(exit_code(error))


def _end_with(parent_fd: int) -> None:
    """Should we hang while stopping because the process that started us is gone, we end all the same."""

    def wait() -> None:
        while os.read(parent_fd, 1):
            pass
        time.sleep(2 * STOP_GRACE_S)
        os._exit(1)

    threading.Thread(target=wait, name="parents-end", daemon=True).start()


def _parser(room: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {room}", description=f"Run the {room} of one party.")
    parser.add_argument("--home", help="the party's home (default: $ARCHIPELAGO_HOME, else ~/.archipelago)")
    parser.add_argument(
        "--log", choices=["file", "-"], default="file", help="log to HOME/logs, or - for standard error"
    )
    parser.add_argument("--log-level", choices=["DEBUG", "INFO", "WARNING", "ERROR"], default="INFO")
    parser.add_argument("--ready-fd", type=int, help="an open pipe; 'ready' is written to it once the service is up")
    parser.add_argument("--parent-fd", type=int, help="an open pipe; the service stops when its other end is closed")
    return parser
