"""What is said of a job that runs."""

from __future__ import annotations

from flow.job.states import AttemptState, JobState
from flow.views.jobs import AttemptView, JobView, SideView, TaskView, Waiting
from flow.views.links import Links
from flow.views.times import clock_text
from flow.views.why import why


def side(party: str, done: int | None) -> SideView:
    total = 20 if done is not None else None
    return SideView(
        address=f"host:{party}", party=party, role="host", state=AttemptState.RUNNING, done=done, total=total
    )


def job(*sides: SideView) -> JobView:
    attempt = AttemptView(attempt=1, state=AttemptState.RUNNING, created_ms=1, sides=sides)
    tasks = (
        TaskView(name="train", component="homo_lr@1", state="running", attempts=(attempt,)),
        TaskView(name="test", component="evaluate@1", state="waiting", needs=("train",)),
    )
    return JobView(
        id="01", name="n", initiator="a", user="u", state=JobState.RUNNING, submitted_ms=1, tasks=tasks, tasks_done=0,
        tasks_total=2, spec={},
    )  # fmt: skip


def test_a_running_task_says_how_far_its_sides_are() -> None:
    waits = "Task test waits for train."
    assert why(job(side("b", 3), side("c", None)), "", Links("a", 1)) == [
        "Task train runs: host:b has done 3 of 20.", waits,
    ]  # fmt: skip
    assert why(job(side("c", None)), "", Links("a", 1)) == [waits]


def test_a_paused_job_says_first_that_it_is_paused_by_whom_and_since_when() -> None:
    pause = Waiting(who="a", what="pause", text="a person at a, who paused the job, to let it go on", since_ms=0)
    paused = job(side("b", 3)).model_copy(update={"state": JobState.PAUSED, "waiting_for": (pause,)})
    first, *others = why(paused, "", Links("b", 1, peers={}))
    assert first == f"It waits for {pause.text} (since {clock_text(0)})."
    assert "Task train stands still: host:b has done 3 of 20." in others
