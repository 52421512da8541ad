"""What the mailbox on disk keeps over a restart, and what it sweeps away."""

from __future__ import annotations

import sqlite3
from hashlib import sha256
from pathlib import Path

import pytest

from gateway.errors import (
    BudgetSpent,
    IncarnationOutdated,
    KeyChanged,
    MessageConflict,
    MessageGone,
    MessageRefused,
    TokenRefused,
)
from gateway.executors.tokens import Bearer, Tokens
from gateway.mailbox.disk import DiskMailbox
from gateway.mailbox.ledger import unbroken
from gateway.mailbox.schema import SCHEMA_1, SCHEMA_2, SCHEMA_3, open_database
from gateway.scalars import Bill, Cost
from runtime.disk.sqlite import Database
from runtime.errors import NewerDatabase
from tests.contract.gateway.test_mailbox import BIG, JOB, MIDDLE, envelope, make_disk, read, spooled
from tests.fakes.gateway_parties import TASK, make_contract


def reopened(mailbox: DiskMailbox, folder: Path) -> DiskMailbox:
    mailbox.close()
    return make_disk(folder)


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    mailbox = make_disk(tmp_path)
    mailbox.open_job(make_contract(JOB))
    came = envelope(MIDDLE, inward=True)
    mailbox.put_in(came, spooled(mailbox, MIDDLE))
    mailbox.put_out(envelope(b"out"), b"out", "beta")
    mailbox.put_out(envelope(BIG, step=2), spooled(mailbox, BIG), "beta")
    mailbox = reopened(mailbox, tmp_path)
    assert mailbox.contract(JOB) == make_contract(JOB)
    assert read(mailbox, came.header.keys[0]) == MIDDLE
    (large,) = mailbox.queued("beta", large=True, after=0, limit=9)
    assert large.place.buffer().to_pybytes() == BIG
    assert large.envelope == envelope(BIG, step=2)
    mailbox.refused(large, MessageRefused("no"))
    mailbox.close_job("ELSE")
    mailbox = reopened(mailbox, tmp_path)
    assert mailbox.backlog() == {"beta": 1}
    assert str(mailbox.refusal(JOB, TASK, 1)) == "no"
    assert mailbox.jobs() == [JOB]


def test_files_without_a_row_are_swept_and_half_deliveries_stay(tmp_path: Path) -> None:
    mailbox = make_disk(tmp_path)
    mailbox.open_job(make_contract(JOB))
    mailbox.put_in(envelope(BIG, inward=True), BIG)
    spooled(mailbox, b"half", name=f"{JOB}.1").keep()
    spooled(mailbox, b"never finished").keep()
    bodies, partial = tmp_path / "mailbox" / "bodies", tmp_path / "mailbox" / "partial"
    (bodies / "stray").write_bytes(b"x")
    assert (len(list(bodies.iterdir())), len(list(partial.iterdir()))) == (2, 2)
    mailbox = reopened(mailbox, tmp_path)
    assert [path.stat().st_size for path in bodies.iterdir()] == [len(BIG)]
    assert [path.name for path in partial.iterdir()] == [f"{JOB}.1"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in [*bodies.iterdir(), *partial.iterdir()])
    mailbox.close_job(JOB)
    assert not [*bodies.iterdir(), *partial.iterdir()]


def test_a_refused_body_leaves_no_file(tmp_path: Path) -> None:
    mailbox = make_disk(tmp_path)
    mailbox.open_job(make_contract(JOB))
    other = BIG[:-1] + b"x"
    mailbox.put_in(envelope(BIG, inward=True), spooled(mailbox, BIG))
    with pytest.raises(MessageConflict):
        mailbox.put_in(envelope(other, inward=True), spooled(mailbox, other))
    assert not mailbox.put_in(envelope(BIG, inward=True), spooled(mailbox, BIG))
    assert len(list((tmp_path / "mailbox").rglob("*/*"))) == 1


def test_the_ledger_is_a_chain_that_shows_a_change(tmp_path: Path) -> None:
    mailbox = make_disk(tmp_path)
    mailbox.open_job(make_contract(JOB))
    mailbox.put_in(envelope(b"in", inward=True), b"in")
    mailbox.put_out(envelope(b"out"), b"out", "beta")
    mailbox.record_call("beta", "propose", 3, "00" * 32, inward=False)
    mailbox.close_job(JOB)
    entries = mailbox.ledger()
    assert [(entry.inward, entry.size) for entry, _ in entries] == [(True, 2), (False, 3), (False, 3)]
    assert unbroken(entries)
    assert not unbroken(entries[1:])
    assert not unbroken([(entries[1][0], entries[0][1]), *entries[1:]])


def test_a_mailbox_of_another_version_is_refused_by_name(tmp_path: Path) -> None:
    make_disk(tmp_path).close()
    with sqlite3.connect(tmp_path / "gateway.sqlite") as rows:
        rows.execute("PRAGMA user_version = 7")
    rows.close()
    with pytest.raises(NewerDatabase, match="schema 7"):
        make_disk(tmp_path)


def test_a_file_of_the_release_before_is_brought_up_to_date_and_keeps_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "gateway.sqlite"
    with sqlite3.connect(path) as rows:
        rows.executescript(f"{SCHEMA_1} PRAGMA user_version = 1; INSERT INTO sent VALUES ('K', 'J')")
    rows.close()
    for _ in range(2):
        mailbox = make_disk(tmp_path)
        assert mailbox.taken(["K"]) == {"K"}
        mailbox.first_call("alpha", "one", 10**15)
        mailbox.close()
    mailbox = make_disk(tmp_path)
    assert not mailbox.first_call("alpha", "one", 10**15)
    mailbox.close()


def test_what_a_line_has_spent_is_remembered_over_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.scalars.MAX_TEXT_BYTES", 10)
    mailbox = make_disk(tmp_path)
    mailbox.open_job(make_contract(JOB))
    bill = Bill("update", (Cost(0, 6, ""),))
    for keep, one, two in (
        ("put_in", envelope(b"1", inward=True), envelope(b"2", step=2, inward=True)),
        ("put_out", envelope(b"1"), envelope(b"2", step=2)),
    ):
        more = ("beta",) if keep == "put_out" else ()
        assert getattr(mailbox, keep)(one, b"1", *more, bill)
        mailbox = reopened(mailbox, tmp_path)
        with pytest.raises(BudgetSpent):
            getattr(mailbox, keep)(two, b"2", *more, bill)
        assert not getattr(mailbox, keep)(one, b"1", *more, bill)
    mailbox.close_job(JOB)
    assert mailbox._database.read("SELECT * FROM spent") == []


def test_keys_are_remembered_over_a_restart_until_their_job_is_closed(tmp_path: Path) -> None:
    mailbox = make_disk(tmp_path)
    mailbox.open_job(make_contract(JOB))
    one, other = (Bill(keys=frozenset({("guest:alpha", key * 64)})) for key in ("1", "2"))
    assert mailbox.put_out(envelope(b"1"), b"1", "beta", one)
    mailbox = reopened(mailbox, tmp_path)
    with pytest.raises(KeyChanged):
        mailbox.put_out(envelope(b"2", step=2), b"2", "beta", other)
    mailbox.close_job(JOB)
    assert mailbox._database.read("SELECT * FROM key_seen") == []


def test_tokens_survive_a_restart_and_end_with_their_job(tmp_path: Path) -> None:
    database = open_database(tmp_path / "gateway.sqlite")
    bearer = Bearer(JOB, TASK, 1, "guest:alpha", 0)
    token = Tokens(database).issue(bearer)
    tokens = Tokens(database)
    assert tokens.bearer(token) == tokens.bearer(token) == bearer
    newer = tokens.issue(Bearer(JOB, TASK, 2, "guest:alpha", 0))
    with pytest.raises(TokenRefused):
        tokens.bearer(token)
    with pytest.raises(IncarnationOutdated, match="attempt 2"):
        tokens.issue(Bearer(JOB, TASK, 1, "guest:alpha", 5))
    mailbox = DiskMailbox(tmp_path / "mailbox", database)
    mailbox.close_job(JOB)
    tokens.forget()
    with pytest.raises(TokenRefused):
        tokens.bearer(newer)
    assert b"guest" in (tmp_path / "gateway.sqlite").read_bytes() + (tmp_path / "gateway.sqlite-wal").read_bytes()
    assert token.encode() not in (tmp_path / "gateway.sqlite-wal").read_bytes()
    mailbox.close()


def test_an_executor_that_is_started_once_more_keeps_the_token_that_it_runs_with(tmp_path: Path) -> None:
    tokens = Tokens(open_database(tmp_path / "gateway.sqlite"))
    bearer = Bearer(JOB, TASK, 1, "guest:alpha", 2)
    first, second = tokens.issue(bearer), tokens.issue(bearer)
    assert tokens.bearer(first) == tokens.bearer(second) == bearer
    tokens.issue(Bearer(JOB, TASK, 1, "guest:alpha", 3))
    for token in (first, second):
        with pytest.raises(TokenRefused):
            tokens.bearer(token)


def test_tokens_of_an_older_release_are_known(tmp_path: Path) -> None:
    older = Database(tmp_path / "gateway.sqlite", (SCHEMA_1, SCHEMA_2, SCHEMA_3))
    row = (JOB, TASK, "guest:alpha", 1, 2, sha256(b"token").digest())
    older.write(lambda rows: rows.execute("INSERT INTO token VALUES (?, ?, ?, ?, ?, ?)", row))
    older.close()
    tokens = Tokens(open_database(tmp_path / "gateway.sqlite"))
    assert tokens.bearer("token") == Bearer(JOB, TASK, 1, "guest:alpha", 2)
    assert tokens.newest_attempt(JOB, TASK) == 1


def test_a_body_that_was_released_meanwhile_is_named(tmp_path: Path) -> None:
    mailbox = make_disk(tmp_path)
    mailbox.open_job(make_contract(JOB))
    came = envelope(BIG, inward=True)
    mailbox.put_in(came, BIG)
    message = mailbox.find(came.header.keys[0])
    assert message is not None
    mapped = message.place.buffer()
    mailbox.release(came.header.keys)
    with pytest.raises(MessageGone, match="was released"):
        message.place.buffer()
    assert mapped.to_pybytes() == BIG
