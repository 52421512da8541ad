"""Which jobs a list has, on both databases: what a policy refused pushes nobody's own jobs out of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow.job.spec import parse_job
from flow.job.states import JobState
from flow.protocol.manifest import OUR_API
from flow.protocol.messages import Answer, Decision, Proposal, SignedAnswer
from flow.store.database import Database
from flow.store.participations import change_part, change_party, insert_job, insert_part
from flow.store.proposal_limits import count_refused_by_policy, listed
from flow.store.queries import Reader
from flow.store.transitions import mirror_job
from party.ids import new_job_id
from tests.fakes.clock import FakeClock
from tests.fakes.flow_world import nothing_job
from tests.fixtures.mariadb import MariaDb


@pytest.fixture(params=["sqlite", "mysql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path}/flow.sqlite"
    if request.param == "mysql":
        server: MariaDb = request.getfixturevalue("mariadb")
        url = server.new_database()
    made = Database(url, FakeClock())
    yield made
    made.close()


class Jobs:
    """Jobs as the party `b` has them: its own, and those that `a` proposed to it and `b` answered."""

    def __init__(self, store: Database) -> None:
        self.store = store
        self.spec = parse_job(json.dumps(nothing_job()).encode())
        self.at_ms = 0

    def add(
        self,
        initiator: str,
        decision: Decision,
        state: JobState = JobState.WAITING,
        by: str = "",
        *,
        policy: bool = False,
    ) -> str:
        self.at_ms += 1
        proposal = Proposal(
            job=new_job_id(), initiator=initiator, user="ann", spec=self.spec.document(),
            spec_digest=self.spec.digest(), seed="0" * 64, code={}, api=OUR_API, submitted_ms=self.at_ms,
        )  # fmt: skip
        answer = Answer(job=proposal.job, party="b", decision=decision, proposal_digest="0" * 64, api=OUR_API)
        with self.store.write() as writer:
            insert_job(writer, proposal, {"b": {"decision": str(decision)}}, None)
            insert_part(writer, proposal, SignedAnswer(answer=answer, signature=""), "refused", by_policy=policy)
            if by:
                change_part(writer, proposal.job, decided_by=by)
                change_party(writer, proposal.job, "b", decision="refuse")
            if state is not JobState.WAITING:
                mirror_job(writer, proposal.job, state)
        return proposal.job

    def listed(self, state: str | None = None, *, every: bool = False, limit: int = 50) -> list[str]:
        with self.store.read() as connection:
            only = listed("b", state, every=every)
            return [line.id for line in Reader("b").jobs(connection, limit, only)]

    def count(self) -> int:
        with self.store.read() as connection:
            return count_refused_by_policy(connection, "b")


def test_a_list_leaves_out_what_the_policy_refused_and_nothing_else(store: Database) -> None:
    jobs, refused = Jobs(store), JobState.REFUSED
    own = [
        jobs.add("b", Decision.AGREE),
        jobs.add("b", Decision.REFUSE, refused, policy=True),
        jobs.add("b", Decision.AGREE, refused),
    ]
    others = [
        jobs.add("a", Decision.AGREE),
        jobs.add("a", Decision.AGREE, refused),  # another party refused it
        jobs.add("a", Decision.ASK, refused, by="olga"),
        jobs.add("a", Decision.REFUSE, refused),  # for want of something that its people may bring
        jobs.add("a", Decision.ASK, JobState.CANCELLED),
    ]
    spam = [jobs.add("a", Decision.REFUSE, refused, policy=True) for _ in range(3)]
    kept = [*own, *others]
    assert jobs.listed() == kept[::-1]
    assert jobs.listed(limit=2) == kept[:-3:-1]
    assert jobs.listed(every=True) == [*kept, *spam][::-1]
    assert jobs.listed("refused", every=True) == [*own[1:], *others[1:4], *spam][::-1]
    assert jobs.listed("cancelled") == [others[4]]
    assert jobs.count() == 3
