"""What a side of a task is given where it runs here: inputs from its party's store, and somewhere for its telemetry."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flow.views.jobs import LogRow, MetricRow, ProgressRow
from party.ids import Address
from runtime.clock import Clock, now_ms
from storage.client import Model, ModelNotFound, Store, Table

ATTEMPT = 1  # nothing is tried again: nothing can be lost
_IDS = itertools.count(1)

TelemetryRow = MetricRow | LogRow | ProgressRow


@dataclass(frozen=True)
class StoredInputs:
    """Opens the tables and models of one address in a task by their references."""

    job: str
    task: str
    store: Store
    address: Address
    tables: Mapping[str, str]
    models: Mapping[str, str]

    def table(self, name: str) -> Table | None:
        """The table bound to the input, or None if the job leaves it out."""
        if name not in self.tables:
            return None
        return self.store.tables.open(self.tables[name]).as_input(self.job, self.task, name)

    def model(self, name: str) -> Model | None:
        """This role's part of the model if there is one, else the party's; None if the job leaves it out."""
        if name not in self.models:
            return None
        try:
            return self.store.models.load(self.models[name], self.address.role)
        except ModelNotFound:
            return self.store.models.load(self.models[name])


class Telemetry:
    """What one address of a task tells, as the records that Flow shows. Safe to use from several threads."""

    def __init__(self, task: str, address: Address, tell: Callable[[TelemetryRow], None], clock: Clock) -> None:
        self._place = {"task": task, "attempt": ATTEMPT, "party": address.party, "role": address.role}
        self._tell = tell
        self._clock = clock
        self._lines = itertools.count(1)

    def metric(self, name: str, step: int, value: float) -> None:
        """One number of one round."""
        self._tell(MetricRow(id=next(_IDS), name=name, step=step, value=value, **self._place_and_time()))

    def progress(self, done: int, total: int, what: str) -> None:
        """How far the role function is."""
        self._tell(ProgressRow(done=done, total=total, what=what, **self._place_and_time()))

    def log(self, level: str, text: str) -> None:
        """One line for people."""
        line = {"id": next(_IDS), "incarnation": 1, "sequence": next(self._lines), "level": level, "text": text}
        self._tell(LogRow(**line, **self._place_and_time()))

    def _place_and_time(self) -> dict[str, Any]:
        return {**self._place, "at_ms": now_ms(self._clock)}
