"""The board in a real Chromium: live charts, no script errors, nothing against its policy, readable on a phone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from board.server import BoardServer
from flow.client import ErrorView, JobState
from tests.fakes.flow_party import FakeParty, fake_party, job_json
from tests.fakes.flow_service import waiting_for_person

CHROMIUM = "/usr/bin/chromium"
FLAGS = """--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync""".split()  # noqa: SIM905
if os.environ.get("CI") != "true":
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"{CHROMIUM} is not installed", allow_module_level=True)

from playwright.sync_api import Browser, Page, expect, sync_playwright  # noqa: E402

expect.set_options(timeout=60_000)  # a busy machine takes its time


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def party(tmp_path: Path) -> Iterator[FakeParty]:
    with fake_party(tmp_path) as made:
        yield made


@pytest.fixture
def board(party: FakeParty) -> Iterator[BoardServer]:
    server = BoardServer(party.home)
    server.start()
    yield server
    server.stop(5.0)


@pytest.fixture(params=["desktop", "phone in the dark"])
def page(request: pytest.FixtureRequest, chromium: Browser, board: BoardServer) -> Iterator[Page]:
    phone = request.param != "desktop"
    context = chromium.new_context(
        base_url=f"http://127.0.0.1:{board.port}",
        viewport={"width": 390, "height": 800} if phone else {"width": 1280, "height": 900},
        color_scheme="dark" if phone else "light",
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda message: troubles.append(message.text) if message.type in ("error", "warning") else None)
    elsewhere = troubles.append
    page.on("request", lambda sent: None if sent.url.startswith("http://127.0.0.1:") else elsewhere(sent.url))
    yield page
    context.close()
    assert troubles == []


def log_in(page: Page, party: FakeParty) -> None:
    page.goto(f"/login?ticket={party.client.ticket().ticket}")
    page.wait_for_url("**/")
    assert "ticket" not in page.url


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def test_a_training_is_seen_as_it_goes(page: Page, party: FakeParty) -> None:
    job = party.client.submit(job_json(name="breast-homo-lr"))
    log_in(page, party)
    expect(page.get_by_role("link", name="breast-homo-lr")).to_be_visible()
    expect(page.locator("#connection")).to_have_text("live")
    assert fits(page)
    page.get_by_role("link", name="breast-homo-lr").click()
    expect(page.locator("#no-charts")).to_be_visible()
    expect(page.locator("#connection")).to_have_text("live")
    party.service.move(job, JobState.RUNNING)
    for step in (1, 2, 3):
        party.service.metric(job, "train", "hospital-a", step, loss=0.7 / step, accuracy=1 - 0.4 / (step + 1))
    expect(page.locator(".chart .plot svg.main-svg").first).to_be_visible()
    expect(page.locator("#latest")).to_contain_text("train, round 3: loss 0.2333")
    expect(page.locator("#summary .chip")).to_have_text("● running")
    party.service.play(job, rounds=6)
    expect(page.locator("#summary .chip")).to_have_text("✓ succeeded")
    expect(page.locator("#connection")).to_have_text("ended")
    expect(page.locator(".chart")).to_have_count(2)
    expect(page.locator(".plot").first).to_have_attribute("aria-label", "loss of train by round; round 6: 0.1167")
    expect(page.locator("#results")).to_contain_text("0.9954")
    expect(page.locator("#events")).to_contain_text("Job succeeded")
    page.locator(".plot").first.hover()
    assert fits(page)
    assert page.locator(".chart .plot .scatterlayer .trace").count() == 2  # common metrics make one line each


def test_numbers_come_by_the_stream_though_no_refresh_is_answered(
    chromium: Browser, board: BoardServer, party: FakeParty
) -> None:
    job = party.client.submit(job_json())
    context = chromium.new_context(base_url=f"http://127.0.0.1:{board.port}")
    page = context.new_page()
    page.set_default_timeout(60_000)
    log_in(page, party)
    page.goto(f"/jobs/{job}")
    expect(page.locator("#connection")).to_have_text("live")
    page.route("**/live?*", lambda route: route.abort())
    for step in (1, 2, 3):
        party.service.metric(job, "train", "hospital-a", step, loss=0.7 / step, accuracy=float("nan"))
    expect(page.locator("#latest")).to_have_text("train, round 3: loss 0.2333")
    expect(page.locator(".chart")).to_have_count(1)
    page.unroute("**/live?*")
    expect(page.locator("#results")).to_contain_text("0.2333")
    context.close()


CHARTS_FIT = """() => {
  const plots = [...document.querySelectorAll(".chart .plot")];
  const drawn = plots.map((plot) => plot.querySelector("svg.main-svg")?.getBoundingClientRect());
  if (plots.length !== 2 || drawn.some((box) => !box)) return false;
  const inside = (box, around) =>
    box.left >= around.left - 1 && box.right <= around.right + 1 && box.bottom <= around.bottom + 1;
  const fills = drawn.every((box, i) => inside(box, plots[i].parentElement.getBoundingClientRect())
    && Math.abs(box.width - plots[i].clientWidth) <= 1);
  const [a, b] = drawn;
  return fills && (a.right <= b.left + 1 || a.bottom <= b.top + 1);
}"""


def test_charts_fill_their_cards_at_every_width_and_paint_over_no_other(
    chromium: Browser, board: BoardServer, party: FakeParty
) -> None:
    jobs = [party.client.submit(job_json()) for _ in range(3)]
    party.service.play(jobs[0], rounds=3)
    for job, state in zip(jobs[1:], (JobState.RUNNING, JobState.FAILED), strict=True):
        for step in (1, 2, 3):
            party.service.metric(job, "train", "hospital-a", step, loss=0.7 / step, accuracy=1 - 0.4 / step)
        party.service.move(job, state)
    context = chromium.new_context(base_url=f"http://127.0.0.1:{board.port}")
    page = context.new_page()
    page.set_default_timeout(60_000)
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    log_in(page, party)
    for job in jobs:
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(f"/jobs/{job}")
        for width in (1280, 1024, 2560, 800):  # the first is loaded, the others are what the window becomes
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_function(CHARTS_FIT)
    context.close()
    assert troubles == []


def test_the_list_follows_new_jobs(page: Page, party: FakeParty) -> None:
    log_in(page, party)
    expect(page.locator("#jobs")).to_contain_text("No jobs here yet")
    expect(page.locator("#connection")).to_have_text("live")
    job = party.client.submit(job_json(name="came-later"))
    expect(page.get_by_role("link", name="came-later")).to_be_visible()
    party.service.play(job)
    expect(page.locator("#jobs .chip")).to_have_text("✓ succeeded")


def test_a_person_can_decide_with_the_keyboard(page: Page, party: FakeParty) -> None:
    job = party.client.submit(job_json())
    party.service.change(job, waiting_for=(waiting_for_person("hospital-a"),))
    log_in(page, party)
    page.goto(f"/jobs/{job}")
    page.get_by_role("button", name="Approve").focus()
    with page.expect_navigation():  # the chip may change before, by the live stream
        page.keyboard.press("Enter")
    expect(page.locator("#summary .chip")).to_have_text("◔ agreed")
    page.once("dialog", lambda dialog: dialog.accept())
    with page.expect_navigation():
        page.get_by_role("button", name="Stop").press("Enter")
    expect(page.locator("#summary .chip")).to_have_text("⊘ cancelled")


def test_what_a_person_reads_to_decide_stays_while_the_page_goes_on(page: Page, party: FakeParty) -> None:
    job = party.client.submit(job_json())
    party.service.change(job, waiting_for=(waiting_for_person("hospital-a"),))
    log_in(page, party)
    page.goto(f"/jobs/{job}")
    expect(page.locator("#connection")).to_have_text("live")
    read = page.locator('#proposal input[name="digest"]').get_attribute("value")
    page.get_by_label("Reason, told to the others").fill("Not before May")
    party.service.proposals[job] = party.service.proposal(job).model_copy(update={"reasons": ("Another one",)})
    party.service.change(job, error=ErrorView(code="flow.example", message="Seen live"))
    party.service.event("job.example", job)
    expect(page.locator("#summary")).to_contain_text("Seen live")
    assert page.locator('#proposal input[name="digest"]').get_attribute("value") == read
    expect(page.get_by_label("Reason, told to the others")).to_have_value("Not before May")
    party.service.move(job, JobState.REFUSED)
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)


def test_a_button_keeps_the_focus_while_the_page_goes_on(page: Page, party: FakeParty) -> None:
    job = party.client.submit(job_json())
    log_in(page, party)
    page.goto(f"/jobs/{job}")
    expect(page.locator("#connection")).to_have_text("live")
    stop = page.get_by_role("button", name="Stop")
    stop.focus()
    party.service.change(job, state=JobState.AGREED)
    party.service.event("job.agreed", job)
    expect(page.locator("#summary .chip")).to_have_text("◔ agreed")
    expect(stop).to_be_focused()


def test_a_person_logs_in_with_a_token(page: Page, party: FakeParty) -> None:
    page.goto("/")
    page.wait_for_url("**/login")
    page.get_by_text("With a token instead").click()
    page.get_by_label("Your token").fill(party.home.token())
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login")


def test_a_link_on_another_site_leads_to_the_page_and_ends_no_session(
    chromium: Browser, board: BoardServer, party: FakeParty
) -> None:
    job = party.client.submit(job_json())
    with chromium.new_context(base_url=f"http://127.0.0.1:{board.port}") as context:
        page = context.new_page()
        log_in(page, party)
        mail = f'<a href="http://127.0.0.1:{board.port}/jobs/{job}">a job</a>'
        page.route("http://mail.test/", lambda route: route.fulfill(body=mail, content_type="text/html"))
        page.goto("http://mail.test/")
        page.get_by_role("link", name="a job").click()
        expect(page.get_by_role("button", name="Log out")).to_be_visible()
        assert page.url.endswith(f"/jobs/{job}")
