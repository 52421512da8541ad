"""The structured log: one JSON object a line, ids from the context, never a value.

An event is a short text and a few fields. Fields may be text, numbers, truth values and names; anything else (an
array, a table, bytes, a key) is replaced by the name of its type, so that data and secrets cannot slip into a log.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import structlog
from structlog.stdlib import BoundLogger, ProcessorFormatter

from runtime.disk.faults import refusals
from runtime.disk.files import make_folder
from runtime.limits.log_lines import LineLimit
from runtime.text import printable

MAX_LOG_BYTES = 10 << 20
KEPT_LOGS = 5
MAX_FIELD_CHARS = 4000
SECRET_WORDS = ("token", "password", "secret", "private", "master")
_PLAIN = (str, int, float, bool, type(None))
_EventDict = MutableMapping[str, Any]


class _PrivateFile(RotatingFileHandler):
    """A rotating log file that only its owner may read."""

    def _open(self) -> TextIOWrapper:
        def private(name: str, flags: int) -> int:
            return os.open(name, flags, mode=0o600)

        # The base class closes it.
        return cast(TextIOWrapper, open(self.baseFilename, self.mode, encoding=self.encoding, opener=private))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class's name
        """A line that a full disk does not take is lost; no traceback of it goes to standard error in its place."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def configure(room: str, path: Path | None = None, *, party: str = "", level: str = "INFO") -> None:
    """Send this process's log to a file that rotates (standard error if `path` is None), ours and libraries' alike.

    Crashes of threads and of the main thread are logged as well.
    """
    close()
    handler = _handler(path)
    handler.addFilter(LineLimit())
    handler.setFormatter(ProcessorFormatter(processors=_last_steps(), foreign_pre_chain=_steps()))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level)
    for noisy in ("uvicorn.access", "httpx", "httpcore", "asyncio", "alembic.runtime"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(**_given(room=room, party=party))
    _catch_crashes(room)


def close() -> None:
    """Close what `configure` opened."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler.formatter, ProcessorFormatter):
            for held in handler.filters:
                if isinstance(held, LineLimit):
                    held.close()
            root.removeHandler(handler)
            handler.close()
    structlog.contextvars.clear_contextvars()


def get_logger(room: str) -> BoundLogger:
    """The logger of a room: `log.info("Task started", job=job, attempt=2)`. Usable before `configure`."""
    wrapped = structlog.wrap_logger(
        logging.getLogger(f"archipelago.{room}"),
        processors=[structlog.stdlib.filter_by_level, *_steps(), ProcessorFormatter.wrap_for_formatter],
        wrapper_class=BoundLogger,
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return cast(BoundLogger, wrapped)


@contextmanager
def ids(*, job: object = "", task: object = "", attempt: int | None = None, **more: object) -> Iterator[None]:
    """Every line logged inside, by this thread, carries these ids."""
    given = _given(job=job, task=task, attempt=attempt, **more)
    with structlog.contextvars.bound_contextvars(**given):
        yield


def _given(**fields: object) -> dict[str, object]:
    return {
        name: value if isinstance(value, int) else str(value)
        for name, value in fields.items()
        if value not in ("", None)
    }


def _handler(path: Path | None) -> logging.Handler:
    if path is None:
        return logging.StreamHandler(sys.stderr)
    make_folder(path.parent)
    with refusals(path):
        return _PrivateFile(path, maxBytes=MAX_LOG_BYTES, backupCount=KEPT_LOGS, encoding="utf-8")


def _steps() -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _only_plain_values,
    ]


def _last_steps() -> list[Any]:
    return [
        ProcessorFormatter.remove_processors_meta,
        structlog.processors.JSONRenderer(ensure_ascii=False),
    ]


def _only_plain_values(_logger: object, _method: str, event: _EventDict) -> _EventDict:
    for name, value in event.items():
        if name.startswith("_"):
            continue
        event[name] = _plain(name, value)
    return event


def _plain(name: str, value: object) -> object:
    if any(word in name.lower() for word in SECRET_WORDS):
        return "<hidden>"
    if isinstance(value, str):
        shown = printable(value, lines=True)  # much of a log is what others wrote
        return shown if len(shown) <= MAX_FIELD_CHARS else shown[:MAX_FIELD_CHARS] + "…"
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Path):
        return str(value)
    return f"<{type(value).__name__}>"


def _catch_crashes(room: str) -> None:
    log = get_logger(room)

    def main_thread(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, Exception):
            log.critical("Crashed", exc_info=(kind, error, trace))
        sys.__excepthook__(kind, error, trace)

    def other_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
            log.critical("Thread crashed", exc_info=(args.exc_type, args.exc_value, args.exc_traceback))

    sys.excepthook = main_thread
    threading.excepthook = other_thread
