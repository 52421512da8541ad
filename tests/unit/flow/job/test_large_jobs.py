"""What a proposal can cost: bounded by what it says, and worked out once."""

from __future__ import annotations

import json
from collections.abc import Callable, ItemsView
from dataclasses import replace
from typing import Any

import pytest

from algorithms.api.component import Component
from flow.errors import BadMessage, JobInvalid
from flow.job.binding import MOST_PROBLEMS, BoundJob, BoundSide, bind
from flow.job.spec import MAX_SIDES, JobSpec, parse_job
from flow.protocol.agreement import check_proposal, decide, outsider, review
from flow.protocol.knowledge import Knowledge
from flow.protocol.manifest import OUR_API
from flow.protocol.messages import Decision, Proposal
from flow.protocol.policy import Source, TableFacts
from flow.protocol.proposal_view import MOST_NAMED, MOST_SHOWN, proposal_view
from party.ids import Address
from party.settings import PolicySettings
from storage.client import UsePolicy
from tests.fakes.flow_world import TRAIN, TrainParameters, component
from tests.unit.flow.protocol.test_agreement import JOB, NOW

TABLE = {"breast/train": TableFacts("breast/train@1", 100)}


def job(tasks: int, hosts: int, **task: Any) -> dict[str, Any]:
    """So many alike tasks of a guest, `b` with so many others as hosts, and an arbiter."""
    one = {"component": "train@1", "inputs": {"train": "breast/train"}, **task}
    return {
        "schema": 1, "name": "large", "initiator": "a",
        "roles": {"guest": ["a"], "host": ["b", *(f"h{i}" for i in range(hosts))], "arbiter": ["c"]},
        "tasks": {f"t{i}": one for i in range(tasks)},
    }  # fmt: skip


def proposed(document: dict[str, Any]) -> tuple[Proposal, JobSpec]:
    spec = JobSpec.model_validate_json(json.dumps(document))
    made = Proposal(
        job=JOB, initiator="a", user="ann", spec=spec.document(), spec_digest=spec.digest(), seed="0" * 64,
        code={"train@1": TRAIN.code_digest}, api=OUR_API, submitted_ms=1,
    )  # fmt: skip
    return made, spec


class Counted(TrainParameters):
    """Parameters that count how often they are looked through."""

    made: int = 0

    def model_post_init(self, _context: Any) -> None:
        COUNT.append(1)


COUNT: list[int] = []


def counting(name: str) -> Component:
    COUNT.append(1)
    return replace(component(name), parameters=Counted)


def cost(work: Callable[[], object]) -> int:
    COUNT.clear()
    work()
    return len(COUNT)


@pytest.mark.parametrize("document", [job(250, 990), job(1, 990, roles=["host"] * 1000)])
def test_a_short_job_of_many_tasks_and_parties_is_refused_by_name_before_it_is_worked_out(
    document: dict[str, Any],
) -> None:
    made, spec = proposed(document)
    with pytest.raises(BadMessage, match=rf"tasks: .* sides .*; {MAX_SIDES} are allowed"):
        check_proposal(made, "a", spec, "b")
    with pytest.raises(JobInvalid, match="sides"):
        parse_job(json.dumps(document).encode())


def test_much_that_is_said_to_many_parties_with_something_of_their_own_is_refused_by_name() -> None:
    own = {f"h{i}": {"rounds": 3} for i in range(900)}
    made, spec = proposed(job(1, 990, parameters={"secure": "x" * 20_000, **own}))
    with pytest.raises(BadMessage, match=r"tasks\.t0\.parameters: what is said to all"):
        check_proposal(made, "a", spec, "b")
    made, spec = proposed(job(1, 990, parameters={"secure": "x" * 20_000}))
    check_proposal(made, "a", spec, "b")


def test_a_proposal_may_break_no_rule_that_a_submitted_job_may_not() -> None:
    document = job(1, 3)
    document["roles"]["host"].append("b")
    made, spec = proposed(document)
    with pytest.raises(BadMessage, match="a party is named twice"):
        check_proposal(made, "a", spec, "b")


def test_a_job_costs_what_it_says_and_not_that_times_its_parties() -> None:
    small, large = (proposed(job(10, hosts))[1] for hosts in (5, 900))
    assert cost(lambda: bind(large, counting)) == cost(lambda: bind(small, counting))
    [told, silent] = (proposed(job(10, 900, parameters=own))[1] for own in ({"h7": {"rounds": 1}}, {}))
    assert 0 < cost(lambda: bind(told, counting)) - cost(lambda: bind(silent, counting)) <= 20


def test_deciding_and_showing_look_through_a_job_as_often_however_many_parties_it_has() -> None:
    counts = []
    for hosts in (5, 900):
        made, spec = proposed(job(10, hosts))
        bound = BoundJob(spec, *bind(spec, counting))
        know = Knowledge("b", PolicySettings(accept=Decision.ASK, min_protection="plain"), NOW, TABLE, {})
        counts.append(cost(lambda: proposal_view(made, bound, know, decide(made, bound, know), waits=True)))  # noqa: B023
    assert counts[0] == counts[1]


def test_whom_the_policy_excludes_is_answered_without_a_look_at_the_job() -> None:
    made, spec = proposed(job(1, 3, component="no_such_component@1"))
    for policy in (PolicySettings(peers=("c",)), PolicySettings(accept=Decision.REFUSE)):
        decided = outsider(made, spec, "b", policy, ())
        assert decided is not None
        assert decided.answer.decision is Decision.REFUSE
        assert all("component" not in reason for reason in decided.reasons)
    assert outsider(made, spec, "b", PolicySettings(), ()) is None


def test_of_many_problems_the_first_are_told() -> None:
    _, spec = proposed(job(1000, 5, inputs={"train": "nothing.model"}))
    _, problems = bind(spec, component)
    assert len(problems) == MOST_PROBLEMS
    _, spec = proposed(job(1, 5, parameters={f"x{i}": 1 for i in range(900)}))
    assert len(bind(spec, component)[1]) == MOST_PROBLEMS
    _, spec = proposed(job(1, 5, parameters={f"x{i}": 1 for i in range(5000)}))
    assert [p.message for p in bind(spec, component)[1]] == ["5000 things are wrong with it."]


def test_what_a_person_is_shown_is_bounded_and_says_so() -> None:
    own = {f"h{i}": {"rounds": i + 10} for i in range(900)}
    made, spec = proposed(job(2, 900, parameters=own))
    bound = BoundJob(spec, *bind(spec, component))
    know = Knowledge("b", PolicySettings(accept=Decision.ASK, min_protection="plain", min_trainers=1), NOW, TABLE, {})
    view = proposal_view(made, bound, know, decide(made, bound, know), waits=True)
    assert len(view.parameters) == MOST_SHOWN
    assert view.warnings[0] == f"Only the first {MOST_SHOWN} are shown of: parameters."
    line = view.conversation[0]
    assert (len(line.senders), line.senders[-1], line.we) == (MOST_NAMED + 1, "and 802 more", "send")


def test_a_warning_of_few_trainers_is_said_once_for_all_tasks() -> None:
    made, spec = proposed(job(7, 0))
    bound = BoundJob(spec, *bind(spec, component))
    know = Knowledge("b", PolicySettings(accept=Decision.ASK, min_protection="plain"), NOW, TABLE, {})
    [warning] = decide(made, bound, know).answer.warnings
    assert warning.startswith("tasks.t0, tasks.t1, tasks.t2, tasks.t3, tasks.t4 and 2 more: with 2 trainers a sum")


class CountedSides(dict[Address, BoundSide]):
    """Sides that count how often they are walked through."""

    def items(self) -> ItemsView[Address, BoundSide]:
        COUNT.append(1)
        return super().items()


def test_a_chain_of_tasks_is_walked_through_as_often_a_task_however_long_it_is() -> None:
    counts = {}
    for length in (20, 40, 200):
        document = job(length, 3)
        for i in range(1, length):
            document["tasks"][f"t{i}"] = {"component": "train@1", "inputs": {"train": f"t{i - 1}.scores"}}
        _, spec = proposed(document)
        tasks, problems = bind(spec, component)
        assert not problems
        chain = {name: replace(task, sides=CountedSides(task.sides)) for name, task in tasks.items()}
        over = {
            "breast/train": replace(
                TABLE["breast/train"], made_of=(Source("breast/raw@1", use=UsePolicy(components=("none",))),)
            )
        }
        know = Knowledge("b", PolicySettings(min_protection="plain"), NOW, over, {})
        counts[length] = cost(lambda: COUNT.append(len(review(spec, chain, know))))  # noqa: B023
        reasons = [reason.full for reason in review(spec, chain, know)]
        assert sum("breast/raw@1" in reason for reason in reasons) == length
        assert any(reason.startswith(f"tasks.t{length - 1}.inputs.train: t{length - 2}.scores") for reason in reasons)
    assert counts[200] - counts[40] == 8 * (counts[40] - counts[20])
