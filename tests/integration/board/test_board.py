"""The board over HTTP: who may look, what is shown, which forms are believed."""

from __future__ import annotations

import json
import re

import httpx
import pytest
from starlette.responses import Response

from board.cookies import Visit, VisitCookie
from board.server import BoardServer
from flow.client import JobState
from flow.views.jobs import ErrorView, Learning, PartyView, ProposalView, ProposedInput, ProposedLine, ProposedParameter
from gateway.client import PeerStatus, Stranger
from party import passwords
from party.passwords import password_digest
from party.users import _ANY, Verb
from runtime.errors import PortInUse, Unavailable
from runtime.limits.guessing import FREE
from runtime.processes import Death, how
from runtime.text import is_printable
from tests.fakes.flow_party import FakeParty, job_json
from tests.fakes.flow_service import waiting_for_person
from tests.integration.board.conftest import Browser

PROPOSAL = ProposalView(
    job="", name="breast", initiator="hospital-b", user="bob", submitted_ms=1, party="hospital-a",
    roles={"guest": ("hospital-a",)}, components={"train": "homo_lr@1"}, waits=True,
    inputs=(
        ProposedInput(task="train", address="guest:hospital-a", input="train", kind="table", name="breast/train",
                      reference="breast/train@3", rows=455),
        ProposedInput(task="evaluate", address="guest:hospital-a", input="data", kind="table", name="breast/test",
                      problem="There is no table 'breast/test' here."),
    ),
    parameters=(ProposedParameter(task="train", name="local.learning_rate", value=0.15, default=0.05),),
    conversation=(
        ProposedLine(task="train", tag="sum", purpose="the sum of all updates", senders=("arbiter:coordinator",),
                     receivers=("guest:hospital-a",), protection="encrypted",
                     means="nobody but the key holders can read it", we="receive"),
    ),
    learns=(Learning(task="train", role="guest", parties=("hospital-a",), says="What it learns: the sums."),),
    warnings=("A sum of two reveals the other.",),
)  # fmt: skip


def test_a_stranger_is_sent_to_the_login(stranger: Browser, party: FakeParty) -> None:
    job = party.client.submit(job_json())
    for path in ("/", f"/jobs/{job}"):
        answer = stranger.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"] == "/login"
    for path in ("/live", "/stream", f"/jobs/{job}/live", f"/jobs/{job}/stream"):
        assert stranger.get(path).status_code == 401
    assert stranger.get("/login").status_code == 200


def test_a_token_opens_the_board_and_the_cookie_is_closed_to_scripts(stranger: Browser, party: FakeParty) -> None:
    answer = stranger.log_in(party.home.token())
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("archipelago-hospital-a=")
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert party.home.token() not in cookie
    assert "This party" in stranger.get("/").text
    assert stranger.get("/login").headers["location"] == "/"


def test_a_wrong_token_is_told_and_opens_nothing(stranger: Browser) -> None:
    for token in ("arch_wrong", "", "ü"):
        answer = stranger.log_in(token)
        assert answer.status_code == 401
        assert 'role="alert"' in answer.text
    assert stranger.get("/").status_code == 303


def test_a_login_link_works_once_and_only_by_post(stranger: Browser, party: FakeParty) -> None:
    ticket = party.client.ticket().ticket
    for _preview in range(2):
        page = stranger.get("/login", params={"ticket": ticket})
        assert ticket in page.text
    csrf = stranger.csrf("/login")
    assert stranger.post("/login", data={"csrf": csrf, "ticket": ticket}).status_code == 303
    assert stranger.get("/").status_code == 200
    again = stranger.post("/login", data={"csrf": stranger.csrf("/"), "ticket": ticket})
    assert again.status_code == 401


def test_a_login_link_ends_an_open_session_only_by_hand(browser: Browser, party: FakeParty) -> None:
    before = browser.cookies["archipelago-hospital-a"]
    ticket = party.client.ticket().ticket
    page = browser.get("/login", params={"ticket": ticket}).text
    assert "data-send" not in page
    assert "You are logged in as <strong>admin</strong>" in page
    csrf = browser.csrf("/login?ticket=" + ticket)
    assert browser.post("/login", data={"csrf": csrf, "ticket": ticket}).status_code == 303
    assert browser.get("/").status_code == 200
    browser.cookies.set("archipelago-hospital-a", before, domain="127.0.0.1")
    assert browser.get("/").headers["location"] == "/login", "the session that was replaced is over"


def test_a_form_from_elsewhere_is_refused(browser: Browser, party: FakeParty) -> None:
    job = party.client.submit(job_json())
    for data in ({}, {"csrf": "made up"}):
        for path in (f"/jobs/{job}/stop", f"/jobs/{job}/approve", f"/jobs/{job}/refuse", "/logout", "/login"):
            assert browser.post(path, data=data).status_code == 403, path
    assert party.client.job(job).state is JobState.WAITING


def test_behind_https_the_cookie_is_sent_to_the_very_host_and_encrypted_only(party: FakeParty) -> None:
    cookie, answer = VisitCookie(b"k" * 32, party.home.party, https=True), Response()
    cookie.remember(Visit("c"), answer)
    assert answer.headers["set-cookie"].startswith("__Host-archipelago-hospital-a=")
    assert "Secure" in answer.headers["set-cookie"]


def test_what_the_board_counts_takes_a_token_of_who_may_read_it(browser: Browser, party: FakeParty) -> None:
    browser.get("/")
    assert browser.get("/metrics").status_code == 401, "a cookie is for pages"
    scientist = party.home.user_file.add("curious", ["scientist"])
    for token, status in ((party.home.token(), 200), ("arch_wrong", 401), (scientist, 403)):
        answer = httpx.get(f"{browser.base_url}/metrics", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status
        assert ('archipelago_board_pages_total{status="200"}' in answer.text) is (status == 200)


def test_a_changed_cookie_is_nobody(browser: Browser) -> None:
    for value in ("nonsense", "AAAA", browser.cookies["archipelago-hospital-a"][:-4] + "AAAA"):
        answer = httpx.get(
            f"{browser.base_url}/", headers={"Cookie": f"archipelago-hospital-a={value}"}, follow_redirects=False
        )
        assert answer.status_code == 303


def test_logging_out_ends_the_session_at_flow_too(browser: Browser) -> None:
    kept = browser.cookies["archipelago-hospital-a"]
    assert browser.post("/logout", data={"csrf": browser.csrf()}).status_code == 303
    assert browser.get("/").status_code == 303
    browser.cookies.set("archipelago-hospital-a", kept, domain="127.0.0.1")
    assert browser.get("/").headers["location"] == "/login"


def test_the_pages_show_the_job_escaped(browser: Browser, party: FakeParty) -> None:
    job = party.client.submit(job_json(name="<script>alert(1)</script>"))
    party.service.play(job, rounds=3)
    page = browser.get("/").text
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    page = browser.get(f"/jobs/{job}").text
    for text in ("guest:hospital-a", "homo_lr@1", "0.9954", "Job succeeded", "agrees"):
        assert text in page
    assert browser.get("/?state=succeeded").text.count("/jobs/") >= 1
    assert browser.get("/?state=paused").text.count('href="/jobs/') == 0


def test_a_warning_that_several_parties_said_is_shown_once(browser: Browser, party: FakeParty) -> None:
    job = party.client.submit(job_json())
    said = [PartyView(party=p, roles=("host",), decision="agree", warnings=("Few trainers.",)) for p in ("a", "b")]
    party.service.change(job, parties=tuple(said))
    page = browser.get(f"/jobs/{job}").text
    assert page.count("Few trainers.") == 1
    assert "Few trainers. (said by a, b)" in page


def test_a_person_decides_by_the_buttons(browser: Browser, party: FakeParty) -> None:
    jobs = [party.client.submit(job_json()) for _ in range(3)]
    for job in jobs:
        party.service.change(job, waiting_for=(waiting_for_person("hospital-a"),))
    page = browser.get(f"/jobs/{jobs[0]}").text
    assert "Approve" in page
    csrf = browser.csrf(f"/jobs/{jobs[0]}")
    for job, verb in zip(jobs, ("approve", "refuse", "stop"), strict=True):
        digest = party.client.proposal(job).digest
        done = browser.post(f"/jobs/{job}/{verb}", data={"csrf": csrf, "digest": digest})
        assert done.headers["location"] == f"/jobs/{job}"
    assert [party.client.job(j).state for j in jobs] == ["agreed", "refused", "cancelled"]
    assert browser.post(f"/jobs/{jobs[1]}/approve", data={"csrf": csrf, "digest": digest}).status_code == 409


def test_what_changed_since_the_page_was_shown_is_shown_anew_and_not_approved(
    browser: Browser, party: FakeParty
) -> None:
    job = party.client.submit(job_json())
    party.service.change(job, waiting_for=(waiting_for_person("hospital-a"),))
    csrf, seen = browser.csrf(f"/jobs/{job}"), _digest_in(browser.get(f"/jobs/{job}").text)
    party.service.proposals[job] = PROPOSAL.model_copy(update={"job": job})
    answer = browser.post(f"/jobs/{job}/approve", data={"csrf": csrf, "digest": seen})
    assert answer.status_code == 409
    assert "What is asked has changed since it was shown. You have not approved it" in answer.text
    assert "breast/train@3" in answer.text
    assert party.client.job(job).state is JobState.WAITING
    none = browser.post(f"/jobs/{job}/approve", data={"csrf": csrf})
    assert (none.status_code, "An approval names what was seen" in none.text) == (400, True)
    again = browser.post(f"/jobs/{job}/approve", data={"csrf": csrf, "digest": _digest_in(answer.text)})
    assert again.headers["location"] == f"/jobs/{job}"
    assert party.client.job(job).state is JobState.AGREED


def _digest_in(page: str) -> str:
    found = re.search(r'name="digest" value="([0-9a-f]{64})"', page)
    assert found
    return found[1]


def test_live_parts_carry_only_new_metrics(browser: Browser, party: FakeParty) -> None:
    job = party.client.submit(job_json())
    party.service.metric(job, "train", "hospital-a", 1, loss=0.5, accuracy=float("nan"))
    first = browser.get(f"/jobs/{job}/live").json()
    assert [m["name"] for m in first["metrics"]] == ["loss"]
    assert set(first["parts"]) == {"summary", "proposal", "results", "outputs", "tasks", "parties", "events", "logs"}
    party.service.metric(job, "train", "hospital-b", 1, loss=0.25)
    second = browser.get(f"/jobs/{job}/live", params={"metrics_since": 2}).json()
    assert [m["party"] for m in second["metrics"]] == ["hospital-b"]
    assert "hospital-b 0.2500" in second["parts"]["results"]
    assert not second["ended"]
    assert job in browser.get("/live").json()["parts"]["jobs"]


def test_a_refresh_of_a_long_job_pulls_only_what_the_page_lacks(
    browser: Browser, party: FakeParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = party.client.submit(job_json())
    for step in range(300):
        party.service.metric(job, "train", "hospital-a", step, loss=1 / (step + 1))
    pulled: list[int] = []
    metrics, moves = party.service.metrics, party.service.moves
    monkeypatch.setattr(party.service, "metrics", lambda *a: pulled.append(len(rows := metrics(*a))) or rows)
    monkeypatch.setattr(party.service, "moves", lambda *a: pulled.append(len(rows := moves(*a))) or rows)
    monkeypatch.setattr(party.service, "latest_metrics", lambda job: metrics(job)[-1:])
    fresh = browser.get(f"/jobs/{job}/live", params={"metrics_since": 298}).json()
    assert [m["step"] for m in fresh["metrics"]] == [298, 299]
    assert "0.0033" in fresh["parts"]["results"]
    assert sum(pulled) == 3
    pulled.clear()
    newest = party.service.job(job).last_event
    assert f"/jobs/{job}/stream?since={newest}" in browser.get(f"/jobs/{job}").text
    assert sum(pulled) == 1


def test_a_form_of_very_many_fields_is_none_of_ours(stranger: Browser) -> None:
    many = f"csrf={stranger.csrf('/login')}&" + "a&a=1&" * 2000
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert stranger.post("/login", content=many, headers=kind).status_code == 403
    assert stranger.post("/login", content=many * 2, headers=kind).status_code == 413


def test_a_stream_of_the_board_ends_with_its_user(stranger: Browser, party: FakeParty) -> None:
    stranger.log_in(party.home.user_file.add("leaving", ["scientist"]))
    with stranger.stream("GET", "/stream") as answer:
        assert answer.status_code == 200
        party.home.user_file.remove("leaving")
        told = answer.read().decode()
    assert "event: closed" in told
    assert "party.not_authenticated" in told
    assert stranger.get("/stream").status_code == 401


def test_the_stream_passes_on_what_flow_says(browser: Browser, party: FakeParty) -> None:
    job = party.client.submit(job_json())
    party.service.play(job, rounds=2)
    text = browser.get(f"/jobs/{job}/stream").text
    assert "job.succeeded" in text
    assert text.rstrip().endswith("data: {}")
    last = text.count("data: {") - 1
    resumed = browser.get(f"/jobs/{job}/stream", headers={"Last-Event-ID": "999999"}).text
    assert resumed.count("data: {") == 1 < last
    assert browser.get("/jobs/nope/stream").status_code == 404


def test_text_of_others_is_shown_without_what_steers_or_turns_it(browser: Browser, party: FakeParty) -> None:
    evil = "\x1b]0;x\x07 \u202egpj.exe \x9b31m"
    job = party.client.submit(job_json())
    party.service.change(job, name=evil, user=evil)
    party.service.move(job, JobState.FAILED, error=ErrorView(code="a.b", message=evil, hint=evil, party=evil))
    for page in (browser.get("/").text, browser.get(f"/jobs/{job}").text):
        assert "gpj.exe" in page
        assert not [line for line in page.split("\n") if not is_printable(line.replace("\t", ""))]


def test_times_that_no_calendar_has_hide_nothing_else(browser: Browser, party: FakeParty) -> None:
    good, *bad = (party.client.submit(job_json(name=name)) for name in ("good-one", "far", "before"))
    for job, ms in zip(bad, (10**17, -(10**17)), strict=True):
        party.service.change(job, submitted_ms=ms, ended_ms=ms)
        party.service.event("job.failed", job)
    party.service.move(good, JobState.SUCCEEDED)
    page = browser.get("/").text
    for text in ("good-one", "far", "before", "a time that cannot be shown"):
        assert text in page
    for job in bad:
        assert "a time that cannot be shown" in browser.get(f"/jobs/{job}").text


def test_a_password_opens_the_board_and_guesses_lock_out_nobody_else(
    stranger: Browser, party: FakeParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "NOBODYS", password_digest("nobody knows this", memory_kib=64))
    monkeypatch.setattr("party.user_file.password_digest", lambda text: password_digest(text, memory_kib=64))
    party.home.user_file.add("board-ada", ["auditor"])
    party.home.user_file.set_password("board-ada", "correct horse battery")

    def log_in(user: str, password: str) -> httpx.Response:
        return stranger.post("/login", data={"csrf": stranger.csrf("/login"), "user": user, "password": password})

    assert log_in("board-ada", "correct horse battery").status_code == 303
    assert "board-ada" in stranger.get("/").text
    stranger.post("/logout", data={"csrf": stranger.csrf("/")})
    for guess in range(3 * FREE):
        wrong = log_in(f"user{guess}", "wrong horse battery")
        assert wrong.status_code == 401
        assert "User name or password are wrong." in wrong.text
    for _ in range(FREE):
        assert log_in("board-bob", "wrong horse battery").status_code == 401
    slowed = log_in("board-bob", "wrong horse battery")
    assert slowed.status_code == 429
    assert "Try again in" in slowed.text
    assert log_in("board-ada", "correct horse battery").status_code == 303


@pytest.mark.parametrize(
    ("role", "offered"),
    [("scientist", set()), ("operator", {"Stop"}), ("officer", {"Approve", "Refuse"}), ("auditor", set())],
)
def test_a_button_is_offered_to_whom_it_serves(
    stranger: Browser, party: FakeParty, role: str, offered: set[str]
) -> None:
    job = party.client.submit(job_json())
    party.service.change(job, waiting_for=(waiting_for_person("hospital-a"),))
    token = party.home.user_file.add(f"button-{role}", [role])
    stranger.log_in(token)
    page = stranger.get(f"/jobs/{job}").text
    assert {name for name in ("Approve", "Refuse", "Stop") if f">{name}</button>" in page} == offered
    if role == "scientist":
        own = party.client.as_user(token).submit(job_json())
        assert ">Stop</button>" in stranger.get(f"/jobs/{own}").text


def test_a_person_sees_what_they_decide_on(browser: Browser, party: FakeParty) -> None:
    job = party.client.submit(job_json())
    party.service.change(job, waiting_for=(waiting_for_person("hospital-a"),))
    party.service.proposals[job] = PROPOSAL.model_copy(update={"job": job})
    page = browser.get(f"/jobs/{job}").text
    for text in (
        "hospital-b asks hospital-a to take part", "breast/train@3", ", 455 rows",
        "There is no table &#39;breast/test&#39;",
        "local.learning_rate", "0.15", "guest:hospital-a", "the sum of all updates",
        "nobody but the key holders can read it",
        "What it learns: the sums", "A sum of two reveals the other", "Refuse", "Approve",
    ):  # fmt: skip
        assert text in page, text
    csrf = browser.csrf(f"/jobs/{job}")
    browser.post(f"/jobs/{job}/refuse", data={"csrf": csrf, "reason": "not with that table"})
    view = party.client.job(job)
    assert view.error
    assert view.error.message == "not with that table"
    assert "asks hospital-a to take part" not in browser.get(f"/jobs/{job}").text


def test_the_first_page_says_what_is_wrong_with_the_party_and_its_links(
    browser: Browser, party: FakeParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = PeerStatus("hospital-b", ("127.0.0.1:9",), "down", 1_767_225_600.0, 2, problem="Its card has expired.")
    monkeypatch.setattr(party.gateway, "peers", lambda: [peer])
    strangers = [Stranger("10.1.2.3", "hospital-b", 4, 1_767_225_600.0), Stranger("10.1.2.4", "", 1, 1_767_225_600.0)]
    monkeypatch.setattr(party.gateway, "strangers", lambda: strangers)
    died = party.home.process_file("gateway-death")
    Death(1_767_225_600_000, how(-9), "Check failed: ready").keep(died)
    page = browser.get("/").text
    died.unlink()
    for text in (
        "Its card has expired.", "down, 2 queued", "last seen",
        "gateway: It was ended by SIGKILL at 2026-01-01 00:00:00 UTC and was started again: Check failed: ready",
        "a caller that says it is hospital-b, from 10.1.2.3, 4 times; its certificate is not on the card we hold",
        "a caller, from 10.1.2.4, 1 times; its card is not trusted here", "flow party trust CARD",
    ):  # fmt: skip
        assert text in page, text


def test_who_was_turned_away_before_its_card_was_trusted_asks_nothing_of_anybody(
    party: FakeParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = 1_767_225_600.0
    peers = [PeerStatus(name, ("127.0.0.1:9",), "up", at, 0) for name in ("hospital-b", "hospital-c")]
    monkeypatch.setattr(party.gateway, "peers", lambda: peers)
    strangers = [Stranger("10.1.2.3", "hospital-b", 4, at - 60), Stranger("10.1.2.4", "hospital-c", 1, at + 60)]
    monkeypatch.setattr(party.gateway, "strangers", lambda: strangers)
    before, after = party.client.status().strangers
    assert (before.remedy, "has shown a certificate of its card since" in before.text) == ("", True)
    assert "flow party trust CARD" in after.remedy, "somebody still calls under its name with another certificate"


def test_a_failed_job_says_why(browser: Browser, party: FakeParty) -> None:
    job = party.client.submit(job_json())
    error = ErrorView(code="a.b", message="The table is empty.", hint="Upload rows.", party="hospital-b")
    party.service.move(job, JobState.FAILED, error=error)
    page = browser.get(f"/jobs/{job}").text
    for text in ("The table is empty.", "Upload rows.", "a.b", "hospital-b"):
        assert text in page


def test_what_failed_here_comes_first_and_why_we_left_is_told(browser: Browser, party: FakeParty) -> None:
    job = party.client.submit(job_json())
    error = ErrorView(code="a.b", message="A task failed elsewhere.", party="hospital-b")
    own = ErrorView(code="c.d", message="The label <column> is empty.", hint="Fill it.", party="hospital-a")
    party.service.move(job, JobState.FAILED, error=error, own_error=own, left="Stopped by ann.")
    page = browser.get(f"/jobs/{job}").text
    assert page.index("The label &lt;column&gt; is empty.") < page.index("A task failed elsewhere.")
    assert "hospital-a left this job: Stopped by ann." in page


def test_the_newest_log_lines_are_shown_to_who_may_read_them(
    browser: Browser, party: FakeParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("board.job_view.SHOWN_LINES", 2)
    job = party.client.submit(job_json())
    assert "logs-title" not in browser.get(f"/jobs/{job}").text
    for text in ("the oldest line", "one <line> \x1b[2J", "Traceback:\n  File x\nValueError: y"):
        party.service.log(job, "train", "hospital-a", text, level="error")
    for page in (browser.get(f"/jobs/{job}").text, browser.get(f"/jobs/{job}/live").json()["parts"]["logs"]):
        assert "<pre>Traceback:\n  File x\nValueError: y</pre>" in page
        assert "one &lt;line&gt;" in page
        assert "\x1b" not in page
        assert "train/1 guest:hospital-a" in page
        assert "the oldest line" not in page
        assert page.index("Traceback") < page.index("one &lt;line")
    monkeypatch.setitem(_ANY, "scientist", {Verb.READ: frozenset({"job", "party", "event", "metric"})})
    monkeypatch.setitem(_ANY, "operator", {})
    monkeypatch.setitem(_ANY, "officer", {})
    page = browser.get(f"/jobs/{job}")
    assert page.status_code == 200
    assert "Traceback" not in page.text


@pytest.mark.parametrize(
    ("path", "status"), [("/jobs/nope", 404), ("/nowhere", 404), ("/?state=lost", 400), ("/static/none.css", 404)]
)
def test_a_wrong_address_is_answered_by_a_page(browser: Browser, path: str, status: int) -> None:
    answer = browser.get(path)
    assert answer.status_code == status
    assert "To the jobs" in answer.text


def test_a_flow_that_is_down_is_told(browser: Browser, party: FakeParty, monkeypatch: pytest.MonkeyPatch) -> None:
    job = party.client.submit(job_json())
    monkeypatch.setattr(party.service, "broken", Unavailable("The database is away.", hint="Try again."))
    answer = browser.get(f"/jobs/{job}")
    assert answer.status_code == 503
    assert "The database is away." in answer.text
    assert browser.get(f"/jobs/{job}/live").json()["message"] == "The database is away."


def test_a_user_who_may_not_read_metrics_sees_the_rest(
    stranger: Browser, party: FakeParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_ANY, "officer", {Verb.READ: frozenset({"job", "party", "event"})})
    job = party.client.submit(job_json())
    party.service.play(job, rounds=2)
    assert stranger.log_in(party.home.user_file.add("root", ["officer"])).status_code == 303
    page = stranger.get(f"/jobs/{job}")
    assert page.status_code == 200
    assert "Latest values" not in page.text
    assert "Job succeeded" in page.text


def test_nothing_comes_from_elsewhere_and_nothing_inline_runs(browser: Browser, party: FakeParty) -> None:
    job = party.client.submit(job_json())
    for path in ("/", f"/jobs/{job}", "/login"):
        answer = browser.get(path, follow_redirects=True)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert "http://" not in answer.text.replace("http://www.w3.org", "")
        assert " onclick" not in answer.text
        assert " style=" not in answer.text
    script = browser.get("/plotly.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert b"plotly.js" in script.content[:300]
    assert browser.post("/login", content=b"x" * (65 << 10)).status_code == 413


def test_a_second_board_on_the_same_port_is_refused(party: FakeParty, board: BoardServer) -> None:
    with pytest.raises(PortInUse, match=r"board\.listen"):
        BoardServer(party.home).start()


def test_a_defect_shows_no_detail(browser: Browser, party: FakeParty, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("board.pages.jobs_values", broken)
    answer = browser.get("/")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert json.dumps(answer.headers.get("content-type")).count("html")
