"""What the commands promise beyond their text: one JSON document, exit codes, a quick start, parties made and kept."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from flow.cli.exit_codes import MEANING, Exit, exit_for, exit_for_end
from flow.client import JobState
from flow.rest.vitals import KEPT_S
from flow.views.jobs import ErrorView
from flow.views.times import clock_text
from gateway.client import PeerStatus
from party.home import PartyHome
from party.home_init import create_home
from runtime.errors import PlatformError, Unavailable
from tests.fakes.flow_party import FakeParty, job_json
from tests.fakes.flow_service import waiting_for_person
from tests.integration.flow_edges.conftest import Command

CHECKOUT = Path(__file__).resolve().parents[3]


def test_json_is_one_document_on_stdout_and_nothing_else(party: FakeParty, flow: Command, folder: Path) -> None:
    (folder / "job.json").write_bytes(job_json())
    (folder / "t.csv").write_text("id,x\n1,2\n")
    job = json.loads(flow("job", "submit", "job.json", "--json").out)["job"]
    party.service.play(job, rounds=2)
    commands = [
        ("job", "list"),
        ("job", "show", job),
        ("job", "metrics", job),
        ("job", "logs", job),
        ("job", "outputs", job),
        ("job", "why", job),
        ("job", "schema"),
        ("job", "validate", "job.json"),
        ("job", "stop", job),
        ("data", "upload", "t.csv", "--table", "json/t"),
        ("data", "list"),
        ("data", "show", "json/t"),
        ("data", "head", "json/t"),
        ("party", "status"),
        ("party", "card"),
        ("party", "board"),
        ("data", "delete", "json/t"),
    ]
    for words in commands:
        done = flow(*words, "--json")
        assert done.code == 0, (words, done.err)
        assert json.loads(done.out) is not None, words
    assert json.loads(flow("job", "metrics", job, "--json").out)[0]["name"] == "loss"
    wrong = flow("job", "show", "nope", "--json")
    assert json.loads(wrong.out)["error"]["code"] == "flow.unknown_job"
    assert "There is no job" in wrong.err


def test_a_home_that_is_typed_counts_more_than_an_address_that_is_set(party: FakeParty, flow: Command) -> None:
    flow.with_environment(ARCHIPELAGO_URL="http://127.0.0.1:9", ARCHIPELAGO_TOKEN_FILE="nowhere")
    home = ("--home", party.home.root)
    assert "nowhere does not exist" in flow("job", "list").err
    flow.with_environment(ARCHIPELAGO_TOKEN_FILE="")
    assert flow("job", "list", *home).code == 0
    assert flow("job", "list").code == Exit.BAD_INPUT
    other = flow("job", "list", *home, "--url", "http://127.0.0.1:9")
    assert "--url needs a token" in other.err


def test_more_rows_than_one_answer_holds_are_all_shown(
    party: FakeParty, flow: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = party.client.submit(job_json())
    party.service.play(job, rounds=8)
    whole = {what: json.loads(flow("job", what, job, "--json").out) for what in ("metrics", "logs")}
    monkeypatch.setattr(party.service, "most_rows", 3)
    monkeypatch.setattr("flow.rest_client.jobs.MOST_ROWS", 3)
    for what, rows in whole.items():
        assert len(rows) > 6
        assert json.loads(flow("job", what, job, "--json").out) == rows


def test_watching_with_json_writes_a_record_a_line_and_ends_with_the_job(
    party: FakeParty, flow: Command, folder: Path
) -> None:
    (folder / "job.json").write_bytes(job_json())
    job = party.client.submit(job_json())

    def later() -> None:
        time.sleep(0.2)
        party.service.play(job, rounds=2)

    thread = threading.Thread(target=later)
    thread.start()
    done = flow("job", "watch", job, "--json")
    thread.join()
    records = [json.loads(line) for line in done.out.splitlines()]
    assert [r["kind"] for r in records[:1]] == ["job"]
    assert records[-1]["job"]["state"] == "succeeded"
    assert {r["metric"]["name"] for r in records if r["kind"] == "metric"} == {"loss", "accuracy", "auc"}
    assert done.code == 0


@pytest.mark.parametrize(("state", "code"), [("failed", 10), ("cancelled", 11), ("refused", 12)])
def test_the_exit_code_of_a_watched_job_tells_how_it_ended(
    party: FakeParty, flow: Command, state: str, code: int
) -> None:
    job = party.client.submit(job_json())
    error = ErrorView(code="x.y", message="The table is empty.", hint="Upload rows.", party="hospital-b")
    party.service.move(job, JobState(state), error=error)
    done = flow("job", "watch", job)
    assert done.code == code
    assert "hospital-b: The table is empty. Upload rows. [x.y]" in done.out


def test_watching_says_once_that_it_waits_for_the_party(
    party: FakeParty, flow: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = party.client.submit(job_json())
    party.service.play(job, rounds=1)
    away = iter([False, True, True])  # it is there when the command begins
    view = party.service.job

    def job_view(name: str) -> object:
        if next(away, False):
            raise Unavailable("The database is away.", hint="Is it running?")
        return view(name)

    monkeypatch.setattr(party.service, "job", job_view)
    done = flow("job", "watch", job)
    assert done.code == 0, done.err
    assert done.err.splitlines() == ["waiting for the party: The database is away. Is it running?"]


def test_submit_with_watch_shows_the_job_to_its_end(party: FakeParty, flow: Command, folder: Path) -> None:
    (folder / "job.json").write_bytes(job_json())

    def later() -> None:
        while not (jobs := party.service.jobs(1)) or jobs[0].state is not JobState.WAITING:
            time.sleep(0.02)
        party.service.play(jobs[0].id, rounds=2)

    for job in party.service.jobs(100):
        party.service.stop(job.id, None)
    thread = threading.Thread(target=later)
    thread.start()
    done = flow("job", "submit", "job.json", "--watch")
    thread.join()
    assert done.code == 0
    assert "train: round 2  loss 0.3500  accuracy 0.8667" in done.out


def test_a_job_whose_executors_said_nothing_says_so(party: FakeParty, flow: Command) -> None:
    job = party.client.submit(job_json())
    assert flow("job", "logs", job).out == "No lines.\n"
    assert json.loads(flow("job", "logs", job, "--json").out) == []
    party.service.log(job, "train", "hospital-a", "a line")
    assert "No lines." not in flow("job", "logs", job).out


def test_what_failed_at_our_own_party_is_told_before_what_failed_elsewhere(
    party: FakeParty, flow: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "job.json").write_bytes(job_json())
    ours = ErrorView(code="x.ours", message="Our label is text.", hint="", party="hospital-a")
    theirs = ErrorView(code="x.theirs", message="Their table is empty.", hint="", party="hospital-b")
    submit = party.service.submit

    def failing(spec: bytes, **how: Any) -> str:
        job = submit(spec, **how)
        party.service.move(job, JobState.FAILED, error=theirs, own_error=ours)
        return job

    monkeypatch.setattr(party.service, "submit", failing)
    watched = flow("job", "submit", "job.json", "--watch")
    assert watched.code == Exit.JOB_FAILED
    shown = flow("job", "show", party.service.jobs(1)[0].id)
    for text in (watched.out, shown.out):
        assert 0 < text.index("hospital-a: Our label is text. [x.ours]") < text.index("Their table is empty."), text


def test_resume_submits_the_earlier_job_with_its_changes(party: FakeParty, flow: Command) -> None:
    first = party.client.submit(job_json())
    party.service.move(first, JobState.FAILED)
    changes = ("--set", "train.rounds=30", "--set", "train.secure=paillier", "--set", "evaluate.bins=[1, 2]")
    second = json.loads(flow("job", "resume", first, *changes, "--json").out)["job"]
    spec = party.client.job(second).spec
    assert spec["settings"] == {"resume": first}
    assert spec["tasks"]["train"]["parameters"] == {"rounds": 30, "secure": "paillier"}
    assert spec["tasks"]["evaluate"]["parameters"] == {"bins": [1, 2]}
    assert f"goes on    from job {first}" in flow("job", "show", second).out
    wrong = flow("job", "resume", first, "--set", "trian.rounds=3")
    assert wrong.code == Exit.BAD_INPUT
    assert "tasks.trian: there is no task 'trian' in this job; did you mean 'train'?" in wrong.err


def test_a_later_attempt_that_goes_on_from_an_earlier_one_is_told_as_such(party: FakeParty, flow: Command) -> None:
    job = party.client.submit(job_json())
    body = {"job": job, "attempt": 1, "step": 40}
    party.service.event("task.resumes", job, task="train", attempt=2, body=body)
    party.service.play(job, rounds=1)
    assert "train: attempt 2, from step 40 of attempt 1" in flow("job", "watch", job).out


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"job": "J", "attempt": 1, "step": 5}, "train: goes on from step 5 of job J"),
        ({}, "train: no checkpoint that all parties share, starts afresh"),
    ],
)
def test_watching_tells_where_a_task_goes_on(
    party: FakeParty, flow: Command, body: dict[str, object], says: str
) -> None:
    first = party.client.submit(job_json())
    party.service.move(first, JobState.FAILED)
    job = party.client.resume(first, {})
    party.service.event("task.resumes", job, task="train", attempt=1, body=body)
    party.service.play(job, rounds=1)
    assert says in flow("job", "watch", job).out


def test_every_exit_code_has_a_meaning_and_every_root_a_code() -> None:
    assert set(MEANING) == set(Exit)
    assert exit_for(PlatformError("x")) is Exit.DEFECT
    assert exit_for_end("running") is Exit.DEFECT
    text = (CHECKOUT / "docs/cli.md").read_text()
    for code, meaning in MEANING.items():
        assert f"| {code.value} | {meaning} |" in text


def test_help_starts_fast_and_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom flow.cli.app import app\n"
        "try:\n    app(['--help'], prog_name='flow')\nexcept SystemExit:\n    pass\n"
        "heavy = {'numpy', 'pyarrow', 'torch', 'sqlalchemy', 'httpx', 'pydantic', 'grpc', 'rich'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert "Exit codes:" in done.stdout
    assert done.stdout.rstrip().endswith("HEAVY []")


def test_a_party_is_made_and_trusts_another(flow: Command, tmp_path: Path) -> None:
    made = flow("party", "init", "hospital-x", "--home", tmp_path / "x", "--json")
    told = json.loads(made.out)
    assert told["party"] == "hospital-x"
    again = flow("party", "init", "hospital-x", "--home", tmp_path / "x")
    assert again.code == 5
    other = create_home(tmp_path / "y", "hospital-y")
    done = flow("party", "trust", other.root / "card.json", "--home", tmp_path / "x")
    assert done.code == 0, done.err
    assert other.card.fingerprint in done.out
    assert flow("party", "trust", tmp_path / "none.json", "--home", tmp_path / "x").code == 3
    card = flow("party", "card", "--home", tmp_path / "y", "--out", tmp_path / "card.json")
    assert card.code == 0
    assert json.loads((tmp_path / "card.json").read_text())["party"] == "hospital-y"
    renewed = flow("party", "card", "--home", tmp_path / "y", "--renew")
    assert json.loads(renewed.out)["party"] == "hospital-y"
    assert flow("party", "untrust", "hospital-y", "--home", tmp_path / "x").code == 0
    assert flow("party", "untrust", "hospital-y", "--home", tmp_path / "x").code == 3


def test_trusting_tells_the_running_gateway(party: FakeParty, flow: Command, tmp_path: Path) -> None:
    before = party.gateway.reloads
    other = create_home(tmp_path / "z", "hospital-z")
    assert flow("party", "trust", other.root / "card.json").code == 0
    assert party.gateway.reloads == before + 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--database", "oracle"], "use sqlite or mysql"),
        (["--database", "mysql"], "--database-url-file"),
        (["--database", "mysql", "--database-url-file", "nowhere"], "does not exist"),
        (["--address", "nonsense"], "is not an address"),
        (["--accept", "maybe"], "use agree, ask, refuse"),
    ],
)
def test_wrong_options_of_init_leave_nothing(flow: Command, tmp_path: Path, words: list[str], says: str) -> None:
    done = flow("party", "init", "p", "--home", tmp_path / "w", *words)
    assert done.code in (2, 3)
    assert says in done.err
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(("words", "accept"), [([], "ask"), (["--accept", "agree"], "agree")])
def test_a_new_party_asks_a_person_unless_told_otherwise(
    flow: Command, tmp_path: Path, words: list[str], accept: str
) -> None:
    made = flow("party", "init", "p", "--home", tmp_path / "p", *words)
    assert made.code == 0, made.err
    assert PartyHome(tmp_path / "p").settings.policy.accept == accept


def test_status_notes_what_an_older_settings_file_leaves_open(party: FakeParty, flow: Command) -> None:
    file = party.home.root / "party.toml"
    file.write_text("".join(line for line in file.read_text().splitlines(True) if not line.startswith("accept")))
    assert "Note: policy.accept is not in party.toml" in flow("party", "status").out


def test_a_job_that_waits_for_a_person_is_shown_with_what_there_is_to_decide(party: FakeParty, flow: Command) -> None:
    job = party.client.submit(job_json())
    party.service.change(job, waiting_for=(waiting_for_person("hospital-a"),))
    assert f"flow job approve {job}" in flow("job", "show", job).out
    assert flow("job", "proposal", job).out.startswith(f"Job {job} (breast), proposed by admin")
    told = json.loads(flow("job", "proposal", job, "--json").out)
    assert (told["job"], told["waits"]) == (job, True)
    assert flow("job", "proposal", "nothing").code == 3


def test_an_approval_names_what_the_person_saw(party: FakeParty, flow: Command) -> None:
    job = party.client.submit(job_json())
    party.service.change(job, waiting_for=(waiting_for_person("hospital-a"),))
    digest = json.loads(flow("job", "proposal", job, "--json").out)["digest"]
    shown = flow("job", "proposal", job).out
    assert digest in shown
    *_, command = shown.splitlines()
    assert command == f"flow job approve {job} --home {party.home.root} --digest {digest[:12]}"
    short = flow("job", "approve", job, "--digest", digest[:11])
    assert (short.code, "12 to 64 characters" in short.err) == (2, True)
    view = party.client.proposal(job)
    party.service.proposals[job] = view.model_copy(update={"warnings": ("A sum of two reveals the other.",)})
    stale = flow(*command.split()[1:])
    assert (stale.code, "has changed since it was shown; look at it again" in stale.err) == (5, True)
    newer = party.client.proposal(job).digest
    done = flow("job", "approve", job, "--digest", newer[:20].upper())
    assert done.code == 0, done.err
    for text in ("(breast), proposed by admin of hospital-a", newer[:12], "A sum of two", f"{job}: hospital-a agrees."):
        assert text in done.out
    assert party.client.job(job).state == "agreed"


def test_an_approval_for_a_script_is_one_document(party: FakeParty, flow: Command) -> None:
    job = party.client.submit(job_json())
    party.service.change(job, waiting_for=(waiting_for_person("hospital-a"),))
    assert json.loads(flow("job", "approve", job, "--json").out)["state"] == "agreed"


def test_compose_files_are_written_on_request(flow: Command, tmp_path: Path) -> None:
    pytest.importorskip("deploy.compose")
    done = flow("party", "init", "p", "--home", tmp_path / "c", "--compose", "--json")
    assert done.code == 0, done.err
    assert Path(json.loads(done.out)["compose"]).is_file()


def test_a_status_that_is_not_healthy_has_its_own_exit_code(
    party: FakeParty, flow: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert flow("party", "status").code == 0
    monkeypatch.setattr(party.gateway, "down", PlatformError("It is down."))
    time.sleep(KEPT_S)  # beyond what the party would have kept
    assert flow("party", "status").code == Exit.UNHEALTHY
    monkeypatch.undo()
    healed = flow("party", "status")
    assert healed.code == 0, healed.out


def test_down_is_quiet_when_nothing_runs(flow: Command) -> None:
    done = flow("party", "down")
    assert done.code == 0
    assert "was not running" in done.out


def test_the_version_is_told(flow: Command) -> None:
    assert flow("--version").out.startswith("archipelago-fl ")


@pytest.mark.parametrize(
    ("mode", "text", "warns"),
    [
        ("user", "own user 65534, in a sandbox: keys are out of reach.", False),
        ("sandbox", "sandbox: keys are out of reach.", False),
        ("partly", "isolated in part: nothing filters system calls.", True),
        ("none", "not isolated: this kernel has no Landlock.", True),
    ],
)
def test_status_says_how_executors_are_confined_and_warns_where_they_are_not(
    party: FakeParty, flow: Command, monkeypatch: pytest.MonkeyPatch, mode: str, text: str, warns: bool
) -> None:
    monkeypatch.setattr(party.cluster, "isolation", mode)
    monkeypatch.setattr(party.cluster, "isolation_text", text)
    shown, told = flow("party", "status").out.splitlines(), flow("party", "status", "--json").json()
    warning = f"Executors on n1 are {text}"
    assert told["isolation"] == f"n1: {text}"
    assert [note for note in told["notes"] if note.startswith("Executors")] == [warning] * warns
    assert f"Executors on n1: {text}" in shown
    assert (f"Note: {warning}" in shown) is warns


def test_status_says_how_executors_are_held_to_their_limits_and_which_host_takes_no_more(
    party: FakeParty, flow: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(party.cluster, "limits_text", "held by control groups, version 2 (memory).")
    monkeypatch.setattr(party.cluster, "pressure", "its disk is nearly full: 1.0 MiB of 1.0 GiB left")
    shown, told = flow("party", "status").out.splitlines(), flow("party", "status", "--json").json()
    full = "n1 takes no more executors: its disk is nearly full: 1.0 MiB of 1.0 GiB left"
    assert told["limits"] == "n1: held by control groups, version 2 (memory)."
    assert full in told["notes"]
    assert "Limits on n1: held by control groups, version 2 (memory)." in shown
    assert f"Note: {full}" in shown


def test_status_does_not_guess_how_executors_are_confined(party: FakeParty, flow: Command) -> None:
    told = flow("party", "status", "--json").json()
    assert (told["isolation"], [note for note in told["notes"] if "Executors" in note]) == ("", [])
    assert "Executors on" not in flow("party", "status").out


@pytest.mark.parametrize(
    ("seen_s", "problem", "says"),
    [
        (
            1_767_225_600.0,
            "It cannot be reached.",
            f"hospital-b: It cannot be reached. Last heard of: {clock_text(1_767_225_600_000)}.",
        ),
        (0.0, "", "hospital-b: It has not answered yet. Not heard of since our gateway started."),
        (1_767_225_600.0, "", f"hospital-b: It has not answered yet. Last heard of: {clock_text(1_767_225_600_000)}."),
    ],
)
def test_status_says_of_a_party_that_is_down_why_and_since_when(
    party: FakeParty, flow: Command, monkeypatch: pytest.MonkeyPatch, seen_s: float, problem: str, says: str
) -> None:
    down = PeerStatus("hospital-b", ("127.0.0.1:9",), "down", seen_s, 2, problem)
    monkeypatch.setattr(party.gateway, "peer", down)
    done = flow("party", "status")
    assert done.code == 0, f"another party that is down is not our fault:\n{done.out}"
    assert says in done.out
    told = json.loads(flow("party", "status", "--json").out)["peers"][0]
    assert told["problem"] == (problem or "It has not answered yet.")
