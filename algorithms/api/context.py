"""What a role function is given: its address, its peers, a channel, its inputs, and where its results go.

One concrete class over small ports, so that the same algorithm runs in one process and across parties.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from algorithms.api.channel import Channel, Step
from algorithms.api.compute import Compute, InProcess
from algorithms.api.errors import MissingInput
from party.ids import Address, Role
from storage.client import Model, Table, TableRoles, Value, decode, encode

Rows = Mapping[str, Mapping[Address, int]]
"""By input and address, how many rows the table bound there has at most."""


class Inputs(Protocol):
    """Opens the inputs that the job names for this address."""

    def table(self, name: str) -> Table | None:
        """The table bound to the input, or None if the job leaves it out."""

    def model(self, name: str) -> Model | None:
        """The model part bound to the input, or None if the job leaves it out."""


class Outputs(Protocol):
    """Stages results under the attempt; they become visible when the task succeeds everywhere."""

    def save_table(self, name: str, rows: pa.Table, roles: TableRoles) -> object:
        """Stage a table. Raises as `TableRoles.check` does."""

    def save_model(self, name: str, model: Model) -> None:
        """Stage this party's part of a model."""

    def save_report(self, name: str, kind: str, schema: int, body: Mapping[str, object]) -> None:
        """Stage a JSON report of a versioned kind."""


class Events(Protocol):
    """Appends to the attempt's event log."""

    def metric(self, name: str, step: int, value: float) -> None:
        """One number of one round."""

    def progress(self, done: int, total: int, what: str) -> None:
        """How far the role function is."""

    def log(self, level: str, text: str) -> None:
        """One line for people; never a parameter or a data row."""


class Memory(Protocol):
    """What survives a restart of the executor: checkpoints and the sealed journal."""

    def checkpoint(self, step: int, parts: Mapping[str, Value]) -> None:
        """Store the state after `step`, then release the messages it covers."""

    def latest(self) -> tuple[int, dict[str, Value]] | None:
        """The newest checkpoint of this attempt (or the one this attempt goes on from), or None."""

    def once(self, name: str, make: Callable[[], bytes]) -> bytes:
        """The bytes `make` returned the first time, journaled and sealed before they are returned."""


@dataclass(frozen=True)
class Context:
    """Everything a role function may touch.

    Attributes:
        address: Who I am in this task.
        addresses: Everybody in this task, sorted.
        channel: The way to the others.
        seed: The manifest's common seed for this task, 32 bytes.
        cores: How many threads I may use.
        compute: Where heavy work over batches is done, on all of them.
        rows: How many rows tables have, of inputs whose ports tell it.
    """

    address: Address
    addresses: tuple[Address, ...]
    channel: Channel
    inputs: Inputs
    outputs: Outputs
    events: Events
    memory: Memory
    seed: bytes
    cores: int = 1
    compute: Compute = field(default_factory=InProcess)
    rows: Rows = field(default_factory=dict)

    def required_table(self, name: str) -> Table:
        """The table bound to an input that needs one. Raises MissingInput if there is none or it has no rows."""
        table = self.inputs.table(name)
        if table is None:
            raise self._missing("table", name)
        if table.rows == 0:
            raise MissingInput(f"Table {table.title} has no rows.", hint="Upload one that has.")
        return table

    def required_model(self, name: str) -> Model:
        """The model bound to an input that needs one. Raises MissingInput if there is none."""
        model = self.inputs.model(name)
        if model is None:
            raise self._missing("model", name)
        return model

    def peers(self, *roles: Role) -> tuple[Address, ...]:
        """The addresses that hold one of the roles (all of them if none is named), sorted, me included."""
        return tuple(a for a in self.addresses if not roles or a.role in roles)

    def common_rng(self, purpose: str, step: int | Step = ()) -> np.random.Generator:
        """Randomness that every address draws alike: from the common seed, a purpose and a step."""
        steps = (step,) if isinstance(step, int) else step
        text = f"{purpose}/{'.'.join(map(str, steps))}".encode()
        return np.random.Generator(np.random.PCG64(int.from_bytes(sha256(self.seed + text).digest(), "big")))

    def own_rng(self, purpose: str, step: int | Step = ()) -> np.random.Generator:
        """Randomness of this address alone: from a secret seed drawn once per task and journaled."""
        own = self.memory.once("own-seed", lambda: secrets.token_bytes(32))
        steps = (step,) if isinstance(step, int) else step
        text = f"{purpose}/{'.'.join(map(str, steps))}".encode()
        return np.random.Generator(np.random.PCG64(int.from_bytes(sha256(own + text).digest(), "big")))

    def mini_batches(self, rows: int, batch_size: int, epochs: int, step: int | Step) -> list[NDArray[np.int64]]:
        """Positions of this address's rows for one step of training after the other, each row once in an epoch.

        The batches of an epoch are as few as can be and differ by at most one row: a left-over batch of a row or two
        would move the model as far as a full one does. Rows are taken as they lie if one batch holds them all. The
        order is from the common seed, so that the same job gives the same model; positions tell nothing of rows.
        """
        if batch_size >= rows:
            return [np.arange(rows)] * epochs
        rng = self.common_rng(f"orders/{self.address}", step)
        batches = math.ceil(rows / batch_size)
        return [batch for _ in range(epochs) for batch in np.array_split(rng.permutation(rows), batches)]

    def once(self, name: str, make: Callable[[], Value]) -> Value:
        """The value `make` returned the first time: journaled, so that a restarted executor goes on with the same."""
        return decode(self.memory.once(name, lambda: bytes(encode(make()))))

    def report(self, step: int, **metrics: float) -> None:
        """Record the metrics of one round."""
        for name, value in metrics.items():
            self.events.metric(name, step, float(value))

    @contextmanager
    def progress(self, total: int, what: str, done: int = 0) -> Iterator[Callable[[int], None]]:
        """A callback that shows how far the work is; `done` is how far it was when it went on from a checkpoint."""
        self.events.progress(done, total, what)
        yield lambda done: self.events.progress(done, total, what)

    def _missing(self, kind: str, name: str) -> MissingInput:
        return MissingInput(f"{self.address} has no {kind} for the input '{name}'.", hint="Name one under `inputs`.")
