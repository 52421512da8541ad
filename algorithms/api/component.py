"""What a component is: parameters, typed inputs and outputs, a conversation and one function for each role.

A component is data. Flow reads it to validate a job, the gateway is given its conversation to enforce, the executor
calls its role function. Importing a component's module needs neither torch nor a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Generic, TypeVar

from algorithms.api.context import Context, Rows
from algorithms.api.conversation import Line, Protection
from algorithms.api.errors import RolesRefused
from algorithms.api.parameters import Parameters
from algorithms.api.ports import Port
from algorithms.code_digest import digest_of
from party.ids import Address, Role

SAFE_TRAINERS = 3  # of two, each can subtract its own part from a sum
P = TypeVar("P", bound=Parameters, covariant=True)


@dataclass(frozen=True)
class Terms(Generic[P]):
    """On what a task's conversation and rules depend: the same wherever its job is known.

    Attributes:
        parameters: Those of the side that asks; what is not shared may differ between sides.
        parties: The parties of each role.
        models: The kind of the model bound to an input; empty if it is not known yet, because the model is of an
            earlier job and who holds it has not answered. An input to which none is bound is missing.
        rows: Of inputs whose ports tell them; None if they are not known yet, because not everybody has answered.
    """

    parameters: P
    parties: Mapping[Role, Sequence[str]] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    rows: Rows | None = None


@dataclass(frozen=True)
class RoleSpec:
    """One role of a component.

    Attributes:
        run: Its function; it gets the context and the checked parameters.
        least, most: How many addresses of the role a task has.
        trains: Whether what is computed from its rows is added to that of others. Such a party takes part once.
        learns: What it learns of other parties' rows, a sentence for people.
    """

    run: Callable[[Context, Any], None]
    least: int = 0
    most: int | None = None
    trains: bool = False
    learns: str | Callable[[Terms[Any]], str] = ""

    def learned(self, terms: Terms[Any]) -> str:
        """The sentence for a task; empty if the component does not say."""
        return self.learns if isinstance(self.learns, str) else self.learns(terms)


def silent(_terms: Terms[Any]) -> tuple[Line, ...]:
    """The conversation of a component whose parties say nothing to each other."""
    return ()


@dataclass(frozen=True)
class Component:
    """One registered algorithm.

    Attributes:
        name, version: `homo_lr`, `1`; a job names it `homo_lr@1`.
        parameters: The pydantic model of its parameters.
        inputs, outputs: Ports by name.
        roles: What each role does, and how many parties hold it.
        conversation: From the terms of a task to the lines of its conversation; while a model that it depends on is not
            known yet, to all that may be said.
        check: Rules of a task that all this cannot express. Raises InvalidInput.
        safe_trainers: With fewer parties that train, a sum gives single ones away; 0: it never does.
        needs_torch: Whether its role functions import torch.
        last_step: From parameters to the last step that leaves a checkpoint; None: it leaves none.
    """

    name: str
    version: int
    parameters: type[Parameters]
    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]
    roles: Mapping[Role, RoleSpec]
    conversation: Callable[[Terms[Any]], Sequence[Line]] = silent
    check: Callable[[Terms[Any]], None] | None = None
    safe_trainers: int = 0
    needs_torch: bool = False
    last_step: Callable[[Any], int] | None = None

    @property
    def reference(self) -> str:
        """The name a job uses: `homo_lr@1`."""
        return f"{self.name}@{self.version}"

    @cached_property
    def code_digest(self) -> str:
        """SHA-256 of the mathematics the component is made of; parties compare it before they agree to a job.

        The modules of its parameters and functions, and every module reached from them by imports that lies in their
        own packages or in this room; not the API, which has a version (`algorithms.code_digest`).
        """
        parts = [self.parameters, self.conversation, self.check, *(spec.run for spec in self.roles.values())]
        return digest_of({part.__module__ for part in parts if part})

    def require(self, terms: Terms[Any]) -> None:
        """Raises RolesRefused, or what `check` raises, if the terms of a task do not suit the component."""
        if not any(terms.parties.values()):
            raise RolesRefused("Nobody takes part in the task.", hint="Name parties under its `roles`, or the job's.")
        for role, parties in terms.parties.items():
            if parties and role not in self.roles:
                raise RolesRefused(f"{self.reference} has no role '{role}'.", hint=f"It has {', '.join(self.roles)}.")
        for role, spec in self.roles.items():
            self._require_count(role, spec, len(terms.parties.get(role, ())))
        trainers = sorted(party for role in self.training_roles for party in terms.parties.get(role, ()))
        if self.training_roles and not trainers:
            raise RolesRefused(
                "The task has no trainer.", hint="Give it at least one guest or host; two or more to federate."
            )
        if twice := [party for party, next_one in pairwise(trainers) if party == next_one]:
            raise RolesRefused(
                f"'{twice[0]}' is guest and host: a party trains once.", hint="Name it under one of the two roles."
            )
        if self.check is not None:
            self.check(terms)

    @property
    def training_roles(self) -> frozenset[Role]:
        """The roles that train."""
        return frozenset(role for role, spec in self.roles.items() if spec.trains)

    def _require_count(self, role: Role, spec: RoleSpec, count: int) -> None:
        if count < spec.least:
            raise RolesRefused(
                f"{self.reference} needs at least {spec.least} {role}, the task has {count}.",
                hint="Add a party to the job's `roles`, or leave out the task's own `roles`.",
            )
        if spec.most is not None and count > spec.most:
            raise RolesRefused(
                f"{self.reference} takes at most {spec.most} {role}, the task has {count}.",
                hint="Give the task its own `roles`, or name fewer parties in the job's.",
            )


def by_role(addresses: Iterable[Address]) -> dict[Role, list[str]]:
    """The parties of each role, in address order."""
    found: dict[Role, list[str]] = {}
    for address in sorted(addresses):
        found.setdefault(address.role, []).append(address.party)
    return found


def weakest_protection(component: Component, terms: Terms[Any]) -> Protection | None:
    """The weakest protection of a message that holds numbers computed from rows; None if there is no such message."""
    found = [
        line.protection
        for line in component.conversation(terms)
        if line.of_rows and line.protection is not Protection.PLAIN_SCALAR
    ]
    return min(found, key=lambda protection: protection.strength) if found else None
