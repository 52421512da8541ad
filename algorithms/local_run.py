"""Runs all roles of one component in this process, a thread each: for tests, notebooks and `flow job run --local`.

The exchange comes from the caller (`gateway.client.LocalExchange` has the semantics of the real one). `run_sides`
leaves it to the caller where inputs come from and where results go; `run_local` takes and gives objects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Protocol

import pyarrow as pa

from algorithms.api.channel import Channel, Wire
from algorithms.api.component import Component, Terms, by_role
from algorithms.api.context import Context, Events, Inputs, Memory, Outputs, Rows
from algorithms.api.parameters import Parameters
from algorithms.compute.workers import Workers
from party.ids import Address
from runtime.clock import Clock
from storage.client import KEPT_CHECKPOINTS, Model, Table, TableRoles, Value, check_roles, decode, encode

Input = Table | Model


class LocalWire(Wire, Protocol):
    """One address's side of an exchange."""

    def checkpointed(self) -> None:
        """A checkpoint was stored: let go of the messages that the oldest kept one covers."""


class Exchange(Protocol):
    """Carries the messages of one run; `clock` is what its waits are measured by."""

    @property
    def clock(self) -> Clock:
        """The clock of all sides."""

    def wire(self, address: Address) -> LocalWire:
        """The side of one address."""

    def close(self, error: BaseException | None = None) -> None:
        """Wake everybody who waits, with an error."""


@dataclass(frozen=True)
class Report:
    """A JSON report of a versioned kind."""

    kind: str
    schema: int
    body: Mapping[str, object]


@dataclass(frozen=True)
class Metric:
    """One number that one address reported."""

    address: Address
    name: str
    step: int
    value: float


@dataclass(frozen=True)
class LocalResult:
    """What a run made: by address, output name to table, model or report; metrics in the order of each address."""

    outputs: Mapping[Address, Mapping[str, pa.Table | Model | Report]]
    metrics: Sequence[Metric]

    def model(self, address: Address, name: str = "model") -> Model:
        """A model that an address made."""
        found = self.outputs[address][name]
        if not isinstance(found, Model):
            raise TypeError(f"'{name}' of {address} is not a model.")
        return found

    def series(self, address: Address, name: str) -> list[float]:
        """The values of one metric of one address, by step."""
        found = {m.step: m.value for m in self.metrics if m.address == address and m.name == name}
        return [found[step] for step in sorted(found)]


class LocalMemory:
    """Checkpoints and journal in memory; handed to a second run, the second run goes on from it."""

    def __init__(self) -> None:
        self._checkpoints: dict[int, dict[str, bytes]] = {}
        self._journal: dict[str, bytes] = {}

    def checkpoint(self, step: int, parts: Mapping[str, Value]) -> None:
        """Keep the state after `step`."""
        self._checkpoints[step] = {name: bytes(encode(part)) for name, part in parts.items()}
        for old in sorted(self._checkpoints)[:-KEPT_CHECKPOINTS]:
            del self._checkpoints[old]

    def latest(self) -> tuple[int, dict[str, Value]] | None:
        """The newest state, or None."""
        if not self._checkpoints:
            return None
        step = max(self._checkpoints)
        return step, {name: decode(part) for name, part in self._checkpoints[step].items()}

    def steps(self) -> list[int]:
        """Steps whose state is kept, oldest first."""
        return sorted(self._checkpoints)

    def going_on(self, step: int) -> LocalMemory:
        """A memory whose run goes on after `step` of this one with new keys: what a job that resumes another gets."""
        fresh = LocalMemory()
        fresh._checkpoints[step] = self._checkpoints[step]
        return fresh

    def once(self, name: str, make: Callable[[], bytes]) -> bytes:
        """What `make` returned the first time."""
        if name not in self._journal:
            self._journal[name] = make()
        return self._journal[name]


@dataclass(frozen=True)
class _LocalInputs:
    bound: Mapping[str, Input]

    def table(self, name: str) -> Table | None:
        found = self.bound.get(name)
        return found if isinstance(found, Table) else None

    def model(self, name: str) -> Model | None:
        found = self.bound.get(name)
        return found if isinstance(found, Model) else None


@dataclass
class _LocalRun:
    """Outputs and events of one address."""

    address: Address
    outputs: dict[str, pa.Table | Model | Report] = field(default_factory=dict)
    metrics: list[Metric] = field(default_factory=list)

    def save_table(self, name: str, rows: pa.Table, roles: TableRoles) -> None:
        check_roles(roles, rows.schema)
        self.outputs[name] = rows

    def save_model(self, name: str, model: Model) -> None:
        self.outputs[name] = model

    def save_report(self, name: str, kind: str, schema: int, body: Mapping[str, object]) -> None:
        self.outputs[name] = Report(kind, schema, body)

    def metric(self, name: str, step: int, value: float) -> None:
        self.metrics.append(Metric(self.address, name, step, value))

    def progress(self, done: int, total: int, what: str) -> None:
        """Nobody is watching."""

    def log(self, level: str, text: str) -> None:
        """Nobody is reading."""


@dataclass(frozen=True)
class LocalSettings:
    """What a run may be given besides its data.

    Attributes:
        seed: The common seed.
        memories: Checkpoints and journals by address, to go on from or to look at; fresh ones where absent.
        cores: Threads for each role.
    """

    seed: bytes = bytes(32)
    memories: Mapping[Address, LocalMemory] = field(default_factory=dict)
    cores: int = 1


@dataclass(frozen=True)
class Side:
    """What one address runs with."""

    parameters: Parameters
    inputs: Inputs
    outputs: Outputs
    events: Events
    memory: Memory = field(default_factory=LocalMemory)
    cores: int = 1


@dataclass(frozen=True)
class Failure:
    """What ended a run: whose role function raised which error."""

    address: Address
    error: BaseException


def run_sides(
    component: Component,
    sides: Mapping[Address, Side],
    exchange: Exchange,
    seed: bytes = bytes(32),
    rows: Rows = MappingProxyType({}),
) -> Failure | None:
    """Run every side until all have returned; the first failure, upon which the others were woken and ended."""
    addresses = tuple(sorted(sides))
    failures: list[Failure] = []

    def ended(address: Address, future: Future[None]) -> None:
        if error := future.exception():
            failures.append(Failure(address, error))
            exchange.close(error)

    with ThreadPoolExecutor(max_workers=len(sides)) as threads:
        for address in addresses:
            side, wire = sides[address], exchange.wire(address)
            memory = _ReleasingMemory(side.memory, wire)
            ctx = Context(
                address=address,
                addresses=addresses,
                channel=Channel(wire, memory, exchange.clock),
                inputs=side.inputs,
                outputs=side.outputs,
                events=side.events,
                memory=memory,
                seed=seed,
                cores=side.cores,
                compute=Workers(side.cores),
                rows=rows,
            )
            running = threads.submit(component.roles[address.role].run, ctx, side.parameters)
            running.add_done_callback(partial(ended, address))
    return failures[0] if failures else None


def run_local(
    component: Component,
    parameters: Parameters | Mapping[str, object],
    parties: Mapping[Address, Mapping[str, Input]],
    exchange: Exchange,
    settings: LocalSettings = LocalSettings(),
) -> LocalResult:
    """Run the component with these addresses, each with its inputs by name, until every role has returned.

    Raises:
        RolesRefused: The roles do not suit the component.
        Exception: What the first failing role raised; the others are woken and ended.
    """
    if isinstance(parameters, Mapping):
        parameters = component.parameters.model_validate(component.parameters.written_out(parameters))
    bound = [(name, address, what) for address, inputs in parties.items() for name, what in inputs.items()]
    rows: dict[str, dict[Address, int]] = {}
    for name, address, what in bound:
        port = component.inputs.get(name)
        if isinstance(what, Table) and port and port.tells_rows:
            rows.setdefault(name, {})[address] = what.rows
    models = {name: what.kind for name, _, what in bound if isinstance(what, Model)}
    component.require(Terms(parameters, by_role(parties), models, rows))
    runs = {address: _LocalRun(address) for address in sorted(parties)}
    sides = {
        address: Side(
            parameters=parameters,
            inputs=_LocalInputs(parties[address]),
            outputs=run,
            events=run,
            memory=settings.memories.get(address) or LocalMemory(),
            cores=settings.cores,
        )
        for address, run in runs.items()
    }
    if failure := run_sides(component, sides, exchange, settings.seed, rows):
        raise failure.error
    return LocalResult({a: run.outputs for a, run in runs.items()}, [m for run in runs.values() for m in run.metrics])


@dataclass(frozen=True)
class _ReleasingMemory:
    """A memory whose checkpoints let go of the messages they cover, as between parties."""

    kept: Memory
    wire: LocalWire

    def checkpoint(self, step: int, parts: Mapping[str, Value]) -> None:
        self.kept.checkpoint(step, parts)
        self.wire.checkpointed()

    def latest(self) -> tuple[int, dict[str, Value]] | None:
        return self.kept.latest()

    def once(self, name: str, make: Callable[[], bytes]) -> bytes:
        return self.kept.once(name, make)
