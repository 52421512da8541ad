"""What is kept of jobs that ended long ago is deleted when a person says so, or the disk is short of room."""

from __future__ import annotations

import pytest

from flow.participant.checkpoint_retention import SWEEP_S, Sweep
from flow.protocol.messages import LogReport
from flow.rooms.clock_evidence import Wait
from flow.store import tables
from flow.store.telemetry import insert_logs
from flow.views.cleaning import CleanedJob
from party.errors import NotAllowed
from party.users import make_user
from storage.client import KeptFiles, StoreUnavailable
from tests.fakes.flow_world import SCIENTIST, World, hangs, nothing_job, train_job


def ended(world: World, **kept: KeptFiles) -> str:
    """A job that has ended and of which a log line is there, and so many files."""
    job = world.submit(nothing_job())
    world.wait_closed(job)
    line = LogReport(
        task="idle", attempt=1, address="guest:a", incarnation=1, sequence=9, level="info", text="hello", at_ms=1
    )
    with world.a._database.write() as writer:
        insert_logs(writer, job, [line])
    if kept:
        world["a"].store.job_files.kept[job] = kept["files"]
    return job


def cleaned(world: World, *, outputs: bool = False, dry_run: bool = False, older_s: float = 0) -> list[CleanedJob]:
    return list(world.a.clean(older_s, SCIENTIST, outputs=outputs, dry_run=dry_run).jobs)


def test_lines_and_files_of_ended_jobs_go_and_how_they_went_stays(world: World) -> None:
    files = KeptFiles(True, 50, 900, ("made/of-it@1",))
    job = ended(world, files=files)
    store = world["a"].store
    with pytest.raises(NotAllowed):
        world.a.clean(0, make_user("sue", ["scientist"]), outputs=False, dry_run=True)
    with pytest.raises(NotAllowed):
        world.a.clean(0, make_user("joe", ["operator"]), outputs=True, dry_run=True)
    assert cleaned(world, older_s=3_600) == []
    (would,) = cleaned(world, outputs=True, dry_run=True)
    assert (would.job, would.log_lines, would.output_bytes) == (job, 1, 900)
    assert (len(world.a.logs(job)), store.job_files.deleted) == (1, [])
    forgotten = len(store.forgotten)
    assert cleaned(world, outputs=True) == [would]
    assert (world.a.logs(job), store.job_files.deleted, store.forgotten[forgotten:]) == ([], [job], [job])
    assert world.a.job(job).tasks[0].state == "succeeded"
    said = world.a.events(job)[-1]
    assert (said.kind, said.body["user"], said.body["outputs"]) == ("job.cleaned", "ann", ["made/of-it@1"])
    store.job_files.kept.clear()
    assert cleaned(world, outputs=True) == []


def test_a_job_that_is_not_over_keeps_all_and_what_it_uses(world: World) -> None:
    old = ended(world, files=KeptFiles(False, 0, 900, ("x/y@1",)))
    for party in world.parties.values():
        party.cluster.script = hangs
    live = world.submit(nothing_job())
    world["a"].store.job_files.kept[live] = KeptFiles(True, 1, 1, ("z/z@1",))
    with world.a._database.write() as writer:
        text = world.a._database.rows(live).job.spec
        named = text.replace('"name": "nothing"', f'"name": "job:{old}/a.b"')
        writer.change(tables.job, live, [()], {"spec": named})
    (found,) = cleaned(world, outputs=True)
    assert (found.job, found.outputs, found.log_lines) == (old, (), 1)
    assert live in found.stays[0]
    assert world["a"].store.job_files.deleted == []


def test_what_a_job_has_come_to_need_meanwhile_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    old = ended(world, files=KeptFiles(True, 50, 900, ("breast/train@1",)))
    store, cleaning = world["a"].store, world.a._cleaning
    world["b"].cluster.script = hangs
    live = world.submit(train_job())
    world.until(lambda v: v.tasks[0].state == "running", live)
    found = iter([set(), {old}])  # as many times as it is asked
    monkeypatch.setattr(cleaning._retention, "used", lambda: next(found))
    forgotten = len(store.forgotten)
    (done,) = cleaned(world, outputs=True)
    assert (done.log_lines, done.checkpoints, done.checkpoint_bytes) == (1, False, 0)
    assert (done.outputs, done.output_bytes) == ((), 0)
    assert [live in said for said in done.stays] == [False, True]
    assert (store.job_files.deleted, store.forgotten[forgotten:]) == ([], [])
    said = world.a.events(old)[-1]
    assert (said.body["checkpoints"], said.body["outputs"]) == (False, [])


def test_what_is_deleted_is_recorded_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    old = ended(world, files=KeptFiles(False, 0, 900, ("made/of-it@1",)))

    def breaks(_job: str) -> None:
        raise StoreUnavailable("The store cannot be reached.")

    monkeypatch.setattr(world["a"].store.job_files, "delete_outputs", breaks)
    with pytest.raises(StoreUnavailable):
        cleaned(world, outputs=True)
    said = world.a.events(old)[-1]
    assert (said.kind, said.body["outputs"]) == ("job.cleaned", ["made/of-it@1"])


def test_many_jobs_are_cleaned_some_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flow.cleaning.JOBS_AT_ONCE", 2)
    jobs = sorted(ended(world) for _ in range(3))
    first = world.a.clean(0, SCIENTIST, outputs=False, dry_run=True)
    assert ([job.job for job in first.jobs], first.after) == (jobs[:2], jobs[1])
    second = world.a.clean(0, SCIENTIST, outputs=False, dry_run=True, after=first.after)
    assert ([job.job for job in second.jobs], second.after) == (jobs[2:], "")


def test_checkpoints_are_given_up_oldest_first_while_the_disk_is_short_of_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [ended(world) for _ in range(3)]
    store, retention = world["a"].store, world.a._retention
    for job in jobs:
        store.checkpoints[job, "idle", "guest:a"] = {1: [1]}
    retention.sweep(Sweep())
    assert store.checkpointed() == jobs
    monkeypatch.setattr(retention, "_doubt", lambda: Wait(SWEEP_S))
    store.job_files.short = [True, True]
    retention.sweep(Sweep())
    assert store.checkpointed() == jobs[1:]
    store.job_files.short = [True, True, True, True]
    retention.sweep(Sweep())
    assert store.checkpointed() == []
