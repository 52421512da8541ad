"""What is open ends soon after its user may no longer: streams of events, and files on their way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flow.rest.routes import results
from party.users import _ANY, Verb
from runtime.errors import Denied, Unavailable
from tests.fakes.flow_party import FakeParty, job_json


@pytest.mark.parametrize("how", ["removed", "renewed", "session ended", "session too old", "demoted"])
@pytest.mark.parametrize("which", ["of one job", "of all"])
def test_a_stream_ends_and_says_why_when_its_user_may_read_no_longer(
    party: FakeParty, monkeypatch: pytest.MonkeyPatch, how: str, which: str
) -> None:
    job = party.client.submit(job_json())
    name = f"{how}-{which}".replace(" ", "-")
    user = party.client_of(name, "scientist")
    session = party.client.as_user(user.open_session().token)
    stream = session.events(job if which == "of one job" else None)
    assert next(stream)
    ends: dict[str, Callable[[], object]] = {
        "removed": lambda: party.home.user_file.remove(name),
        "renewed": lambda: party.home.user_file.new_token(name),
        "session ended": session.end_session,
        "session too old": lambda: party.clock.advance(13 * 3600),
        "demoted": lambda: monkeypatch.setattr("flow.rest.routes.streams.READ_EVENTS", ("manage", "user")),
    }
    ends[how]()
    with pytest.raises(Denied) as refused:
        list(stream)
    assert refused.value.code == ("party.not_allowed" if how == "demoted" else "party.not_authenticated")


def test_a_password_that_is_changed_ends_the_streams_of_sessions_and_not_those_of_the_token(party: FakeParty) -> None:
    job = party.client.submit(job_json())
    user = party.client_of("changing", "scientist")
    session = party.client.as_user(user.open_session().token)
    kept, ended = user.events(job), session.events(job)
    assert next(kept)
    assert next(ended)
    party.home.user_file.set_password("changing", "correct horse battery")
    with pytest.raises(Denied, match="over"):
        list(ended)
    party.service.play(job, rounds=1)
    assert list(kept)[-1].kind == "job.succeeded"


def test_a_file_on_its_way_stops_when_its_user_is_removed(
    party: FakeParty, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def pieces(*_: object) -> object:
        yield b"first"
        yield b"second"
        party.home.user_file.remove("taking")
        time.sleep(2 * party.app.state.backends.ask_again_s)
        yield b"third"

    party.tables.upload(_csv(party), "streams/table")
    user = party.client_of("taking", "scientist")
    monkeypatch.setattr(results, "exported", pieces)
    with pytest.raises(Unavailable):
        user.export_table("streams/table", tmp_path / "out.csv", "csv")
    assert not (tmp_path / "out.csv").exists()


def _csv(party: FakeParty) -> str:
    file = party.home.root / "t.csv"
    file.write_text("x\n1\n")
    return str(file)


def test_a_stream_carries_numbers_only_for_a_user_who_may_read_them(
    party: FakeParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = party.client.submit(job_json())
    party.service.play(job, rounds=1)
    assert [row for event in party.client.events(job) for row in event.metrics]
    monkeypatch.setitem(_ANY, "officer", {Verb.READ: frozenset({"job", "event"})})
    told = list(party.client_of("watcher", "officer").events(job))
    assert [event.kind for event in told] == [event.kind for event in party.client.events(job)]
    assert not [row for event in told for row in event.metrics]


def test_a_stream_where_nothing_happens_asks_the_database_nothing(
    party: FakeParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    looked = threading.Semaphore(0)
    events = party.service.events
    monkeypatch.setattr(party.service, "events", lambda *a, **k: asked.append(a) or events(*a, **k))
    stream = party.client.events(party.client.submit(job_json()))
    assert next(stream)
    monkeypatch.setattr("flow.rest.routes.streams._refusal", lambda _caller: looked.release() or "")
    for _ in range(5):
        assert looked.acquire(timeout=60)
    assert len(asked) == 1
    stream.close()
