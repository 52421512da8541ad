"""A program of the party's own hears of each job that is over, once it can be reached, and can tell who says so."""

from __future__ import annotations

import hmac
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from flow import hook as hooks
from flow.hook import MOST_TRIES, CallHook, Hook, HookCalls, again_s, body_of, signature
from flow.protocol.messages import Decision
from flow.store.tables import hook_call
from tests.fakes.flow_world import SCIENTIST, World, fails, nothing_job
from tests.fakes.nodes import eventually

SECRET = b"a secret of ours"


@dataclass
class Listener:
    """Takes requests and answers with the statuses that a test wrote down, then with 204."""

    statuses: list[int] = field(default_factory=list)
    taken: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.taken.append((self.path, dict(self.headers), body))
            self.send_response(made.statuses.pop(0) if made.statuses else 204)
            self.send_header("Location", f"{made.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815 - the library's name

        def log_message(self, *_said: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}/hook"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()


def due(world: World, party: str) -> list[Any]:
    flow = world[party].flow
    assert flow is not None
    with flow._database.read() as connection:
        return list(connection.execute(hook_call.select()))


def test_each_job_that_is_over_is_told_until_it_is_taken_and_over_restarts(
    tmp_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "FIRST_PAUSE_S", 0.1)
    listener.statuses = [500, 302]
    world = World(tmp_path)
    for party in ("a", "b"):  # one that leads the job, one that does not
        world[party].hook = Hook(listener.url, lambda: SECRET)
    world.up()
    world["c"].cluster.script = fails()
    job = world.submit(nothing_job(retries=0))
    world.wait_closed(job)
    world.wait_closed(job, party="b")
    world["a"].down()
    world["a"].up()
    eventually(lambda: not due(world, "a") and not due(world, "b"))
    world.down()
    assert len(listener.taken) == 4
    assert {path for path, _, _ in listener.taken} == {"/hook"}  # no redirect was followed
    told = [json.loads(body) for _, _, body in listener.taken]
    assert {(each["party"], each["job"], each["state"]) for each in told} == {
        ("a", job, "failed"),
        ("b", job, "failed"),
    }
    assert {each["error_code"] for each in told} == {"algorithms.bad_labels"}
    for _, headers, body in listener.taken:
        signed = f"{headers['Archipelago-Timestamp']}.".encode() + body
        assert headers["Archipelago-Signature"] == f"v1={hmac.new(SECRET, signed, sha256).hexdigest()}"


def test_what_was_never_agreed_on_is_not_told(tmp_path: Path, listener: Listener) -> None:
    world = World(tmp_path)
    world["b"].hook = Hook(listener.url, lambda: SECRET)
    world["b"].policy = world["b"].policy.model_copy(update={"accept": Decision.REFUSE})
    world.up()
    job = world.submit(nothing_job())
    world.wait_closed(job)
    world.wait(job, "refused", party="b")
    assert due(world, "b") == []
    world.down()
    assert listener.taken == []


def test_our_own_jobs_are_told_before_those_of_others(tmp_path: Path, listener: Listener) -> None:
    world = World(tmp_path).up()
    flow = world["a"].flow
    assert flow is not None
    assert world["b"].flow is not None
    theirs = world["b"].flow.submit(json.dumps(nothing_job() | {"initiator": "b"}).encode(), user=SCIENTIST)
    world.wait_closed(theirs, party="b")
    ours = world.submit(nothing_job())
    world.wait_closed(ours)
    with flow._database.write() as writer:
        for job, next_ms in ((theirs, 1), (ours, 2)):
            writer.insert_new(hook_call, [{"job": job, "tries": 0, "next_ms": next_ms}])
    calls = HookCalls("a", flow._database, Hook(listener.url, lambda: SECRET), lambda: None)
    assert [calls.carry_out(CallHook()) for _ in range(3)] == [0.0, 0.0, None]
    world.down()
    assert [json.loads(body)["job"] for _, _, body in listener.taken] == [ours, theirs]


def test_a_party_without_a_hook_keeps_nothing_for_one_and_forgets_what_was_due(tmp_path: Path) -> None:
    world = World(tmp_path, "a", "b", "c")
    world["a"].hook = Hook("http://127.0.0.1:9/", lambda: SECRET)
    world.up()
    job = world.submit(nothing_job())
    world.wait_closed(job)
    eventually(lambda: [row.job for row in due(world, "a")] == [job])
    assert due(world, "b") == []
    world["a"].down()
    world["a"].hook = None
    world["a"].up()
    assert due(world, "a") == []
    world.down()


def test_the_signature_is_of_time_and_body() -> None:
    assert signature(SECRET, 1, b"{}") != signature(SECRET, 2, b"{}")
    assert signature(b"k" * 16, 1_700_000_000, b"{}") == (
        "v1=" + hmac.new(b"k" * 16, b"1700000000.{}", "sha256").hexdigest()
    )


def test_it_tells_nothing_that_a_job_has_read_or_made_and_nothing_that_people_wrote() -> None:
    class Row:
        name = user_name = error_message = spec = "SECRET"
        id = initiator = state = outcome = error_code = "x"
        submitted_ms = started_ms = ended_ms = 1

    assert b"SECRET" not in body_of(Row, "a")


def test_pauses_grow_to_an_hour_and_it_is_given_up_after_days() -> None:
    pauses = [again_s(tries) for tries in range(1, MOST_TRIES + 1)]
    assert pauses[:3] == [2.0, 4.0, 8.0]
    assert pauses[-1] is None
    assert max(pause for pause in pauses if pause) == 3600.0
    assert sum(pause for pause in pauses if pause) > 2 * 86_400


def test_certificates_are_checked() -> None:
    trust = hooks._trust(Hook("https://host/", lambda: SECRET))
    assert (trust.verify_mode, trust.check_hostname) == (ssl.CERT_REQUIRED, True)
