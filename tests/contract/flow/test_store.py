"""One store, two databases: the same behaviour on SQLite and on MariaDB."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import insert, inspect, literal, select, text

from flow.errors import BadDatabase, IllegalTransition, Moved, StoreUnavailable
from flow.job.spec import JobSpec, parse_job
from flow.job.states import AttemptEvent, AttemptState, JobEvent, JobState
from flow.policy_book import PolicyBook
from flow.protocol.manifest import OUR_API
from flow.protocol.messages import Answer, Decision, LogReport, MetricReport, ProgressReport, Proposal, SignedAnswer
from flow.rooms.ports import Rooms
from flow.service import FlowService
from flow.store import tables
from flow.store.catalogue import Catalogue
from flow.store.database import Database
from flow.store.job_cache import load
from flow.store.participations import ended_before, insert_job, insert_part, live_jobs, proposal_of
from flow.store.proposal_limits import end_refused
from flow.store.queries import Reader
from flow.store.telemetry import FORGET_MS, amount, insert_logs, insert_metrics, put_places, put_progress, read_places
from flow.store.transitions import cancel_open, mirror_job, move_attempt, move_each, move_job, new_attempt
from flow.views.jobs import ErrorView
from party.home import SETTINGS_FILE
from party.home_init import create_home
from party.ids import Address, AttemptId, JobId, TaskName
from runtime.clock import Apart, HybridTime
from runtime.errors import FileExposed
from tests.fakes.clock import FakeClock
from tests.fakes.flow_world import FakeCluster, FakeGateway, FakeStore, Hub, World, component, nothing_job, train_job
from tests.fixtures.mariadb import MariaDb

JOB, OTHER = "01M84NKVCS9025W7T6P1XBY3P8", "01M84NKVCS9025W7T6P1XBY3P9"
NAME = AttemptId(JobId(JOB), TaskName("t"), 1)
GUEST, HOST = Address.parse("guest:a"), Address.parse("host:b")


@pytest.fixture(params=["sqlite", "mysql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/flow.sqlite"
    server: MariaDb = request.getfixturevalue("mariadb")
    return server.new_database()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(url: str, clock: FakeClock) -> Iterator[Database]:
    made = Database(url, clock)
    yield made
    made.close()


def add_job(store: Database, token: str | None = None, job: str = JOB) -> None:
    spec = parse_job(json.dumps({**nothing_job(), "name": "jøb 🏝"}).encode()).document()
    proposal = Proposal(
        job=job,
        initiator="a",
        user="ann",
        spec=spec,
        spec_digest="0" * 64,
        seed="0" * 64,
        code={},
        api=OUR_API,
        submitted_ms=5,
    )
    with store.write() as writer:
        insert_job(writer, proposal, {"a": {}, "b": {}, "c": {}}, token)


def kinds(store: Database) -> list[str]:
    with store.read() as connection:
        return [e.kind for e in Reader("a").events(connection, JOB, 0, 1000)]


def test_migrations_make_exactly_the_tables(store: Database) -> None:
    with store.read() as connection:
        assert set(inspect(connection).get_table_names()) == {*tables.metadata.tables, "alembic_version"}
        context = MigrationContext.configure(connection, opts={"compare_type": store.dialect == "sqlite"})
        assert compare_metadata(context, tables.metadata) == []


def test_a_database_of_a_newer_release_is_refused(url: str, clock: FakeClock) -> None:
    store = Database(url, clock)
    with store.write() as writer:
        writer.run(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    with pytest.raises(BadDatabase, match="does not know"):
        Database(url, clock)


def test_opening_again_keeps_everything_and_goes_on_counting(url: str, clock: FakeClock) -> None:
    first = Database(url, clock)
    add_job(first)
    newest = first.wait_events(0, 0)
    reading = first.hlc()
    first.close()
    clock.advance(-50)  # the wall clock was set back
    again = Database(url, clock)
    assert again.wait_events(0, 0) == newest
    with again.write() as writer:
        move_job(writer, JOB, JobState.WAITING, JobEvent.AGREED)
    with again.read() as connection:
        rows = Reader("a").events(connection, JOB, 0, 10)
        assert Reader("a").job(connection, JOB).name == "jøb 🏝"
    assert HybridTime.parse(rows[-1].hlc) > HybridTime.parse(rows[0].hlc)
    assert reading > HybridTime.parse(rows[0].hlc)
    again.close()


def test_a_job_is_moved_once(store: Database) -> None:
    add_job(store)
    with store.write() as writer:
        move_job(writer, JOB, JobState.WAITING, JobEvent.AGREED)
    with pytest.raises(Moved, match="no longer 'waiting'"), store.write() as writer:
        move_job(writer, JOB, JobState.WAITING, JobEvent.AGREED)
    with pytest.raises(IllegalTransition), store.write() as writer:
        move_job(writer, JOB, JobState.AGREED, JobEvent.RESUMED)
    assert kinds(store) == ["job.waiting", "job.agreed"]


def test_of_many_threads_one_moves_the_job(store: Database) -> None:
    add_job(store)
    outcomes: list[str] = []

    def move() -> None:
        try:
            with store.write() as writer:
                move_job(writer, JOB, JobState.WAITING, JobEvent.AGREED)
            outcomes.append("moved")
        except Moved:
            outcomes.append("late")

    threads = [threading.Thread(target=move) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["late"] * 7 + ["moved"]


def test_a_transaction_that_fails_leaves_nothing(store: Database) -> None:
    add_job(store)

    def half() -> None:
        with store.write() as writer:
            new_attempt(writer, NAME, [GUEST])
            move_attempt(writer, NAME, AttemptState.PENDING, AttemptEvent.SUCCEEDED)

    with pytest.raises(IllegalTransition):
        half()
    assert kinds(store) == ["job.waiting"]
    with store.read() as connection:
        assert connection.execute(select(tables.attempt)).all() == []


def test_an_attempt_lives_with_its_sides_and_is_cancelled_with_its_job(store: Database) -> None:
    add_job(store)
    error = ErrorView(code="x.y", message="ü" * 5000, hint="h", party="b")
    with store.write() as writer:
        new_attempt(writer, NAME, [GUEST, HOST])
        new_attempt(writer, NAME, [GUEST, HOST])  # again changes nothing
        move_attempt(writer, NAME, AttemptState.PENDING, AttemptEvent.RESERVED)
        move_each(writer, tables.side, NAME, [str(GUEST)], AttemptState.PENDING, [AttemptEvent.RESERVED])
        move_job(writer, JOB, JobState.WAITING, JobEvent.FAILED, error)
        cancel_open(writer, JOB)
        mirror_job(writer, JOB, JobState.SUCCEEDED)  # an ended job stays as it is
    with store.read() as connection:
        view = Reader("a").job(connection, JOB)
        states = connection.execute(select(tables.side.c.state)).scalars().all()
    assert view.state is JobState.FAILED
    assert view.error == error
    assert states == ["cancelled", "cancelled"]
    assert kinds(store)[-1] == "attempt.cancelled"


def metric(step: int, value: float, name: str = "loss", address: str = "guest:a") -> MetricReport:
    return MetricReport(task="t", attempt=1, address=address, name=name, step=step, value=value, at_ms=step)


def test_numbers_are_recorded_once_and_the_first_counts(store: Database) -> None:
    add_job(store)
    values = [0.1, math.nan, math.inf, -math.inf, 1e308, -2.5]
    with store.write() as writer:
        insert_metrics(writer, JOB, [metric(t, v) for t, v in enumerate(values)])
        insert_metrics(writer, JOB, [metric(0, 9.9), metric(0, 0.2, "auc"), metric(0, 0.3, address="arbiter:a")])
        insert_metrics(writer, JOB, [])
    with store.read() as connection:
        rows = Reader("a").metrics(connection, JOB, "t", 0)
    loss = [r.value for r in rows if (r.name, r.role) == ("loss", "guest")]
    assert [str(v) for v in loss] == [str(v) for v in values]
    assert len(rows) == 8
    assert kinds(store).count("metrics.recorded") == 2
    with store.read() as connection:
        told = Reader("a").with_metrics(connection, JOB, Reader("a").events(connection, JOB, 0, 100))
        latest = Reader("a").latest_metrics(connection, JOB)
    assert [row.id for event in told for row in event.metrics] == [row.id for row in rows]
    assert [len(event.metrics) for event in told if event.kind == "metrics.recorded"] == [6, 2]
    assert {(r.name, r.role): r.id for r in latest} == {(r.name, r.role): r.id for r in rows}


def test_an_event_tells_of_the_numbers_of_its_party_alone(store: Database) -> None:
    add_job(store)
    with store.write() as writer:
        many = [metric(t, 0.1, address=address) for t in range(3) for address in ("guest:a", "host:b")]
        insert_metrics(writer, JOB, many)
        insert_metrics(writer, OTHER, many)
    with store.read() as connection:
        events = Reader("a").with_metrics(connection, JOB, Reader("a").events(connection, JOB, 0, 100))
        assert [e.kind for e in Reader("a").moves(connection, JOB, 5)] == ["job.waiting"]
    told = [(e.party, [(row.party, row.step) for row in e.metrics]) for e in events if e.metrics]
    assert told == [(party, [(party, t) for t in range(3)]) for party in ("a", "b")]


def test_log_lines_and_progress_are_recorded(store: Database) -> None:
    add_job(store)
    line = LogReport(task="t", attempt=1, address="host:b", incarnation=1, sequence=4, level="info", text="é", at_ms=1)
    far = ProgressReport(task="t", attempt=1, address="host:b", done=1, total=9, what="w" * 300, at_ms=1)
    with store.write() as writer:
        insert_logs(writer, JOB, [line, line])
        insert_logs(writer, JOB, [line.model_copy(update={"sequence": n, "text": f"{n}"}) for n in (5, 6)])
        assert amount(writer.connection, tables.log_line, JOB, ("t", 1, line.address)) == (3, 4)
        assert amount(writer.connection, tables.metric, JOB, ("t", 1, line.address)) == (0, 0)
        put_progress(writer, JOB, [far, far.model_copy(update={"done": 2})])
        put_progress(writer, JOB, [far.model_copy(update={"done": 3})])
    with store.read() as connection:
        assert [r.text for r in Reader("a").logs(connection, JOB, None, 0)] == ["é", "5", "6"]
        assert [r.text for r in Reader("a").logs(connection, JOB, None, 0, 2)] == ["5", "6"]
        assert [r.text for r in Reader("a").logs(connection, JOB, "t", 0, 5)] == ["é", "5", "6"]
        [row] = Reader("a").progress(connection, JOB)
    assert (row.done, len(row.what)) == (3, 200)


def test_how_far_each_event_log_was_recorded_is_remembered(store: Database, clock: FakeClock) -> None:
    with store.write() as writer:
        assert read_places(writer) == {}
        put_places(writer, JOB, {"a": 7, "b": 1})
        put_places(writer, JOB, {"a": 9})
        put_places(writer, OTHER, {"c": 2})
    clock.advance(FORGET_MS / 1000 + 1)
    with store.write() as writer:
        assert read_places(writer) == {"a": 9, "b": 1, "c": 2}, "an executor may be silent for long"
        put_places(writer, JOB, {"a": 10})
        writer.run(insert(tables.part).values(job=JOB, initiator="a", state="ended"))
    with store.write() as writer:
        assert read_places(writer) == {"a": 10, "c": 2}


def test_who_waits_for_events_is_woken_by_the_commit(store: Database) -> None:
    add_job(store)
    seen = store.wait_events(0, 0)
    found: list[int] = []
    waiter = threading.Thread(target=lambda: found.append(store.wait_events(seen, 10)))
    waiter.start()
    with store.write() as writer:
        move_job(writer, JOB, JobState.WAITING, JobEvent.AGREED)
    waiter.join(5)
    assert found == [seen + 1]
    assert store.wait_events(seen + 1, 0.01) == seen + 1


def _reading_in(store: Database, clock: FakeClock, seconds: float, counter: int = 3) -> HybridTime:
    return HybridTime(int((clock.now() + timedelta(seconds=seconds)).timestamp() * 1000), counter)


def test_a_clock_seen_elsewhere_puts_our_events_after_it(store: Database, clock: FakeClock) -> None:
    far = _reading_in(store, clock, 60)
    store.saw(far, "b")
    add_job(store)
    with store.read() as connection:
        [row] = Reader("a").events(connection, JOB, 0, 10)
    assert HybridTime.parse(row.hlc) == HybridTime(far.wall_ms, 4)
    assert store.clocks_apart() == {}


def test_a_clock_that_is_wrong_moves_nothing_here_and_is_named(store: Database, clock: FakeClock) -> None:
    now_ms = round(clock.now().timestamp() * 1000)
    store.saw(_reading_in(store, clock, 3_600), "b")
    store.saw(_reading_in(store, clock, -7_200), "c")
    store.saw(_reading_in(store, clock, 1), "d")
    assert store.clocks_apart() == {"b": Apart(3_600_000, now_ms), "c": Apart(-7_200_000, now_ms)}
    add_job(store)
    with store.read() as connection:
        [row] = Reader("a").events(connection, JOB, 0, 10)
    assert HybridTime.parse(row.hlc).wall_ms <= clock.now().timestamp() * 1000 + 60_000
    store.saw(_reading_in(store, clock, 0), "b")
    assert store.clocks_apart() == {"c": Apart(-7_200_000, now_ms)}


def test_our_own_clock_set_right_again_is_believed(store: Database, clock: FakeClock) -> None:
    clock.advance(7_200)
    wrong = store.hlc()
    clock.advance(-7_200)
    assert store.hlc().wall_ms == wrong.wall_ms - 7_200_000


def test_a_whole_life_is_found_in_the_tables(url: str, tmp_path: Path) -> None:
    world = World(tmp_path)
    world["a"].url = url
    world.up()
    job = world.submit(train_job(), token="once")
    world.wait_closed(job, party="a")
    assert world.submit(train_job(), token="once") == job
    world["a"].down()
    flow = world["a"].up()  # the store alone tells the same
    view = flow.job(job)
    assert (view.state, view.closed, [t.state for t in view.tasks]) == (JobState.SUCCEEDED, True, ["succeeded"] * 2)
    world.down()


def test_a_database_that_is_away_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        Database("mysql+pymysql://nobody@127.0.0.1:1/none", FakeClock())
    with pytest.raises(StoreUnavailable):
        Database(f"sqlite:///{tmp_path}/no/folder/x.sqlite", FakeClock())


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("", "no database address"),
        ("u:secret@h", "no database address"),
        ("mysql://u:secret@h:port/d", "no database address"),
        ("postgresql://u:secret@h/d", "'postgresql' is no kind of database"),
    ],
)
def test_an_address_of_no_database_that_flow_has_is_refused_and_never_shown(address: str, says: str) -> None:
    with pytest.raises(BadDatabase, match=says) as caught:
        Database(address, FakeClock())
    assert "secret" not in str(caught.value)


def test_a_server_that_hangs_is_one_that_is_away_until_it_goes_on(mariadb: MariaDb) -> None:
    database = Database(mariadb.new_database(), FakeClock(), answer_s=1)
    try:
        with mariadb.hanging(), pytest.raises(StoreUnavailable, match="timed out"), database.read() as connection:
            connection.execute(select(literal(1)))
        with database.read() as connection:
            assert connection.execute(select(literal(1))).scalar_one() == 1
    finally:
        database.close()


def test_an_address_that_names_no_driver_reaches_the_same_server(mariadb: MariaDb) -> None:
    address = mariadb.new_database()
    for scheme in ("mysql", "mariadb", "mysql+pymysql"):
        database = Database(f"{scheme}://{address.partition('://')[2]}", FakeClock())
        assert database.dialect == "mysql"
        database.close()


def test_flow_does_not_open_with_an_address_that_others_may_read(tmp_path: Path) -> None:
    home = create_home(tmp_path / "a", "a", database="mysql+pymysql://u:secret@127.0.0.1:1/flow")
    (home.root / "keys" / "database.url").chmod(0o644)
    policy = PolicyBook(home.root / SETTINGS_FILE, lambda: ["a"])
    rooms = Rooms(FakeGateway(Hub(), "a"), FakeCluster(), FakeStore("a"))
    with pytest.raises(FileExposed):
        FlowService.open(home, policy, rooms)


# -- earlier jobs ----------------------------------------------------------------------------------------------------
JOBS = [f"01M84NKVCS9025W7T6P1XBY3P{digit}" for digit in "0123"]


def add_part(store: Database, name: str, resume: str | None, state: str, initiator: str = "a") -> JobSpec:
    """A job that we take part in."""
    document = {**nothing_job(resume=resume), "initiator": initiator, "roles": {"guest": [initiator], "host": ["b"]}}
    spec = parse_job(json.dumps(document).encode())
    proposal = Proposal(
        job=name, initiator=initiator, user="ann", spec=spec.document(), spec_digest="0" * 64, seed="0" * 64, code={},
        api=OUR_API, submitted_ms=5,
    )  # fmt: skip
    answer = Answer(api=OUR_API, job=name, party="b", proposal_digest="0" * 64, decision=Decision.AGREE)
    with store.write() as writer:
        insert_job(writer, proposal, {}, None)
        insert_part(writer, proposal, SignedAnswer(answer=answer, signature=""), state)
        if state == "ended":
            mirror_job(writer, name, JobState.FAILED)
    return spec


def line(store: Database, spec: JobSpec) -> list[str]:
    return [rows.job_id for rows in Catalogue(component).earlier(store.rows, spec)]


def test_the_line_of_earlier_jobs_goes_back_newest_first(store: Database) -> None:
    add_part(store, JOBS[0], None, "ended")
    add_part(store, JOBS[1], JOBS[0], "ended")
    assert line(store, add_part(store, JOBS[2], JOBS[1], "open")) == [JOBS[1], JOBS[0]]
    assert line(store, add_part(store, JOBS[3], JOB, "open")) == []


def test_the_line_ends_before_a_job_that_its_initiator_was_not_in(store: Database) -> None:
    add_part(store, JOBS[0], None, "ended", initiator="c")
    add_part(store, JOBS[1], JOBS[0], "ended")
    assert line(store, add_part(store, JOBS[2], JOBS[1], "open")) == [JOBS[1]]


def test_a_made_up_circle_of_jobs_ends(store: Database) -> None:
    add_part(store, JOBS[0], JOBS[1], "ended")
    add_part(store, JOBS[1], JOBS[0], "ended")
    assert line(store, add_part(store, JOBS[2], JOBS[1], "open")) == [JOBS[1], JOBS[0]]


def test_a_job_whose_time_is_over_has_ended_here_too(store: Database, clock: FakeClock) -> None:
    add_part(store, JOBS[0], None, "ended")
    add_part(store, JOBS[1], None, "open")
    add_part(store, JOBS[3], None, "ended")
    now_ms = int(clock.now().timestamp() * 1000)
    with store.read() as connection:
        assert ended_before(connection, JOBS[:3], now_ms) == {JOBS[0]}
        assert ended_before(connection, JOBS, now_ms - 1) == set()
        assert ended_before(connection, [], now_ms) == set()
        assert live_jobs(connection) == [JOBS[1]]


def test_the_documents_of_older_jobs_are_counted_and_kept_once_from_the_first_start_on(
    url: str, clock: FakeClock
) -> None:
    older = Database(url, clock)
    add_job(older)
    answer = Answer(api=OUR_API, job=JOB, party="b", proposal_digest="0" * 64, decision=Decision.AGREE)
    proposal = proposal_of(older.rows(JOB))
    with older.write() as writer:
        insert_part(writer, proposal, SignedAnswer(answer=answer, signature=""), "agreed")
        for table, old in (("job", "manifest"), ("part", "manifest"), ("part", "proposal")):  # as it was after 0004
            writer.run(text(f"ALTER TABLE {table} ADD COLUMN {old} TEXT"))
        later = (("executor", name) for name in ("differing", "unsaved", "restart_due"))
        paused = (("job", "paused_ms"), ("job_party", "pause_due"), ("part", "decided_by"), ("part", "note"))
        steps = (("side", "kept"), ("attempt", "from_attempt"), ("attempt", "from_step"), ("part", "by_policy"))
        for table, gone in (("part", "bytes"), ("job_party", "absent_code"), *later, *paused, *steps):
            writer.run(text(f"ALTER TABLE {table} DROP COLUMN {gone}"))
        next(index for index in tables.job.indexes if index.name == "job_by_time").drop(writer.connection)
        writer.run(text("UPDATE part SET manifest = ''"))
        writer.run(text("UPDATE job SET proposal = '', manifest = ''"))
        document = proposal.model_copy(update={"seed": "1" * 64}).model_dump_json(by_alias=True)
        writer.run(text("UPDATE part SET proposal = :document").bindparams(document=document))
        for table in ("event_log", "health", "note", "hook_call"):
            writer.run(text(f"DROP TABLE {table}"))
        writer.run(text("CREATE TABLE `cursor` (name VARCHAR(40) PRIMARY KEY, position BIGINT NOT NULL)"))
        writer.run(text("UPDATE alembic_version SET version_num = '0004'"))
    older.close()
    newer = Database(url, clock)
    kept = newer.rows(JOB)
    assert kept.part.bytes > len(kept.job.spec)
    assert proposal_of(kept) == proposal.model_copy(update={"seed": "1" * 64})
    newer.close()


# -- what is in memory -----------------------------------------------------------------------------------------------
def test_what_is_in_memory_of_a_job_is_what_is_stored(store: Database) -> None:
    add_job(store)
    with store.write() as writer:
        new_attempt(writer, NAME, [GUEST, HOST])
        move_attempt(writer, NAME, AttemptState.PENDING, AttemptEvent.RESERVED)
        both = [str(GUEST), str(HOST)]
        move_each(writer, tables.side, NAME, both, AttemptState.PENDING, [AttemptEvent.RESERVED, AttemptEvent.STARTED])
    known = store.rows(JOB)
    assert [row.state for row in known.of(tables.side)] == ["running", "running"]
    with store.read() as connection:
        assert load(connection, JOB) == known


def test_a_change_of_what_memory_holds_no_longer_is_refused_and_memory_is_read_anew(store: Database) -> None:
    add_job(store)
    with store._engine.begin() as behind:
        behind.execute(text("UPDATE job SET state = 'agreed'"))
    with pytest.raises(Moved, match="no longer 'waiting'"), store.write() as writer:
        move_job(writer, JOB, JobState(writer.rows(JOB).job.state), JobEvent.AGREED)
    assert store.rows(JOB).job.state == "agreed"


def test_a_statement_that_memory_cannot_follow_empties_it(store: Database) -> None:
    add_job(store)
    with store.write() as writer:
        assert writer.rows(JOB).job.state == "waiting"
        writer.run(tables.job.update().values(state="running"))
        assert writer.rows(JOB).job.state == "running"
    assert store.rows(JOB).job.state == "running"


def test_what_was_given_up_is_not_in_memory(store: Database) -> None:
    add_job(store)

    def half() -> None:
        with store.write() as writer:
            move_job(writer, JOB, JobState.WAITING, JobEvent.AGREED)
            assert writer.rows(JOB).job.state == "agreed"
            raise KeyError

    with pytest.raises(KeyError):
        half()
    assert store.rows(JOB).job.state == "waiting"


def test_memory_holds_so_many_bytes(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    add_job(store)
    monkeypatch.setattr("flow.store.job_cache.MOST_BYTES", 2 * store.rows(JOB).size)
    for name in JOBS:
        add_job(store, job=name)
    held = [name for name in JOBS if store._cache.find(name) is not None]
    assert held == JOBS[2:]
    assert store.rows(JOBS[0]).job.id == JOBS[0]


def test_what_a_person_refused_is_ended_where_another_party_leads_it(store: Database) -> None:
    add_job(store)
    answer = Answer(api=OUR_API, job=JOB, proposal_digest="0" * 64, party="b", decision=Decision.REFUSE)
    with store.write() as writer:
        spec = parse_job(json.dumps(nothing_job()).encode()).document()
        proposal = Proposal(
            job=JOB,
            initiator="a",
            user="ann",
            spec=spec,
            spec_digest="0" * 64,
            seed="0" * 64,
            code={},
            api=OUR_API,
            submitted_ms=5,
        )
        insert_part(writer, proposal, SignedAnswer(answer=answer, signature=""), "refused", ["Not this month."])
    for party, state in (("a", JobState.WAITING), ("b", JobState.REFUSED), ("b", JobState.REFUSED)):
        with store.write() as writer:
            end_refused(writer, party)
        with store.read() as connection:
            view = Reader(party).job(connection, JOB)
        assert view.state is state
    assert view.error is not None
    assert (view.error.code, view.error.message, view.error.party) == ("flow.job_refused", "Not this month.", "b")
    assert kinds(store).count("job.refused") == 1
