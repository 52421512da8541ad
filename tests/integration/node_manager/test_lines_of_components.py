"""Every installed component, carried out as an executor does it, leaves lines for people from its begin to its end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from algorithms.api.component import Component
from algorithms.compute.workers import Workers
from algorithms.registry import components
from gateway.client import LocalExchange
from node_manager.assignment import Assignment
from node_manager.client import EventKind, Input, Order, Resources, parse_event
from node_manager.executor import context_adapters, main
from node_manager.executor.event_log import EventLog
from node_manager.folders import EVENTS, ExecutorKey
from party.ids import Address, AttemptId, JobId, TaskName
from storage.client import OutputKind, Store
from tests.contract.algorithms.test_check_algorithm import CASES, Case, linear
from tests.fakes.nodes import JOB
from tests.fixtures.algorithms import ARBITER, GUEST, HOST, make_table

EARLIER = JOB.replace("01J", "01H")
ROWS = {GUEST: slice(0, 200), HOST: slice(200, 300)}


class Executors:
    """Carries out the orders of one task, a thread each; their messages go through this process."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._exchange = LocalExchange()
        monkeypatch.setattr(context_adapters, "ExecutorWire", self._wire)
        monkeypatch.setattr(main, "set_threads", lambda _cores: None)
        monkeypatch.setattr(main, "compute_alike", lambda *, gpus: None)

    def _wire(self, _gateway: str, token: str) -> object:
        wire = self._exchange.wire(Address.parse(token))
        wire.close = lambda: None  # type: ignore[attr-defined]
        return wire

    def lines(self, orders: list[Order]) -> list[list[str]]:
        """What each executor has said."""
        with ThreadPoolExecutor(len(orders)) as threads:
            return list(threads.map(self._carry_out, orders))

    def _carry_out(self, order: Order) -> list[str]:
        folder = self._folder / order.token.replace(":", "-")
        folder.mkdir()
        assignment = Assignment(
            schema=1, number=1, folder=folder, token=order.token, task_key="6b" * 32, doorbell="", received_at=0.0
        )
        events = EventLog(folder, ExecutorKey.of(order), "")
        try:
            main._work(order, assignment, Workers(), events, SimpleNamespace(finish=lambda: None))
        except BaseException as error:
            self._exchange.close(error)
            raise
        finally:
            events.close()
        told = [parse_event(line) for line in (folder / EVENTS).read_bytes().splitlines()]
        return [str(event.body["text"]) for event in told if event.kind is EventKind.LOG]


def inputs_of(case: Case, address: Address, store: Store, folder: Path) -> tuple[dict[str, Input], list[str]]:
    """What the case brings to a trainer, stored at its party, and the lines that tell of it."""
    if not case.table:
        return {}, []
    data, rows = case.data(), ROWS[address]
    table = make_table(folder, "rows", data.x[rows], data.y[rows])
    inputs = {case.table: Input(kind="table", reference=table.manifest.reference)}
    size = f"{table.rows} rows, {len(table.manifest.columns)} columns"
    lines = [f"input {case.table}: {table.manifest.reference}, {size}"]
    if case.model:
        staged = store.staging.outputs(AttemptId(JobId(EARLIER), TaskName("train"), 1), address)
        staged.save_model("model", linear())
        store.staging.publish(EARLIER, "train", 1, {str(address): {"model": OutputKind.MODEL}})
        inputs["model"] = Input(kind="model", reference=f"{EARLIER}/train.model")
        lines.append(f"input model: {EARLIER}/train.model, of kind linear")
    return inputs, lines


@pytest.mark.parametrize("made", components(), ids=lambda made: made.name)
def test_a_component_tells_when_it_begins_what_it_reads_what_it_makes_and_when_it_ended(
    made: Component, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = next(case for case in CASES if case.name == made.name)
    addresses = sorted([GUEST, HOST, ARBITER] if case.arbiter else [GUEST, HOST])
    stores = {address: tmp_path / address.party for address in addresses}
    orders, reads = [], {}
    for address in addresses:
        folder = stores[address]
        inputs, reads[address] = inputs_of(case, address, Store(folder), folder) if address in ROWS else ({}, [])
        orders.append(
            Order(
                schema=1, job=JOB, task="task", attempt=1, incarnation=1, address=str(address),
                addresses=tuple(map(str, addresses)), component=made.reference, code_digest=made.code_digest,
                parameters=dict(made.parameters.written_out(case.parameters)), inputs=inputs, outputs=(),
                resources=Resources(), seed="ab" * 32, gateway="", token=str(address), store=str(folder),
            )
        )  # fmt: skip
    said = dict(zip(addresses, Executors(tmp_path, monkeypatch).lines(orders), strict=True))
    for address, lines in said.items():
        assert lines[0] == f"{made.reference} begins as {address}, attempt 1"
        assert lines[-1].startswith(f"{made.reference} ended after ")
        assert sorted(line for line in lines if line.startswith("input ")) == sorted(reads[address])
        kinds = {name: port.kind for name, port in made.outputs.items()}
        declared = {str(address): {name: OutputKind(kind) for name, kind in kinds.items()}}
        published = Store(stores[address]).staging.publish(JOB, "task", 1, declared)
        assert {line for line in lines if line.startswith("output ")} == {
            f"output {each.output}: {each.kind} {each.reference}" for each in published
        }
