from __future__ import annotations

import itertools

import pytest

from flow.errors import IllegalTransition
from flow.job.states import (
    ENDED_ATTEMPT,
    ENDED_JOB,
    NEXT_ATTEMPT,
    NEXT_JOB,
    AttemptEvent,
    AttemptState,
    JobEvent,
    JobState,
    attempt_after,
    job_after,
)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(JobState, JobEvent)))
def test_every_pair_of_a_job_is_in_the_table_or_raises(state: JobState, event: JobEvent) -> None:
    if event in NEXT_JOB[state]:
        assert job_after(state, event) is NEXT_JOB[state][event]
    else:
        with pytest.raises(IllegalTransition, match=f"A job that is {state} cannot meet '{event}'"):
            job_after(state, event)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(AttemptState, AttemptEvent)))
def test_every_pair_of_an_attempt_is_in_the_table_or_raises(state: AttemptState, event: AttemptEvent) -> None:
    if event in NEXT_ATTEMPT[state]:
        assert attempt_after(state, event) is NEXT_ATTEMPT[state][event]
    else:
        with pytest.raises(IllegalTransition):
            attempt_after(state, event)


def test_ended_states_are_those_without_a_way_out() -> None:
    assert {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.REFUSED} == ENDED_JOB
    assert {AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.LOST, AttemptState.CANCELLED} == ENDED_ATTEMPT


def test_every_job_state_but_the_first_can_be_reached_and_every_living_one_can_be_stopped() -> None:
    reached = {to for row in NEXT_JOB.values() for to in row.values()}
    assert reached == set(JobState) - {JobState.WAITING}
    assert all(JobEvent.STOPPED in NEXT_JOB[state] for state in set(JobState) - ENDED_JOB)
