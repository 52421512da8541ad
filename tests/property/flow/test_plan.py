"""Whatever happens in whatever order, the plan leads to an end, and only to legal states."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from flow.coordinator.plan import (
    LAST_REST_S,
    Agree,
    AttemptSnapshot,
    End,
    EndAttempt,
    Finish,
    JobSnapshot,
    MarkClosed,
    Open,
    OpenAttempt,
    PartySnapshot,
    Propose,
    Publish,
    Refuse,
    Reserve,
    SideSnapshot,
    Start,
    Stop,
    Transition,
    Wake,
    step,
)
from flow.job.states import (
    ENDED_ATTEMPT,
    ENDED_JOB,
    AttemptEvent,
    AttemptState,
    JobEvent,
    JobState,
    attempt_after,
    job_after,
)

PARTIES = ("a", "b", "c")
NEEDS = {"one": frozenset[str](), "two": frozenset({"one"}), "three": frozenset({"one"})}
HOW = {
    s: AttemptEvent(s) for s in (AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.LOST, AttemptState.CANCELLED)
}
S = AttemptState


class Run:
    """A job on paper: carries out what the plan says; chance decides what actions bring."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.expiries = 3
        parties = tuple(PartySnapshot(p) for p in PARTIES)
        self.job = JobSnapshot("J", JobState.WAITING, parties, NEEDS, retries=data.draw(st.integers(0, 2)))

    def turn(self) -> bool:
        """One step of the plan; False once there is nothing left to do."""
        todo = step(self.job)
        moves = [i for i in todo if isinstance(i, Transition)]
        assert not moves or todo == moves[:1], "a move stands alone"
        actions = [i for i in todo if not isinstance(i, Wake)]
        if moves:
            self.move(moves[0])
        elif actions:
            self.action(self.data.draw(st.sampled_from(actions)))
        elif not self.side_report():
            return self.rest()
        return True

    def rest(self) -> bool:
        """Let the time pass that is waited before another attempt; False if none is waited for."""
        resting = [a for a in self.job.attempts.values() if a.state in ENDED_ATTEMPT and not a.rested_s]
        for attempt in resting if self.job.state not in ENDED_JOB else ():
            self.put(replace(attempt, rested_s=LAST_REST_S))
        return bool(resting) and self.job.state not in ENDED_JOB

    def move(self, move: Transition) -> None:
        match move:
            case Agree():
                self.job = replace(self.job, state=job_after(self.job.state, JobEvent.AGREED))
            case Refuse():
                self.job = replace(self.job, state=job_after(self.job.state, JobEvent.REFUSED))
            case OpenAttempt():
                old = self.job.attempts.get(move.task)
                assert old is None or (old.state in ENDED_ATTEMPT and all(s.stopped for s in old.sides))
                tries = 0 if old is None else old.tries + old.counted
                sides = tuple(SideSnapshot(f"guest:{p}", p) for p in PARTIES)
                self.put(AttemptSnapshot(move.task, move.attempt, S.PENDING, tries=tries, sides=sides))
            case EndAttempt():
                attempt = self.job.attempts[move.task]
                state = attempt_after(attempt.state, HOW[move.state])
                self.put(replace(attempt, state=state, retryable=move.retryable, error=move.error))
            case Finish():
                how = JobEvent.SUCCEEDED if move.state is JobState.SUCCEEDED else JobEvent.FAILED
                self.job = replace(self.job, state=job_after(self.job.state, how))
            case MarkClosed():
                self.job = replace(self.job, closed=True)

    def action(self, action: object) -> None:
        match action:
            case Propose():
                said = self.data.draw(st.sampled_from(["agree"] * 9 + ["refuse"]))
                self.party(action.party, decision=said)
            case Open():
                self.party(action.party, opened=True)
            case End():
                self.party(action.party, closed=True)
            case Reserve():
                attempt = self.job.attempts[action.task]
                sides = tuple(replace(s, state=attempt_after(s.state, AttemptEvent.RESERVED)) for s in attempt.sides)
                self.put(replace(attempt, state=attempt_after(attempt.state, AttemptEvent.RESERVED), sides=sides))
            case Start():
                self.start(action)
            case Stop():
                self.sides(action.task, action.party, stopped=True)
            case Publish():
                self.sides(action.task, action.party, published=True)

    def start(self, action: Start) -> None:
        attempt = self.job.attempts[action.task]
        assert all(side.state is not S.PENDING for side in attempt.sides), "all or nothing"
        if self.expiries and self.data.draw(st.integers(0, 9)) == 0:  # its room had expired
            self.expiries -= 1
            self.put(replace(attempt, state=attempt_after(attempt.state, AttemptEvent.CANCELLED), counted=False))
            return
        self.sides(action.task, action.party, state=S.RUNNING)
        if attempt.state is S.RESERVED:
            self.put(replace(self.job.attempts[action.task], state=S.RUNNING))
        if self.job.state is JobState.AGREED:
            self.job = replace(self.job, state=job_after(self.job.state, JobEvent.STARTED))

    def side_report(self) -> bool:
        running = [(a, s) for a in self.job.attempts.values() for s in a.sides if s.state is S.RUNNING]
        if not running or self.job.state in ENDED_JOB:
            return False
        attempt, side = self.data.draw(st.sampled_from(running))
        how = self.data.draw(st.sampled_from([AttemptEvent.SUCCEEDED] * 8 + [AttemptEvent.FAILED, AttemptEvent.LOST]))
        self.sides(attempt.task, side.party, state=attempt_after(side.state, how), retryable=how is AttemptEvent.LOST)
        return True

    def put(self, attempt: AttemptSnapshot) -> None:
        self.job = replace(self.job, attempts={**self.job.attempts, attempt.task: attempt})

    def party(self, name: str, **changes: object) -> None:
        parties = tuple(replace(p, **changes) if p.party == name else p for p in self.job.parties)  # type: ignore[arg-type]
        self.job = replace(self.job, parties=parties)

    def sides(self, task: str, party: str, **changes: object) -> None:
        attempt = self.job.attempts[task]
        sides = tuple(replace(s, **changes) if s.party == party else s for s in attempt.sides)  # type: ignore[arg-type]
        self.put(replace(attempt, sides=sides))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_order_of_events_leads_to_an_end_over_legal_states_only(data: st.DataObject) -> None:
    run = Run(data)
    for _ in range(2_000):
        ended = run.job.state
        if not run.turn():
            break
        assert ended not in ENDED_JOB or run.job.state is ended, "terminal stays terminal"
    assert run.job.state in ENDED_JOB
    assert run.job.closed
    assert all(party.closed for party in run.job.parties)
    if run.job.state is JobState.SUCCEEDED:
        assert all(s.published for a in run.job.attempts.values() for s in a.sides)
