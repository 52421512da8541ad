"""REST as a client meets it: every route asks who calls, every error has one form."""

from __future__ import annotations

import errno
import json
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from flow.client import EventRow, FlowClient, FlowUnreachable, JobState, JobView
from flow.rest import vitals
from flow.rest_client.patience import Patience
from flow.views.jobs import ErrorView
from gateway.client import GatewayDown
from runtime.errors import Conflict, Denied, InvalidInput, NotFound, Unavailable
from storage.client import Model, TableRoles
from tests.fakes.flow_party import FakeParty, job_json
from tests.fakes.flow_service import waiting_for_person
from tests.fakes.nodes import eventually


@pytest.fixture(scope="module", autouse=True)
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=60) as client:
        yield client


def url(party: FakeParty, path: str) -> str:
    return f"http://127.0.0.1:{party.server.port}{path}"


def test_a_user_of_another_party_does_not_own_our_view_of_its_job(party: FakeParty) -> None:
    scientist = party.client_of("alice", "scientist")
    own = scientist.submit(job_json())
    foreign = scientist.submit(job_json(initiator="hospital-b"))
    assert scientist.stop(own).state is JobState.CANCELLED
    with pytest.raises(Denied):
        scientist.stop(foreign)


def test_a_job_is_submitted_once_per_token(party: FakeParty) -> None:
    client = party.client
    job = client.submit(job_json(), submit_token="t")
    assert client.submit(job_json(), submit_token="t") == job
    with pytest.raises(Conflict) as refused:
        client.submit(job_json(name="other"), submit_token="t")
    assert refused.value.code == "flow.submit_token_reused"
    assert client.job(job).state is JobState.WAITING
    assert [j.id for j in client.jobs(1)] == [job]
    assert client.jobs(state="succeeded") == []
    older = client.jobs(1, before=job)
    assert all(each.id < job for each in older)
    assert client.jobs(1, before=client.submit(job_json()))[0].id == job


def test_a_wrong_job_names_every_problem_with_its_path(party: FakeParty) -> None:
    wrong = job_json(tasks={"train": {"component": "homo_lrr@1"}})
    found = party.client.validate(wrong)
    assert not found.valid
    assert found.problems[0]["path"] == "tasks.train.component"
    with pytest.raises(InvalidInput) as refused:
        party.client.submit(wrong)
    assert refused.value.field == "tasks.train.component"
    assert "Did you mean" in refused.value.hint
    right = party.client.validate(job_json())
    assert (right.valid, right.decision) == (True, "agree")
    assert found.decision == "refuse"
    assert party.client.schema()["type"] == "object"


def test_decisions_reach_flow(party: FakeParty) -> None:
    client = party.client
    approved, refused = client.submit(job_json()), client.submit(job_json())
    digest = client.proposal(approved).digest
    with pytest.raises(Conflict) as changed:
        client.approve(approved, "0" * 64)
    assert (changed.value.code, client.job(approved).state) == ("flow.proposal_changed", JobState.WAITING)
    assert client.approve(approved, digest).state is JobState.AGREED
    with pytest.raises(Conflict):
        client.approve(approved, digest)
    assert client.refuse(refused, "not with us").error == ErrorView(code="flow.job_refused", message="not with us")
    party.service.reasons[approved] = ["train waits for 64 cores."]
    assert client.why(approved) == ["train waits for 64 cores."]


@pytest.mark.parametrize("body", [None, {}, {"digest": ""}])
def test_an_approval_without_the_digest_of_what_was_seen_is_refused_with_a_sentence(
    http: httpx.Client, party: FakeParty, body: object
) -> None:
    job = party.client.submit(job_json())
    headers = {"Authorization": f"Bearer {party.home.token()}"}
    answer = http.post(url(party, f"/v1/jobs/{job}/approve"), headers=headers, json=body)
    told = answer.json()
    assert (answer.status_code, told["code"], told["field"]) == (400, "flow.bad_request", "digest")
    assert told["message"] == "An approval names what was seen: 'digest' is missing."
    assert f"/v1/jobs/{job}/proposal" in told["hint"]
    assert party.client.job(job).state is JobState.WAITING


def test_whoever_watches_hears_for_whom_the_job_waits_when_a_person_is_asked(party: FakeParty) -> None:
    job = party.client.submit(job_json())
    party.service.change(job, waiting_for=(waiting_for_person("coordinator"),))
    told = party.client.watch(job)
    view = next(told)
    assert isinstance(view, JobView)
    assert [waiting.who for waiting in view.waiting_for] == ["coordinator"]
    party.service.event("party.ask", job, party="coordinator")  # known already
    both = (*view.waiting_for, waiting_for_person("hospital-a"))
    party.service.change(job, waiting_for=both)
    party.service.event("party.ask", job, party="hospital-a")
    kinds = [next(told).kind for _ in range(3)]  # type: ignore[union-attr]
    assert kinds == ["job.waiting", "party.ask", "party.ask"]
    assert next(told) == list(both)
    party.service.play(job, rounds=1)
    assert list(told)[-1].state is JobState.SUCCEEDED  # type: ignore[union-attr]


def test_the_events_of_a_job_stream_to_its_end_and_can_be_taken_up_again(
    http: httpx.Client, party: FakeParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = party.client.submit(job_json())
    party.service.play(job, rounds=3)
    rows = list(party.client.events(job))
    assert rows[0].kind == "job.waiting"
    assert rows[-1].kind == "job.succeeded"
    assert [r.id for r in rows] == sorted({r.id for r in rows})
    assert list(party.client.events(job, since=rows[3].id)) == rows[4:]
    assert [row for event in rows for row in event.metrics] == party.client.metrics(job)
    bare = [row.model_copy(update={"metrics": ()}) for row in rows]
    assert party.client.timeline(job) == bare
    monkeypatch.setattr("flow.rest_client.jobs.MOST_EVENTS", 3)
    assert party.client.timeline(job) == bare
    assert party.client.moves(job, 2) == [row for row in bare if not row.kind.endswith("recorded")][-2:]
    headers = {"Authorization": f"Bearer {party.home.token()}", "Last-Event-ID": str(rows[-2].id)}
    with http.stream("GET", url(party, f"/v1/jobs/{job}/events"), headers=headers) as stream:
        text = stream.read().decode()
    assert text.count('data: {"id"') == 1
    assert "event: end" in text
    headers["Last-Event-ID"] = "9" * 4400
    assert http.get(url(party, f"/v1/jobs/{job}/events"), headers=headers).status_code == 400
    headers["Last-Event-ID"] = "x"
    bad = http.get(url(party, f"/v1/jobs/{job}/events"), headers=headers)
    assert bad.status_code == 400
    assert bad.json()["field"] == "last-event-id"
    with pytest.raises(NotFound):
        list(party.client.events("nope"))
    assert len(party.client.metrics(job, "train")) == 12
    assert len(party.client.metrics(job, "train", since=4)) == 8
    last = {(row.task, row.party, row.role, row.name): row for row in party.client.metrics(job)}
    assert party.client.latest_metrics(job) == sorted(last.values(), key=lambda row: row.id)
    assert party.client.logs(job)[0].text == "round 1 done"
    assert party.client.outputs(job)[0].kind == "model"
    assert party.client.progress(job) == []


class Outages:
    """A party that is away after every piece of news, until somebody has begun to wait for it."""

    def __init__(self, party: FakeParty) -> None:
        self._party = party
        self.told: list[str] = []

    def begin(self) -> None:
        self._party.service.broken = Unavailable("The database is away.")

    def end(self, error: Unavailable) -> None:
        self.told.append(error.message)
        self._party.service.broken = None


def patient(party: FakeParty, **how: float) -> FlowClient:
    return FlowClient(party.client.url, party.home.token(), patience=partial(Patience, **how))


def test_watching_outlasts_a_database_that_is_away(party: FakeParty) -> None:
    client = patient(party, pause_s=0.0)
    job = party.client.submit(job_json())
    party.service.play(job, rounds=2)
    undisturbed = list(client.watch(job))
    outages = Outages(party)
    outages.begin()
    seen = []
    for news in client.watch(job, outages.end):
        seen.append(news)
        if not isinstance(news, EventRow) or news.kind == "metrics.recorded":
            outages.begin()
    party.service.broken = None
    assert seen == undisturbed
    assert isinstance(seen[-1], JobView)
    assert len(outages.told) == 3  # the job is asked for, then its stream, which carries the rest, then the job again


def test_a_long_outage_is_told_once_and_ends_the_watching(party: FakeParty, monkeypatch: pytest.MonkeyPatch) -> None:
    job = party.client.submit(job_json())
    told: list[Unavailable] = []
    monkeypatch.setattr(party.service, "broken", Unavailable("The database is away."))
    with pytest.raises(Unavailable, match="The database is away"):
        list(patient(party, pause_s=0.01, for_s=0.2).watch(job, told.append))
    assert len(told) == 1


def test_the_stream_of_all_jobs_carries_what_happens_after(party: FakeParty) -> None:
    newest = party.service.wait_events(0, 0)
    stream = party.client.events(since=newest)
    job = party.client.submit(job_json())
    assert next(stream).job == job


def test_tables_are_uploaded_shown_and_deleted(party: FakeParty, tmp_path: Path) -> None:
    file = tmp_path / "pätients x.csv"
    file.write_text("id,x,y\n" + "".join(f"{i},{i / 2},{i % 2}\n" for i in range(1, 101)))
    told: list[tuple[int, int]] = []
    client = party.client
    view = client.upload(file, "breast/train", roles=TableRoles(id="id", label="y"), sent=lambda *a: told.append(a))
    size = file.stat().st_size
    assert told[-1] == (size, size)
    assert (view.reference, view.rows, view.owner) == ("breast/train@1", 100, "admin")
    assert client.upload(file, "breast/train", roles=TableRoles(id="id")).version == 2
    assert client.table("breast/train@1").roles == TableRoles(id="id", label="y")
    head = client.head("breast/train@1", 2)
    assert head.columns == ("id", "x", "y")
    assert head.rows == ((1, 0.5, 1), (2, 1.0, 0))
    assert {"breast/train@1", "breast/train@2"} <= {t.reference for t in client.tables()}
    client.delete("breast/train@1")
    with pytest.raises(NotFound) as missing:
        client.table("breast/train@1")
    assert missing.value.code == "storage.table_not_found"
    eventually(lambda: not list((party.home.state("flow") / "uploads").iterdir()))  # after the answer


def test_a_version_that_cannot_be_read_is_named_and_the_next_is_uploaded(party: FakeParty, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,x\n1,2\n")
    party.client.upload(tmp_path / "t.csv", "bad/table")
    (Path(party.home.store) / "tables/bad/table/1.json").write_bytes(b"{}")
    assert party.client.upload(tmp_path / "t.csv", "bad/table").version == 2
    shown = {view.version: bool(view.damaged) for view in party.client.tables() if view.name == "bad/table"}
    assert shown == {1: True, 2: False}
    party.client.delete("bad/table")
    assert not [view for view in party.client.tables() if view.name == "bad/table"]


def test_a_table_and_a_model_that_a_job_needs_stay(party: FakeParty, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,x\n1,2\n")
    party.client.upload(tmp_path / "t.csv", "near/needed")
    model = "01M84NKVCS9025W7T6P1XBY3P8/train.model"
    party.store.models.save(model, Model("toy", 1, {}, {}))
    party.service.needed = {"near/needed@1": "01M8", model: "01M8"}
    for delete, name in ((party.client.delete, "near/needed"), (party.client.delete_model, model)):
        with pytest.raises(Conflict, match="is needed by job 01M8") as refused:
            delete(name)
        assert refused.value.code == "flow.in_use"
    party.service.needed = {}
    party.client.delete("near/needed")
    party.client.delete_model(model)


def test_a_table_is_deleted_whatever_is_wrong_with_another(party: FakeParty, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,x\n1,2\n")
    for name in ("near/damaged", "near/whole", "near/whole"):
        party.client.upload(tmp_path / "t.csv", name)
    (manifest,) = (Path(party.home.store) / "tables" / "near" / "damaged").glob("*.json")
    kept = manifest.read_bytes()
    manifest.write_bytes(b"{}")
    try:
        party.client.delete("near/whole")
        with pytest.raises(NotFound):
            party.client.table("near/whole")
    finally:
        manifest.write_bytes(kept)


def test_only_its_owner_adds_a_version_to_a_table(party: FakeParty, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("id,x\n1,2\n")
    alice, eve = (party.client_of(name, "scientist") for name in ("table-alice", "table-eve"))
    alice.upload(file, "shared/table")
    with pytest.raises(Denied, match="belongs to table-alice") as refused:
        eve.upload(file, "shared/table")
    assert refused.value.code == "flow.table_owned"
    assert party.tables.manifest("shared/table").version == 1
    eventually(lambda: not list((party.home.state("flow") / "uploads").iterdir()))  # after the answer
    assert alice.upload(file, "shared/table").version == 2
    with pytest.raises(Denied):
        eve.delete("shared/table")
    alice.delete("shared/table")
    with pytest.raises(Denied, match="belongs to table-alice"):  # what was set for the name holds for the next of it
        eve.upload(file, "shared/table")
    assert alice.upload(file, "shared/table").version == 3


def test_nobody_grants_himself_a_table_that_another_user_will_upload(party: FakeParty, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("id,x\n1,2\n")
    alice, eve = (party.client_of(name, "scientist") for name in ("plant-alice", "plant-eve"))
    eve.upload(file, "clinic/cohort")
    eve.delete("clinic/cohort")
    with pytest.raises(Denied, match="belongs to plant-eve") as refused:
        alice.upload(file, "clinic/cohort")
    assert refused.value.code == "flow.table_owned"
    assert "Take another name" in refused.value.hint


def test_only_the_newest_lines_are_sent_if_so_asked(party: FakeParty) -> None:
    job = party.client.submit(job_json())
    party.service.play(job, rounds=7)
    lines = party.client.logs(job)
    assert party.client.newest_logs(job, 3) == lines[-3:]
    assert party.client.newest_logs(job, 500) == lines


def test_a_table_without_an_owner_takes_a_version_of_anybody(party: FakeParty, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("id,x\n1,2\n")
    party.tables.upload(str(file), "shared/nobodys")
    assert party.client_of("table-bob", "scientist").upload(file, "shared/nobodys").version == 2


def test_a_bad_line_is_told_by_the_files_own_name_and_leaves_nothing(party: FakeParty, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_text("id,y,x\n1,0,0.5\n2,1,0.25\n3,0\n")
    before = party.client.tables()
    with pytest.raises(InvalidInput) as refused:
        party.client.upload(file, "breast/bad", roles=TableRoles(id="id"))
    assert refused.value.message.startswith("bad.csv")
    assert "line 4" in refused.value.message
    assert party.client.tables() == before
    with pytest.raises(InvalidInput) as wrong_name:
        party.client.upload(file, "Bad Name/x")
    assert wrong_name.value.code == "storage.bad_reference"
    eventually(lambda: not list((party.home.state("flow") / "uploads").iterdir()))  # after the answer


def test_a_large_body_is_refused_except_as_a_table(http: httpx.Client, party: FakeParty, tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {party.home.token()}"}
    large = b" " * ((4 << 20) + 1)
    declared = http.post(url(party, "/v1/jobs"), headers=headers, content=large)
    streamed = http.post(url(party, "/v1/jobs"), headers=headers, content=iter([large[: 1 << 20]] * 5))
    for answer in (declared, streamed):
        assert answer.status_code == 413
        assert answer.json()["code"] == "runtime.body_too_large"
    file = tmp_path / "large.csv"
    file.write_text("id,x\n" + "".join(f"{i},{i}.{'0' * 400}\n" for i in range(12_000)))
    assert file.stat().st_size > 4 << 20
    assert party.client.upload(file, "large/table").rows == 12_000


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/sessions", "/v1/tables/a/b", "/v1/nowhere"])
def test_a_stranger_is_refused_before_a_byte_of_the_body_is_sent(party: FakeParty, path: str) -> None:
    method = "PUT" if "tables" in path else "POST"
    with socket.create_connection(("127.0.0.1", party.server.port), timeout=60) as line:
        line.sendall(f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 4194304\r\n\r\n".encode())
        assert line.recv(1000).startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize(
    ("path", "most", "status"),
    [("/v1/sessions/ticket", 16 << 10, 400), ("/v1/users", 64 << 10, 400), ("/v1/jobs/validate", 1 << 20, 200)],
    ids=["strangers", "users", "jobs"],
)
def test_a_body_is_as_large_as_reading_it_is_quick(
    http: httpx.Client, party: FakeParty, path: str, most: int, status: int
) -> None:
    headers = {"Content-Type": "application/json"}
    if "ticket" not in path:
        headers["Authorization"] = f"Bearer {party.home.token()}"
    for body, expected in ((b"[" * most, status), (b"[" * (most + 1), 413)):
        answer = http.post(url(party, path), headers=headers, content=body)
        assert answer.status_code == expected, answer.text


def test_answers_carry_security_headers_and_no_open_door_for_other_sites(http: httpx.Client, party: FakeParty) -> None:
    answer = http.get(url(party, "/v1/health"), headers={"Origin": "https://evil.example"})
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "flow.no_such_route"),
        ("PUT", "/v1/health", 405, "flow.no_such_method"),
        ("GET", "/v1/jobs?limit=0", 400, "flow.bad_request"),
        ("GET", "/v1/jobs?state=lost", 400, "flow.bad_request"),
        ("GET", "/v1/jobs/nope", 404, "flow.unknown_job"),
        ("GET", "/v1/tables/a/b", 404, "storage.table_not_found"),
    ],
)
def test_every_refusal_has_one_form(
    http: httpx.Client, party: FakeParty, method: str, path: str, status: int, code: str
) -> None:
    answer = http.request(method, url(party, path), headers={"Authorization": f"Bearer {party.home.token()}"})
    assert answer.status_code == status
    body = answer.json()
    assert body["code"] == code
    assert set(body) == {"code", "message", "hint", "field", "problems"}
    if code == "flow.bad_request":
        assert body["field"] in ("limit", "state")


def test_a_defect_is_not_shown_and_does_not_end_the_service(
    http: httpx.Client, party: FakeParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(party.service, "jobs", broken)
    answer = http.get(url(party, "/v1/jobs"), headers={"Authorization": f"Bearer {party.home.token()}"})
    assert answer.status_code == 500
    assert answer.json()["code"] == "flow.defect"
    assert "secret" not in answer.text
    with pytest.raises(Exception, match="defect") as seen:
        party.client.jobs()
    assert seen.value.code == "flow.defect"
    monkeypatch.undo()
    assert party.client.health().status == "ok"


def test_the_status_tells_what_is_down(party: FakeParty, monkeypatch: pytest.MonkeyPatch) -> None:
    status = party.client.status()
    assert status.healthy
    assert status.peers[0].last_seen_ms == 1_767_225_600_000
    assert status.nodes[0].executors == 1
    assert status.card_fingerprint == party.home.card.fingerprint
    monkeypatch.setattr(party.gateway, "down", Unavailable("The gateway does not answer."))
    status = party.client.status()
    assert not status.healthy
    assert {r.room: r.state for r in status.rooms}["gateway"] == "down"
    assert status.peers == ()


def test_the_status_waits_for_no_room_that_was_seen_not_to_answer(
    party: FakeParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = vitals.Vital("gateway", False, "It did not answer within 3 seconds.")
    others = tuple(vital for vital in party.app.state.backends.vitals.now() if vital.room != "gateway")
    monkeypatch.setattr(party.app.state.backends.vitals, "now", lambda: (*others, frozen))
    monkeypatch.setattr(party.gateway, "down", AssertionError("it was asked"))
    rooms = {room.room: (room.state, room.text) for room in party.client.status().rooms}
    assert rooms["gateway"] == ("down", frozen.text)


def test_why_asks_no_gateway_that_was_seen_not_to_answer(party: FakeParty, monkeypatch: pytest.MonkeyPatch) -> None:
    job = party.client.submit(job_json())
    before = party.client.why(job)
    monkeypatch.setattr(party.gateway, "down", GatewayDown("The gateway does not answer at x."))
    assert party.client.why(job) == [*before, "The gateway does not answer at x."]


def test_a_client_says_what_it_could_not_reach() -> None:
    for address in ("http://127.0.0.1:1", "http://127.0.0.1:1/"):
        with pytest.raises(FlowUnreachable, match=r"127\.0\.0\.1:1"), FlowClient(address) as client:
            client.health()
    for address in ("nonsense", "ftp://x", "http://a:b"):
        with pytest.raises(InvalidInput, match="not an address"), FlowClient(address) as client:
            client.health()


def test_the_openapi_document_describes_errors_and_security(http: httpx.Client, party: FakeParty) -> None:
    headers = {"Authorization": f"Bearer {party.home.token()}"}
    document = http.get(url(party, "/v1/openapi.json"), headers=headers).json()
    submit = document["paths"]["/v1/jobs"]["post"]
    assert submit["security"]
    assert "409" in submit["responses"]
    assert json.dumps(document).count("ErrorBody") > 10


def test_health_is_503_while_the_gateway_is_away_and_heals_without_a_restart(
    http: httpx.Client, party: FakeParty
) -> None:
    assert http.get(url(party, "/v1/health")).json() == {"status": "ok"}
    party.gateway.down = GatewayDown("The gateway does not answer.")
    answer = http.get(url(party, "/v1/health"))
    assert (answer.status_code, answer.json()) == (503, {"status": "failing"})
    party.gateway.down = None
    assert http.get(url(party, "/v1/health")).status_code == 200


def test_why_a_job_waits_names_a_disk_of_this_party_that_is_full(
    party: FakeParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = party.client.submit(job_json())
    assert not any("disk" in sentence for sentence in party.client.why(job))
    monkeypatch.setattr(vitals, "lacks_room", lambda _: True)
    assert f"The disk under {party.home.root} is full: " in party.client.why(job)[-1]
    party.client.stop(job)
    assert not any("disk" in sentence for sentence in party.client.why(job))


def test_what_the_disk_refuses_during_a_request_is_no_defect(party: FakeParty, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(party.home.root / "users.json"))

    monkeypatch.setattr(party.service, "jobs", full)
    with pytest.raises(Unavailable, match="No room left on /") as caught:
        party.client.jobs()
    assert caught.value.code == "runtime.disk_full"
