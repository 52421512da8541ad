"""The tables of Flow's database, the same on SQLite and MySQL. Times are milliseconds of wall time, UTC.

Two views of the same work live side by side: `job`, `job_party`, `attempt` and `side` are what the party that leads
a job knows of it (other parties keep a copy of what they are told); `part` and `executor` are this party's own part.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.dialects import mysql

metadata = MetaData()

_ID = String(26)
_NAME = String(63)
_ADDRESS = String(72)
_CODE = String(100)
_BIG_TEXT = Text().with_variant(mysql.LONGTEXT(), "mysql")
_COUNTER = BigInteger().with_variant(Integer(), "sqlite")  # only INTEGER counts up by itself in SQLite
_MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def _error_columns() -> tuple[Column[Any], ...]:
    return (
        Column("error_code", _CODE, nullable=False, default=""),
        Column("error_message", _BIG_TEXT, nullable=False, default=""),
        Column("error_hint", _BIG_TEXT, nullable=False, default=""),
        Column("error_party", _NAME, nullable=False, default=""),
    )


job = Table(
    "job",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("name", String(100), nullable=False),
    Column("initiator", _NAME, nullable=False),
    Column("user_name", String(100), nullable=False),
    Column("submit_token", String(200), nullable=True, unique=True),
    Column("spec_digest", String(64), nullable=False),
    Column("spec", _BIG_TEXT, nullable=False),  # the job's document, which stands nowhere else
    Column("proposal", _BIG_TEXT, nullable=False),  # what was proposed with it
    Column("manifest_digest", String(64), nullable=False, default=""),
    Column("state", String(20), nullable=False),
    Column("outcome", String(20), nullable=False, default=""),
    Column("closed", Boolean, nullable=False, default=False),
    Column("submitted_ms", BigInteger, nullable=False),
    Column("started_ms", BigInteger, nullable=True),
    Column("ended_ms", BigInteger, nullable=True),
    Column("phase", String(10), nullable=False, default="waiting"),
    Column("phase_since_ms", BigInteger, nullable=False),
    Column("ran_ms", BigInteger, nullable=False, default=0),
    Column("waited_ms", BigInteger, nullable=False, default=0),
    Column("paused_ms", BigInteger, nullable=True),  # since when it is paused
    *_error_columns(),
    Index("job_by_state", "state", "closed"),
    Index("job_by_time", "submitted_ms", "id"),
    Index("job_never_agreed", "initiator", "manifest_digest", "state", "ended_ms", "id"),
    **_MYSQL,
)

job_party = Table(
    "job_party",
    metadata,
    Column("job", _ID, primary_key=True),
    Column("party", _NAME, primary_key=True),
    Column("decision", String(10), nullable=False, default=""),
    Column("answer", _BIG_TEXT, nullable=False, default=""),
    Column("opened", Boolean, nullable=False, default=False),
    Column("closed", Boolean, nullable=False, default=False),
    Column("pause_due", Boolean, nullable=False, default=False, server_default=false()),  # of a pause, or its end
    Column("asked_ms", BigInteger, nullable=True),
    Column("absent_ms", BigInteger, nullable=True),
    Column("absent_why", _BIG_TEXT, nullable=False, default=""),
    Column("absent_code", String(200), nullable=False, default=""),
    **_MYSQL,
)

attempt = Table(
    "attempt",
    metadata,
    Column("job", _ID, primary_key=True),
    Column("task", _NAME, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("state", String(20), nullable=False),
    Column("counted", Boolean, nullable=False, default=True),
    Column("retryable", Boolean, nullable=False, default=False),
    Column("from_attempt", Integer, nullable=True),  # the earlier attempt from whose checkpoints it goes on
    Column("from_step", BigInteger, nullable=True),  # after which step of that
    Column("waits", _BIG_TEXT, nullable=False, default=""),
    Column("waits_ms", BigInteger, nullable=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("started_ms", BigInteger, nullable=True),
    Column("ended_ms", BigInteger, nullable=True),
    *_error_columns(),
    **_MYSQL,
)

side = Table(
    "side",
    metadata,
    Column("job", _ID, primary_key=True),
    Column("task", _NAME, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("address", _ADDRESS, primary_key=True),
    Column("party", _NAME, nullable=False),
    Column("state", String(20), nullable=False),
    Column("stopped", Boolean, nullable=False, default=False),
    Column("kept", _BIG_TEXT, nullable=True),  # the checkpoints it then held, by attempt of the task; JSON
    Column("published", Boolean, nullable=False, default=False),
    Column("retryable", Boolean, nullable=False, default=False),
    Column("started_ms", BigInteger, nullable=True),
    Column("ended_ms", BigInteger, nullable=True),
    *_error_columns(),
    **_MYSQL,
)

part = Table(
    "part",
    metadata,
    Column("job", _ID, primary_key=True),
    Column("initiator", _NAME, nullable=False),
    Column("state", String(20), nullable=False),  # agreed | asked | refused | open | leaving | left | ended
    Column("answer", _BIG_TEXT, nullable=False, default=""),
    Column("answer_due", Boolean, nullable=False, default=False),
    Column("withdrawal", _BIG_TEXT, nullable=False, default=""),
    Column("metrics_sent", BigInteger, nullable=False, default=0),
    Column("logs_sent", BigInteger, nullable=False, default=0),
    Column("reasons", _BIG_TEXT, nullable=True),  # why we refused, as our own people may read it; a JSON list
    Column("left_why", String(1000), nullable=False, default="", server_default=""),  # of a job that we left
    Column("since_ms", BigInteger, nullable=False, default=0, server_default="0"),  # when it was proposed to us
    Column("ran_ms", BigInteger, nullable=False, default=0, server_default="0"),  # how long our executors told news
    Column("heard_ms", BigInteger, nullable=False, default=0, server_default="0"),  # when they told the last
    Column("bytes", BigInteger, nullable=False, default=0, server_default="0"),  # what the documents of a job take
    Column("decided_by", String(100), nullable=False, default="", server_default=""),  # the person who was asked
    Column("note", String(1000), nullable=False, default="", server_default=""),  # theirs, for our own people
    Column("by_policy", Boolean, nullable=False, default=False, server_default=false()),  # our policy refused it
    **_MYSQL,
)

executor = Table(
    "executor",
    metadata,
    Column("job", _ID, primary_key=True),
    Column("task", _NAME, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("address", _ADDRESS, primary_key=True),
    Column("incarnation", Integer, nullable=False, default=1),
    Column("unsaved", Integer, nullable=False, default=1, server_default="1"),  # began since the last checkpoint
    Column("restart_due", Boolean, nullable=False, default=False, server_default=false()),
    Column("state", String(20), nullable=False),
    Column("reservation", String(200), nullable=False, default=""),
    Column("node", String(200), nullable=False, default=""),
    Column("lease_until_ms", BigInteger, nullable=False, default=0),
    Column("retryable", Boolean, nullable=False, default=False),
    Column("reported", String(20), nullable=False, default=""),  # the state that the initiator has acknowledged
    Column("started_ms", BigInteger, nullable=True),
    Column("ended_ms", BigInteger, nullable=True),
    *_error_columns(),
    Column("differing", _BIG_TEXT, nullable=True),  # which parties differ, where it failed of that
    Index("executor_by_state", "state"),
    **_MYSQL,
)

metric = Table(
    "metric",
    metadata,
    Column("id", _COUNTER, primary_key=True, autoincrement=True),
    Column("job", _ID, nullable=False),
    Column("task", _NAME, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("party", _NAME, nullable=False),
    Column("role", String(20), nullable=False),
    Column("name", String(100), nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("value", Double, nullable=True),  # null where `special` says what it is
    Column("special", String(4), nullable=False, default=""),  # nan | inf | -inf
    Column("at_ms", BigInteger, nullable=False),
    UniqueConstraint("job", "task", "attempt", "party", "role", "name", "step", name="metric_once"),
    **_MYSQL,
)

log_line = Table(
    "log_line",
    metadata,
    Column("id", _COUNTER, primary_key=True, autoincrement=True),
    Column("job", _ID, nullable=False),
    Column("task", _NAME, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("party", _NAME, nullable=False),
    Column("role", String(20), nullable=False),
    Column("incarnation", Integer, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("level", String(20), nullable=False),
    Column("text", _BIG_TEXT, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    UniqueConstraint("job", "task", "attempt", "party", "role", "incarnation", "sequence", name="log_line_once"),
    **_MYSQL,
)

progress = Table(
    "progress",
    metadata,
    Column("job", _ID, primary_key=True),
    Column("task", _NAME, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("address", _ADDRESS, primary_key=True),
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("what", String(200), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    **_MYSQL,
)

note = Table(
    "note",
    metadata,
    Column("id", _COUNTER, primary_key=True, autoincrement=True),
    Column("job", _ID, nullable=False),
    Column("user_name", String(100), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("text", _BIG_TEXT, nullable=False),
    Index("note_by_job", "job", "id"),
    **_MYSQL,
)

output = Table(
    "output",
    metadata,
    Column("job", _ID, primary_key=True),
    Column("task", _NAME, primary_key=True),
    Column("address", _ADDRESS, primary_key=True),
    Column("name", _NAME, primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("reference", String(300), nullable=False),
    Column("digest", String(64), nullable=False, default=""),
    **_MYSQL,
)

event = Table(
    "event",
    metadata,
    Column("id", _COUNTER, primary_key=True, autoincrement=True),
    Column("hlc", String(24), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("job", _ID, nullable=False),
    Column("task", _NAME, nullable=False, default=""),
    Column("attempt", Integer, nullable=False, default=0),
    Column("party", _NAME, nullable=False, default=""),
    Column("body", _BIG_TEXT, nullable=False),
    Index("event_by_job", "job", "id"),
    **_MYSQL,
)

hook_call = Table(
    "hook_call",
    metadata,
    Column("job", _ID, primary_key=True),  # one that is over, which the party's hook is to hear
    Column("tries", Integer, nullable=False, default=0),
    Column("next_ms", BigInteger, nullable=False),
    **_MYSQL,
)

event_log = Table(
    "event_log",
    metadata,
    Column("name", String(300), primary_key=True),  # of the log of one incarnation of an executor
    Column("job", _ID, nullable=False),
    Column("sequence", BigInteger, nullable=False),  # of the last event that was recorded
    Column("at_ms", BigInteger, nullable=False),  # when it was
    **_MYSQL,
)

health = Table(
    "health",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("tried_ms", BigInteger, nullable=False),  # when the database was last written to, to see whether it can be
    **_MYSQL,
)
