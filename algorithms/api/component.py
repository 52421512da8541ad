"""What a component is: parameters, typed inputs and outputs, a conversation and one function for each role.

A component is data. Flow reads it to validate a job, the gateway is given its conversation to enforce, the executor
calls its role function. Importing a component's module needs neither torch nor a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, model_validator

from algorithms.api.context import Context, Rows
from algorithms.api.errors import RolesRefused
from algorithms.code_digest import digest_of
from party.ids import Address, Role
from storage.client import TableRoles

TRAINERS = frozenset({Role.GUEST, Role.HOST})
ARBITER = frozenset({Role.ARBITER})
ONCE = ("0",)  # the step of a tag that is sent once
SAFE_TRAINERS = 3  # of two, each can subtract its own part from a sum
MOST_BYTES = 1 << 33  # of one message, however many rows anybody says that it has


class Protection(StrEnum):
    """How a message is protected beyond TLS and the sender's signature."""

    PLAIN_SCALAR = "plain-scalar"
    PLAIN = "plain"
    ENCRYPTED = "encrypted"
    MASKED = "masked"
    AGGREGATE_SEALED = "aggregate-sealed"

    @property
    def strength(self) -> int:
        """To compare two of them: the more is hidden from whoever passes a message on or adds it up, the higher."""
        return (Protection.PLAIN, Protection.MASKED, Protection.ENCRYPTED, Protection.AGGREGATE_SEALED).index(
            Protection.PLAIN if self is Protection.PLAIN_SCALAR else self
        )


class ModelUse(StrEnum):
    """What a component does with a model it is given."""

    START = "start"  # what leaves afterwards depends on it
    APPLY = "apply"  # only the own results depend on it


class PortKind(StrEnum):
    """What an input accepts or an output makes."""

    TABLE = "table"
    MODEL = "model"
    METRICS = "metrics"
    REPORT = "report"


class Need(StrEnum):
    """Whether a table has a column of some role."""

    MUST = "must"
    MAY = "may"
    NO = "no"  # it would do nothing


@dataclass(frozen=True)
class Columns:
    """What a table must and may have beside its features."""

    id: Need = Need.MAY
    label: Need = Need.MAY
    weight: Need = Need.NO
    match_id: Need = Need.MAY
    alignment: Need = Need.MAY

    def unfit(self, roles: TableRoles) -> Iterator[str]:
        """What is wrong with a table whose columns play these roles, after "it has": `no label column`."""
        played = {*roles.columns, *(("alignment",) if roles.alignment else ())}
        for role in (each.name for each in fields(self)):
            word = role.replace("_", " ") + ("" if role == "alignment" else " column")
            if getattr(self, role) is Need.MUST and role not in played:
                yield f"no {word}, which is needed"
            if getattr(self, role) is Need.NO and role in played:
                yield f"a {word}, which would do nothing"


class End(StrEnum):
    """An end of a line."""

    SENDER = "sender"
    RECEIVER = "receiver"


LABELLED = dict.fromkeys(TRAINERS, Columns(label=Need.MUST))


@dataclass(frozen=True)
class Line:
    """One line of a conversation: who sends which tag to whom, and what it may hold.

    Attributes:
        tag: The tag of the message.
        frm, to: The roles on either side.
        step: What numbers the messages, of any depth: `("round",)`, `("tree", "depth", "node")`.
        kind: The kind of value (`storage.values.Kind`).
        max_bytes: The largest encoded value allowed, or a function that tells it once all parties have said how many
            rows the tables have whose ports tell it.
        protection: What protects it; the gateway refuses anything weaker.
        purpose: One sentence for the security officer.
        of_rows: Whether it may hold numbers computed from rows; not so keys, counts and settings.
        key_of: Under whose key its ciphertexts are: somebody's of a role, or that of an end. The gateway lets no other
            pass, nor two keys of one owner in an attempt. None: it does not matter.
    """

    tag: str
    frm: frozenset[Role]
    to: frozenset[Role]
    step: tuple[str, ...]
    kind: str
    max_bytes: int | Callable[[Rows], int]
    protection: Protection
    purpose: str
    of_rows: bool = True
    key_of: Role | End | None = None

    def __post_init__(self) -> None:
        if self.key_of is not None and self.protection is not Protection.ENCRYPTED:
            raise ValueError(f"Line '{self.tag}' holds no ciphertexts that could be under a key.")

    @property
    def key_roles(self) -> frozenset[Role]:
        """The roles under whose keys its ciphertexts may be; empty if that does not matter."""
        ends = {End.SENDER: self.frm, End.RECEIVER: self.to}
        if isinstance(self.key_of, End):
            return ends[self.key_of]
        return frozenset() if self.key_of is None else frozenset({self.key_of})

    @property
    def is_bounded(self) -> bool:
        """Whether its size is known, however many rows tables have."""
        return isinstance(self.max_bytes, int)

    def most_bytes(self, rows: Rows) -> int:
        """The largest encoded value allowed with tables of so many rows."""
        return self.max_bytes if isinstance(self.max_bytes, int) else min(self.max_bytes(rows), MOST_BYTES)


@dataclass(frozen=True)
class Port:
    """An input or output.

    Attributes:
        kind: What it takes or makes.
        roles: Which roles have it.
        optional: Whether it may be left out (inputs only).
        use: What is done with it (inputs that are models only).
        columns: By role, what its table must and may have (inputs that are tables only).
        models: The kinds of model it takes, or the one that it makes; of an input, none: any.
        tells_rows: Whether all parties of the job are told how many rows its table has (inputs that are tables only).
        rows_of: The input whose table has at least as many rows at the same party (outputs that are tables only);
            empty: that is not known.
    """

    kind: PortKind
    roles: frozenset[Role]
    optional: bool = False
    use: ModelUse = ModelUse.START
    columns: Mapping[Role, Columns] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    tells_rows: bool = False
    rows_of: str = ""


class Group(BaseModel):
    """The parameters of one concept: `"server": {"optimizer": "adam"}`. An option that would do nothing is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def idle(self) -> Mapping[str, str]:
        """The options that do nothing beside the others, and beside which."""
        return {}

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        self.require_unset(self.idle())
        return self

    def require_unset(self, idle: Mapping[str, str]) -> None:
        """Raises ValueError if one of these options is not as it is by default."""
        for name, beside in idle.items():
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"`{name}` does nothing with {beside}: leave it out")


class Parameters(BaseModel):
    """The base of every component's parameters: unknown keys are errors, values are immutable.

    Attributes:
        SHARED: The fields that all addresses of a task must have alike; the rest may differ.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    SHARED: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def written_out(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """What a job says, with what follows from it alone; done before it is checked."""
        return dict(values)

    def shared(self) -> dict[str, object]:
        """What all addresses of a task must have alike, by the name of the field, as JSON types."""
        return self.model_dump(mode="json", include=set(self.SHARED))


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
