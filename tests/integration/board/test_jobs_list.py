"""The list of jobs and the head of a job's page: how long it has taken so far, from which it goes on, older jobs."""

from __future__ import annotations

import re
import time

import pytest

from flow.client import JobState
from tests.fakes.flow_party import FakeParty, job_json
from tests.integration.board.conftest import Browser


def shown_jobs(page: str) -> list[str]:
    """The jobs of a list, from its top."""
    return re.findall(r'href="/jobs/(\w+)"', page)


def older(page: str) -> str:
    """Where the older jobs are; empty if there are none."""
    found = re.search(r'<a href="([^"]+)">Older jobs</a>', page)
    return found[1].replace("&amp;", "&") if found else ""


@pytest.fixture
def jobs(party: FakeParty, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Seven jobs, the newest first, of which the list shows three at a time."""
    monkeypatch.setattr(party.service, "_jobs", {})
    monkeypatch.setattr("board.job_view.SHOWN_JOBS", 3)
    return [party.client.submit(job_json()) for _ in range(7)][::-1]


def test_jobs_beyond_those_that_are_shown_are_a_link_away(browser: Browser, jobs: list[str]) -> None:
    pages, where = [], "/"
    while where:
        page = browser.get(where).text
        live = browser.get(where.replace("/", "/live", 1)).json()["parts"]["jobs"]
        assert shown_jobs(live) == shown_jobs(page), "what is refreshed is the page that is open"
        assert ('<a href="/?">Newest jobs</a>' in page) is bool(pages)
        pages.append(shown_jobs(page))
        where = older(page)
    assert pages == [jobs[:3], jobs[3:6], jobs[6:]]
    assert "No older jobs here" in browser.get(f"/?before={jobs[-1]}").text


def test_older_jobs_are_of_the_state_that_was_chosen(browser: Browser, party: FakeParty, jobs: list[str]) -> None:
    for job in jobs[:5]:
        party.service.move(job, JobState.FAILED)
    page = browser.get("/?state=failed").text
    assert f'data-live="/live?state=failed&amp;before={jobs[2]}"' in browser.get(older(page)).text
    assert shown_jobs(browser.get(older(page)).text) == jobs[3:5]
    assert older(browser.get(older(page)).text) == ""


def test_a_list_that_is_whole_offers_no_older_jobs(browser: Browser, jobs: list[str], party: FakeParty) -> None:
    for job in jobs[:3]:
        party.service.move(job, JobState.FAILED)
    page = browser.get("/?state=failed").text
    assert (shown_jobs(page), older(page)) == (jobs[:3], "")


def test_a_job_that_runs_says_how_long_it_has_taken_so_far(browser: Browser, party: FakeParty) -> None:
    job = party.client.submit(job_json())
    now_ms = int(time.time() * 1000)
    party.service.change(job, state=JobState.RUNNING, submitted_ms=now_ms - 3_900_000)
    for path in (f"/jobs/{job}", "/"):
        assert "1 h 5 min so far" in browser.get(path).text, path
    party.service.change(job, submitted_ms=now_ms + 3_600_000)  # by the clock of its initiator
    assert "0 s so far" in browser.get(f"/jobs/{job}").text
    party.service.change(job, state=JobState.SUCCEEDED, submitted_ms=now_ms - 3_900_000, ended_ms=now_ms)
    for path in (f"/jobs/{job}", "/"):
        page = browser.get(path).text
        assert "1 h 5 min" in page
        assert "1 h 5 min so far" not in page


def test_a_job_that_goes_on_from_another_names_it(browser: Browser, party: FakeParty) -> None:
    first = party.client.submit(job_json())
    party.service.move(first, JobState.FAILED)
    second = party.client.resume(first, {})
    assert f'<a class="mono" href="/jobs/{first}">{first}</a>' in browser.get(f"/jobs/{second}").text
    assert "Goes on from" not in browser.get(f"/jobs/{first}").text


def test_a_task_that_was_never_begun_is_shown_as_such(browser: Browser, party: FakeParty) -> None:
    job = party.client.submit(job_json())
    first, second = party.service.job(job).tasks
    tasks = (first.model_copy(update={"state": "failed"}), second.model_copy(update={"state": "not-run"}))
    party.service.move(job, JobState.FAILED, tasks=tasks)
    chip = r'<span class="chip not-run"><span aria-hidden="true">○</span> not run</span>'
    assert re.search(rf"<h3>{second.name}</h3>\s*{chip}", browser.get(f"/jobs/{job}").text)


def test_the_list_leaves_out_what_was_refused_by_policy_and_says_so(browser: Browser, party: FakeParty) -> None:
    job = party.client.submit(job_json(name="spam"))
    party.service.by_policy.add(job)
    try:
        for page in ("/", "/live"):
            shown = browser.get(page).text
            assert job not in shown
            assert "1 proposal that the policy of this party refused" in shown
        chosen = browser.get("/?state=waiting").text
        assert job in chosen
        assert "the policy of" not in chosen
    finally:
        party.service.by_policy.clear()
