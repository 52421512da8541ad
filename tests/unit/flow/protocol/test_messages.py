"""What another party sends: nothing but a ULID is a job, and an end is an end."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from flow.job.states import ENDED_ATTEMPT, ENDED_JOB, AttemptState, JobState
from flow.protocol.messages import EndOrder, JobOrder, StopOrder
from party.ids import new_job_id


@pytest.mark.parametrize("name", ["../../keys", "..", "", "/etc", "JOB1", "01M8DPA9QMJ7543YEFXHBZRSBR\n", "a" * 26])
def test_a_job_id_that_is_no_ulid_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="job"):
        JobOrder(job=name)


def test_a_ulid_is_a_job_id() -> None:
    name = new_job_id()
    assert JobOrder(job=name).job == name


@pytest.mark.parametrize("state", JobState)
def test_only_an_ended_job_is_told_to_be_over(state: JobState) -> None:
    if state in ENDED_JOB:
        assert EndOrder(job=new_job_id(), state=state).state is state
    else:
        with pytest.raises(ValidationError, match="state"):
            EndOrder(job=new_job_id(), state=state)


@pytest.mark.parametrize("state", AttemptState)
def test_only_an_attempt_that_ended_badly_is_stopped(state: AttemptState) -> None:
    if state in ENDED_ATTEMPT - {AttemptState.SUCCEEDED}:
        assert StopOrder(job=new_job_id(), task="t", attempt=1, state=state).state is state
    else:
        with pytest.raises(ValidationError, match="state"):
            StopOrder(job=new_job_id(), task="t", attempt=1, state=state)
