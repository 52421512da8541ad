"""What the sender remembers of jobs has an end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from flow.participant.report_sender import JOBS_REMEMBERED, ReportSender
from flow.pauses import Pauses
from flow.protocol.messages import ProgressReport, Report
from flow.protocol.policy import Stance
from flow.rooms.ports import Rooms
from party.settings import PolicySettings


def test_what_was_sent_of_progress_is_remembered_of_so_many_jobs() -> None:
    nothing = cast(Any, None)
    stance = Stance("bob", PolicySettings, tuple)
    sender = ReportSender(stance, nothing, Rooms(nothing, nothing, nothing), nothing, nothing, Pauses())
    for n in range(JOBS_REMEMBERED + 500):
        job = f"01J{n:023d}"
        news = ProgressReport(task="t", attempt=1, address="host:bob", done=n, total=n + 1, what="rounds", at_ms=n + 1)
        sender._cross_off(cast(Any, SimpleNamespace(job=job)), Report(job=job, progress=(news,)), 0, 0)
    assert len(sender._progress_sent) == JOBS_REMEMBERED
    assert sender._progress_sent[job] == n + 1
