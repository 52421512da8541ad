"""What a job costs the databases of its three Flows together, and how often its document is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import get_ident
from typing import Any

import pytest
from sqlalchemy import Engine, event

from flow.job.spec import JobSpec
from flow.protocol.messages import Manifest
from tests.fakes.flow_world import World, nothing_job, train_job


class Costs:
    """Counts what the databases of a world do for a job, but not what this thread looks at."""

    def __init__(self, world: World) -> None:
        self.statements: Counter[str] = Counter()
        self.transactions = 0
        self.world = world
        self._uncounted: int | None = None  # the thread; nothing is counted before a job is submitted
        self._counting = False

    def submit(self, document: dict[str, Any]) -> str:
        """Submit a job, which counts, and what comes of it."""
        self._counting, self._uncounted = True, None
        try:
            return self.world.submit(document)
        finally:
            self._uncounted = get_ident()

    def told(self) -> str:
        """What was counted, the dearest first."""
        each = "\n".join(f"{count:4} {text}" for text, count in self.statements.most_common())
        return f"{self.statements.total()} statements in {self.transactions} transactions\n{each}"

    def statement(self, _connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        """A statement is executed."""
        if self._counting and get_ident() != self._uncounted and not statement.startswith("BEGIN"):
            self.statements[" ".join(statement.split())[:150]] += 1

    def begin(self, _connection: Any) -> None:
        """A transaction begins."""
        self.transactions += self._counting and get_ident() != self._uncounted


@pytest.fixture
def costs(tmp_path: Path) -> Iterator[Costs]:
    """Three Flows that are at work: what they look up once at their start is not counted."""
    world = World(tmp_path)
    made = Costs(world)
    event.listen(Engine, "before_cursor_execute", made.statement)
    event.listen(Engine, "begin", made.begin)
    world.up()
    world.wait_closed(world.submit(nothing_job()))
    yield made
    world.down()
    event.remove(Engine, "before_cursor_execute", made.statement)
    event.remove(Engine, "begin", made.begin)


def two_tasks_of_all() -> dict[str, Any]:
    """A job of two tasks in which all three parties take part."""
    return {**nothing_job(), "tasks": {"first": {"component": "nothing@1"}, "second": {"component": "nothing@1"}}}


@pytest.mark.parametrize(
    ("job", "statements", "transactions"), [(train_job, 150, 60), (two_tasks_of_all, 200, 80)]
)  # fmt: skip
def test_a_job_of_two_tasks_costs_no_more_than_so_many_statements_and_transactions(
    costs: Costs, job: Callable[[], dict[str, Any]], statements: int, transactions: int
) -> None:
    costs.world.wait_closed(costs.submit(job()))
    costs.world.down()
    assert costs.statements.total() <= statements, costs.told()
    assert costs.transactions <= transactions, costs.told()


def test_the_document_of_a_job_is_read_once_at_each_party(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    read: Counter[str] = Counter()

    def counting(kind: Any) -> classmethod[Any, Any, Any]:
        validate = kind.model_validate_json

        def counted(_cls: Any, *args: Any, **kwargs: Any) -> Any:
            read[kind.__name__] += 1
            return validate(*args, **kwargs)

        return classmethod(counted)

    for kind in (JobSpec, Manifest):
        monkeypatch.setattr(kind, "model_validate_json", counting(kind))
    world.wait_closed(world.submit(train_job()))
    assert read == {"JobSpec": 3, "Manifest": 3}
