"""Whatever an executor's code says (prints, logs, dies of) becomes lines of its event log, kept as long as the job."""

from __future__ import annotations

import codecs
import faulthandler
import io
import logging
import sys
import threading
import traceback
from typing import TYPE_CHECKING

from node_manager.executor.event_log import EventLog

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STDOUT, STDERR = "stdout", "stderr"  # levels of printed lines
MAX_OPEN_CHARS = 64 << 10  # of a printed line whose end has not come


class Printed(io.TextIOBase):
    """A text stream whose lines are log lines."""

    def __init__(self, events: EventLog, level: str) -> None:
        self._events = events
        self._level = level
        self._open = ""
        self._lock = threading.RLock()  # again by the same thread: a signal's handler may print
        self.buffer = _Encoded(self)

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str) -> int:
        """Keep whole lines; the rest waits for its end."""
        with self._lock:
            *lines, self._open = (self._open + text).split("\n")
            for line in lines:
                self._say(line)
            if len(self._open) > MAX_OPEN_CHARS:
                self.finish()
        return len(text)

    def finish(self) -> None:
        """What was printed without an end of line is a line as well."""
        with self._lock:
            line, self._open = self._open, ""
            self._say(line)

    def _say(self, line: str) -> None:
        line = line.rpartition("\r")[2]  # what a progress bar has painted last
        if line.strip():
            self._events.log(self._level, line)


class _Encoded(io.BufferedIOBase):
    """The stream below the text, for code that writes bytes; a character may come in pieces."""

    def __init__(self, printed: Printed) -> None:
        self._printed = printed
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._lock = threading.RLock()

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: ReadableBuffer) -> int:
        """Print the characters that are whole."""
        view = memoryview(data)
        with self._lock:
            self._printed.write(self._decoder.decode(bytes(view)))
        return view.nbytes


class _Handler(logging.Handler):
    def __init__(self, events: EventLog) -> None:
        super().__init__(logging.INFO)
        self._events = events

    def emit(self, record: logging.LogRecord) -> None:
        """One record of `logging`, with its traceback."""
        said = record.msg.get("event", "") if isinstance(record.msg, dict) else record.getMessage()
        text = f"{record.name}: {said}"
        if record.exc_info and record.exc_info[1] is not None:
            text += "\n" + "".join(traceback.format_exception(record.exc_info[1]))
        self._events.log(record.levelname.lower(), text)


class CapturedOutput:
    """Takes over printing and logging of this process."""

    def __init__(self, events: EventLog) -> None:
        self._events = events
        self._printed = (Printed(events, STDOUT), Printed(events, STDERR))
        faulthandler.enable(sys.__stderr__ or 2)  # where the Node Manager looks if we end without a last word
        logging.captureWarnings(capture=True)
        root = logging.getLogger()
        root.setLevel(logging.INFO)
        root.addHandler(_Handler(events))
        sys.stdout, sys.stderr = self._printed

    def died_of(self, error: BaseException) -> None:
        """The traceback, for the party's own people; never left out."""
        self._events.log("error", "".join(traceback.format_exception(error)).rstrip(), insist=True)

    def finish(self) -> None:
        """No more is said."""
        for stream in self._printed:
            stream.finish()
        self._events.tell_left_out()
