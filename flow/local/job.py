"""Whether a job can run in one process: by the rules of `flow job validate` that take no party, in its words. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flow.errors import JobInvalid, Problem
from flow.job.binding import BoundJob, BoundTask, Components, bind
from flow.job.references import OutputInput
from flow.job.row_counts import unknown_rows
from flow.job.spec import parse_job

_ASK_A_PARTY = "Run it at its parties: flow job submit."


def job_to_run(spec_json: bytes, components: Components) -> BoundJob:
    """The job of a file, resolved. Raises JobInvalid, UnknownSchema."""
    spec = parse_job(spec_json)
    tasks, problems = bind(spec, components)
    if spec.settings.resume is not None:
        message = "the checkpoints of another job lie at its parties."
        problems.append(Problem(path="settings.resume", message=message, hint=_ASK_A_PARTY))
    problems += dict.fromkeys(_of_other_jobs(tasks))
    problems = problems or unknown_rows(tasks)
    if problems:
        raise JobInvalid(problems)
    return BoundJob(spec, tasks, [])


def in_order(tasks: Mapping[str, BoundTask]) -> Iterator[BoundTask]:
    """The tasks as the job lists them, but each after those that it needs."""
    done: set[str] = set()
    while len(done) < len(tasks):
        task = next(task for name, task in tasks.items() if name not in done and task.needs <= done)
        done.add(task.name)
        yield task


def _of_other_jobs(tasks: Mapping[str, BoundTask]) -> Iterator[Problem]:
    for task in tasks.values():
        for side in task.sides.values():
            for name, reference in side.inputs.items():
                if isinstance(reference, OutputInput) and reference.job is not None:
                    message = f"'{reference}' was made by another job and lies at its parties."
                    yield Problem(path=f"tasks.{task.name}.inputs.{name}", message=message, hint=_ASK_A_PARTY)
