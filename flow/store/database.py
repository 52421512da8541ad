"""Flow's database: one file per party on SQLite, or a schema on MySQL; same tables, same behaviour.

One writer at a time in this process, so that a compare-and-swap is all the care a move needs. Every event row gets a
hybrid logical clock reading in the order of its id; who waits for events is woken by the commit that wrote them.
The rows of jobs at work are in memory as well: see `flow.store.job_cache`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Condition, Lock
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from flow.errors import BadDatabase, StoreUnavailable
from flow.store import tables
from flow.store.job_cache import JobCache, JobRows, load
from flow.store.upgrade import upgrade
from flow.store.writer import Writer
from runtime.clock import MOST_APART_MS, Apart, Clock, HybridTime, now_ms
from runtime.disk.faults import fault_of
from runtime.disk.files import keep_private
from runtime.disk.reserve import Reserve
from runtime.disk.room import require_room

BUSY_MS = 20_000
POOL = 8
POOL_OVERFLOW = 32
MYSQL_RECYCLE_S = 3600
MYSQL_ANSWER_S = 10  # a server that hangs is one that is away
BACKENDS = {"sqlite", "mysql", "mariadb"}
ADDRESS_HINT = "Write one line, mysql+pymysql://user:password@host:port/name, into flow.database_url_file."
_WRITING = "flow_writing"


class Database:
    """Connections, the one writer, the clock of events."""

    def __init__(self, url: str, clock: Clock, answer_s: int = MYSQL_ANSWER_S) -> None:
        """Open the database at an address for SQLAlchemy, and bring its tables up to date.

        Raises:
            BadDatabase: The address, which is never shown, is none of SQLite or MySQL; or a newer release wrote there.
            StoreUnavailable: Nothing answers there.
        """
        self.clock = clock
        self._engine = _engine(url, answer_s)
        file = self._engine.url.database if self.dialect == "sqlite" else None
        self._file = Path(file) if file else None
        self._reserve = Reserve(self._file) if self._file else None
        self._cache = JobCache()
        self._writing = Lock()
        self._ticking = Lock()
        self._told = Condition()
        self._newest = 0
        self._hlc = HybridTime(0, 0)
        self._apart: dict[str, Apart] = {}
        self.at_end: Callable[[], None] | None = None  # called once a job has ended; then it is noted in `hook_call`
        try:
            self._bring_up(url)
            self._recover()
        except BaseException:
            self._engine.dispose()
            raise

    @property
    def dialect(self) -> str:
        """`sqlite` or `mysql`."""
        return self._engine.dialect.name

    def close(self) -> None:
        """Let go of every connection."""
        with self._told:
            self._told.notify_all()
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one moment of the database."""
        with wrapped(), self._engine.connect() as connection, connection.begin():
            yield connection

    def rows(self, job_id: str, connection: Connection | None = None) -> JobRows:
        """What is stored of a job; read, over the connection if there is one, unless it is in memory."""
        found = self._cache.find(job_id)
        if found is None:
            since = self._cache.changes
            if connection is not None:
                found = load(connection, job_id)
            else:
                with self.read() as own:
                    found = load(own, job_id)
            self._cache.keep(found, since)
        return found

    @contextmanager
    def write(self) -> Iterator[Writer]:
        """A transaction: everything in it happens, or nothing does. Raises StoreUnavailable."""
        with self._writing:
            if self._reserve is not None:
                self._reserve.adjust()
            with wrapped(), self._engine.connect() as plain:
                connection = plain.execution_options(**{_WRITING: True})
                writer = Writer(connection, self._cache, self.hlc, self.clock)
                writer.at_end = self.at_end
                try:
                    with connection.begin():
                        yield writer
                        writer.write_events()
                except BaseException:
                    self._cache.replace(writer.seen, ())
                    raise
            self._cache.replace(None if writer.unseen else (), writer.seen.values())
        if writer.newest:
            with self._told:
                self._newest = max(self._newest, writer.newest)
                self._told.notify_all()
        for act in writer.afterwards:
            act()

    def require_room(self) -> None:
        """Raise DiskFull where the disk of a file has no room for what may wait; what ends something does not ask."""
        if self._file is not None:
            require_room(self._file)

    def saw(self, reading: HybridTime, party: str) -> None:
        """Take note of another party's clock: what happens here from now on is later.

        A clock that is further ahead than MOST_APART_MS moves nothing; it is remembered as that party's.
        """
        here_ms = now_ms(self.clock)
        apart_ms = reading.wall_ms - here_ms
        with self._ticking:
            if abs(apart_ms) > MOST_APART_MS:
                self._apart[party] = Apart(apart_ms, here_ms)
            else:
                self._apart.pop(party, None)
            if apart_ms <= MOST_APART_MS:
                self._hlc = max(self._hlc, reading)

    def clocks_apart(self) -> dict[str, Apart]:
        """How far the clocks of other parties were from ours in their last messages, where that is too far."""
        with self._ticking:
            return dict(self._apart)

    def hlc(self) -> HybridTime:
        """The next reading, for an event or a message. After our own clock was set back far, readings begin anew."""
        with self._ticking:
            if self._hlc.wall_ms > now_ms(self.clock) + MOST_APART_MS:
                self._hlc = HybridTime(0, 0)
            self._hlc = self._hlc.next(self.clock.now())
            return self._hlc

    def wait_events(self, since: int, timeout_s: float) -> int:
        """Block until there is an event above `since`, or the time is over; the newest event's id."""
        with self._told:
            self._told.wait_for(lambda: self._newest > since, timeout_s)
            return self._newest

    def _bring_up(self, url: str) -> None:
        """To the newest form; a change of a large table may take the server long."""
        patient = self._engine if self.dialect == "sqlite" else _engine(url, answer_s=None)
        try:
            with wrapped(), patient.connect() as connection:
                upgrade(connection)
        finally:
            if patient is not self._engine:
                patient.dispose()

    def _recover(self) -> None:
        with self.read() as connection:
            last = connection.execute(
                select(tables.event.c.id, tables.event.c.hlc).order_by(tables.event.c.id.desc()).limit(1)
            ).first()
        if last is not None:
            self._newest = last.id
            with suppress(ValueError):  # written by a release that took any clock over
                self._hlc = HybridTime.parse(last.hlc)


@contextmanager
def wrapped() -> Iterator[None]:
    """The driver's errors in Flow's words."""
    try:
        yield
    except DBAPIError as error:
        fault = fault_of(error.orig) if error.orig else None
        if fault is not None:
            raise fault from error
        raise StoreUnavailable(
            f"Flow's database does not answer as it should: {type(error.orig).__name__}: {error.orig}.",
            hint="Is it running, and does its disk have room?",
        ) from error


def _engine(address: str, answer_s: int | None) -> Engine:
    url = _parsed(address)
    if url.get_backend_name() == "sqlite":
        if url.database:
            _keep_private(Path(url.database))
        engine = create_engine(url, pool_size=POOL, max_overflow=POOL_OVERFLOW)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    return create_engine(
        url.set(drivername="mysql+pymysql"),
        pool_size=POOL,
        max_overflow=POOL_OVERFLOW,
        pool_pre_ping=True,
        pool_recycle=MYSQL_RECYCLE_S,
        isolation_level="REPEATABLE READ",
        connect_args={
            "charset": "utf8mb4",
            "connect_timeout": answer_s or MYSQL_ANSWER_S,
            "read_timeout": answer_s,
            "write_timeout": answer_s,
        },
    )


def _parsed(address: str) -> URL:
    """The address, of a kind of database that we have. Raises BadDatabase."""
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise BadDatabase("There is no database address where one should be.", hint=ADDRESS_HINT) from None
    if url.get_backend_name() not in BACKENDS:
        raise BadDatabase(f"'{url.get_backend_name()}' is no kind of database that Flow has.", hint=ADDRESS_HINT)
    return url


def _keep_private(file: Path) -> None:
    try:
        keep_private(file)
    except OSError as error:
        raise StoreUnavailable(
            f"Flow's database {file} cannot be opened: {error.strerror}.", hint="Does its folder exist?"
        ) from error


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy says BEGIN, not the driver
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_MS}", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get(_WRITING, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
