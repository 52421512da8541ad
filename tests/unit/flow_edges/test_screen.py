"""What `flow` writes cannot steer a terminal, whoever wrote the text, and is never read as markup."""

from __future__ import annotations

import ast
import json
import threading
from pathlib import Path

import pytest
from rich.progress import Progress

from flow.cli import main
from flow.cli import screen as screen_module
from flow.cli.bars import DrawnBars
from flow.cli.job.text import job_lines, summary_row
from flow.cli.job.watching import Watcher
from flow.cli.screen import Screen
from flow.client import ErrorView, EventRow, JobState, JobView, MetricRow, PartyView, Waiting
from runtime.errors import InvalidInput
from runtime.text import is_printable

CLI = Path(screen_module.__file__).parent
EVIL = "\x1b]0;owned\x07\x1b[31mred\x9b2J\u202eevil\r\nsecond\x7f"
MARKUP = "[bold red]not markup[/] :boom:"

WARNED = (("few trainers",), (), ("few trainers", "another thing"))


def evil_job() -> JobView:
    waiting = Waiting(who=EVIL, what="person", text=EVIL, since_ms=1)
    error = ErrorView(code="a.b", message=EVIL, hint=EVIL, party=EVIL)
    return JobView(
        id="01J", name=EVIL, state=JobState.WAITING, initiator=EVIL, user=EVIL, submitted_ms=1, tasks_total=0,
        tasks_done=0, waiting_for=(waiting,), error=error, spec={},
        parties=(PartyView(party=EVIL, roles=(EVIL,), decision=EVIL, reasons=(EVIL,), warnings=(EVIL,)),),
    )  # fmt: skip


def shown(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines on both outputs, each checked."""
    captured = capsys.readouterr()
    lines = (captured.out + captured.err).split("\n")
    assert all(is_printable(line) for line in lines), lines
    return lines


def test_escape_sequences_of_others_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    job = evil_job()
    for line in job_lines(job):
        screen.line(line)
    screen.table([EVIL, "b", "c", "d", "e", "f", "g"], [summary_row(job)], empty="")
    screen.note(EVIL)
    screen.result({}, EVIL, EVIL)
    screen.error(InvalidInput(EVIL, hint=EVIL), source=EVIL)
    watcher = Watcher(screen)
    event = EventRow(id=1, hlc="1.0", kind="party.refuse", job="01J", party=EVIL)
    metric = MetricRow(id=1, task=EVIL, attempt=1, party="a", role="guest", name=EVIL, step=1, value=1.0, at_ms=1)
    for news in (job, event, [metric], job):
        watcher.show(news)
    assert "red" in "".join(shown(capsys))


def test_a_round_is_one_line_however_its_numbers_arrive_and_an_evaluation_is_no_round(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def metric(task: str, step: int, name: str) -> list[MetricRow]:
        return [MetricRow(id=1, task=task, attempt=1, party="a", role="guest", name=name, step=step, value=0.5)]

    watcher = Watcher(Screen())
    for step in (1, 2):
        watcher.show(metric("train", step, "loss"))
        watcher.show(metric("train", step, "accuracy"))
    lines = ["train: round 1  loss 0.5000  accuracy 0.5000", "train: round 2  loss 0.5000  accuracy 0.5000"]
    assert capsys.readouterr().out.splitlines() == lines
    watcher.show(metric("evaluate", 0, "auc"))
    watcher.show(EventRow(id=1, hlc="1.0", kind="task.published", job="01J", task="evaluate"))
    assert capsys.readouterr().out.splitlines() == ["evaluate:  auc 0.5000", "evaluate: succeeded"]


def test_a_line_break_of_others_makes_no_line_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().line("job one\njob two succeeded")
    assert shown(capsys) == ["job one\N{REPLACEMENT CHARACTER}job two succeeded", ""]
    Screen().block("12:00 ERROR Traceback:\n  File x\n12:01 INFO all is well\n")
    assert shown(capsys) == ["12:00 ERROR Traceback:", "      File x", "    12:01 INFO all is well", ""]


def test_json_is_ascii_and_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    for write in (Screen(as_json=True).document, Screen(as_json=True).record):
        write({"näme": EVIL})
        out = capsys.readouterr().out
        assert out.isascii()
        assert not set(out) & {"\x1b", "\x07", "\r", "\x7f"}
        assert json.loads(out) == {"näme": EVIL}


def test_a_table_on_a_terminal_reads_no_markup(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "dumb")  # no colours of our own either
    Screen().table([MARKUP, EVIL], [[MARKUP, EVIL]], empty="")
    lines = shown(capsys)
    assert sum(MARKUP in line for line in lines) == 2


def test_progress_is_shown_to_people_only(capsys: pytest.CaptureFixture[str]) -> None:
    with Screen().progress("Uploading x") as move:
        move(1, 2)
        move(2, 2)
    assert shown(capsys) == [""]


def test_no_command_writes_but_through_the_screen() -> None:
    """`print`, `typer.echo`, a console or a stream of its own would let foreign text through as it is."""
    found = []
    for path in sorted(CLI.rglob("*.py")):
        if path.name == "screen.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if name in {"print", "input"} or name.endswith((".echo", ".secho", ".print", ".prompt", ".confirm")):
                found.append(f"{path.name}:{node.lineno}: {name}")
            if name.endswith((".write", ".writelines")) and "std" in name:
                found.append(f"{path.name}:{node.lineno}: {name}")
            if isinstance(node, ast.ImportFrom | ast.Import) and "rich" in ast.unparse(node).split("import")[-1].split(
                "."
            ):
                found.append(f"{path.name}:{node.lineno}: rich")
    assert found == []


def test_no_command_joins_lines_that_the_screen_writes_one_by_one() -> None:
    """A line break inside a line is a control character, and is shown as one."""
    found = [
        f"{path.name}:{node.lineno}"
        for path in sorted(CLI.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith(("screen.result", "screen.line", "screen.note"))
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and "\n" in part.value
    ]
    assert found == []


@pytest.mark.parametrize("at_ms", [10**17, -(10**17), 10**400, 253_402_300_799_999])
def test_a_time_that_no_calendar_has_hides_nothing_else(at_ms: int) -> None:
    job = evil_job().model_copy(update={"submitted_ms": at_ms, "ended_ms": None})
    assert summary_row(job)[0] == "01J"
    assert any("submitted" in line for line in job_lines(job))


def test_what_is_mistyped_is_told_as_json_where_json_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["flow", "job", "show", "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert json.loads(capsys.readouterr().out)["error"]["message"] == "Missing argument 'JOB'."


def test_a_warning_that_several_parties_said_stands_once_with_those_who_said_it() -> None:
    said = [
        PartyView(party=p, roles=("host",), decision="agree", warnings=w) for p, w in zip("abc", WARNED, strict=True)
    ]
    lines = list(job_lines(evil_job().model_copy(update={"parties": tuple(said)})))
    assert [line for line in lines if line.startswith("warning")] == [
        "warning    few trainers (said by a, c)",
        "warning    another thing (said by c)",
    ]
    assert sum("few trainers" in line for line in lines) == 1


def test_bars_come_with_what_goes_on_and_go_with_what_is_done() -> None:
    with Progress(disable=True) as progress:
        bars = DrawnBars(progress)
        bars.move(f"train: {EVIL}", 1, 3)
        bars.move("train: parts", 2, 2)
        (shown,) = progress.tasks
        assert is_printable(shown.description)
        assert (shown.completed, shown.total) == (1, 3)
        bars.clear()
        assert not progress.tasks


def test_no_bars_are_drawn_where_no_terminal_is_or_a_machine_reads(capsys: pytest.CaptureFixture[str]) -> None:
    with Screen().bars() as bars, Screen(as_json=True).bars() as none:
        bars.move("train: rounds", 1, 3)
        none.move("train: rounds", 1, 3)
        bars.clear()
    assert capsys.readouterr() == ("", "")


def test_what_takes_long_says_what_is_waited_for_but_not_beside_json(monkeypatch: pytest.MonkeyPatch) -> None:
    said, told = list[str](), threading.Event()

    def note(_screen: Screen, text: str) -> None:
        said.append(text)
        told.set()

    monkeypatch.setattr(Screen, "note", note)
    with Screen().waits("bank-a is starting", after_s=0):
        assert told.wait(10)
    assert said == ["bank-a is starting …"]
    before = threading.active_count()
    with Screen(as_json=True).waits("bank-a is starting", after_s=0):
        assert threading.active_count() == before
