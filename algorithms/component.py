"""What a component is: parameters, typed inputs and outputs, a conversation and one function for each role.

A component is data. Flow reads it to validate a job, the gateway is given its conversation to enforce, the executor
calls its role function. Importing a component's module needs neither torch nor a GPU.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from algorithms.errors import RolesRefused
from party.ids import Role

if TYPE_CHECKING:
    from algorithms.context import Context


TRAINERS = frozenset({Role.GUEST, Role.HOST})
ARBITER = frozenset({Role.ARBITER})


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


@dataclass(frozen=True)
class Line:
    """One line of a conversation: who sends which tag to whom, and what it may hold.

    Attributes:
        tag: The tag of the message.
        frm, to: The roles on either side.
        step: What numbers the messages, for people: `"(round,)"`.
        kind: The kind of value (`storage.values.Kind`).
        max_bytes: The largest encoded value allowed.
        protection: What protects it; the gateway refuses anything weaker.
        says: One sentence for the security officer.
        of_rows: Whether it may hold numbers computed from rows; not so keys, counts and settings.
    """

    tag: str
    frm: frozenset[Role]
    to: frozenset[Role]
    step: str
    kind: str
    max_bytes: int
    protection: Protection
    says: str
    of_rows: bool = True


@dataclass(frozen=True)
class Port:
    """An input or output.

    Attributes:
        kind: What it takes or makes.
        roles: Which roles have it.
        optional: Whether it may be left out (inputs only).
        use: What is done with it (inputs that are models only).
    """

    kind: PortKind
    roles: frozenset[Role]
    optional: bool = False
    use: ModelUse = ModelUse.START


class Parameters(BaseModel):
    """The base of every component's parameters: unknown keys are errors, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def alike(self) -> dict[str, object]:
        """What all addresses of a task must have alike, by the name of the field; the rest may differ."""
        return {}


@dataclass(frozen=True)
class Component:
    """One registered algorithm.

    Attributes:
        name, version: `homo_lr`, `1`; a job names it `homo_lr@1`.
        parameters: The pydantic model of its parameters.
        inputs, outputs: Ports by name.
        conversation: From parameters to the lines of the conversation.
        roles: The function of each role; it gets the context and the checked parameters.
        minimum: The least number of addresses of each role.
        check: Whole-job rules that parameters alone cannot express; raises InvalidInput. It gets the parameters and
            the roles as {role: [party, ...]}.
        needs_torch: Whether its role functions import torch.
        last_step: From parameters to the last step that leaves a checkpoint; None: it leaves none.
        learns: From parameters to what each role learns of other parties, as sentences for people.
    """

    name: str
    version: int
    parameters: type[Parameters]
    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]
    conversation: Callable[[Any], Sequence[Line]]
    roles: Mapping[Role, Callable[[Context, Any], None]]
    minimum: Mapping[Role, int]
    check: Callable[[Any, Mapping[Role, Sequence[str]]], None] | None = None
    needs_torch: bool = False
    last_step: Callable[[Any], int] | None = None
    learns: Callable[[Any], Mapping[Role, str]] | None = None

    @property
    def reference(self) -> str:
        """The name a job uses: `homo_lr@1`."""
        return f"{self.name}@{self.version}"

    @cached_property
    def code_digest(self) -> str:
        """SHA-256 of the sources the component is made of; parties compare it before they agree to a job.

        The modules of its parameters and functions, and every module reached from them by imports that lies in their
        own packages or in this room.
        """
        parts = [self.parameters, self.conversation, self.check, *self.roles.values()]
        digest = sha256()
        for name, path in sorted(_sources({part.__module__ for part in parts if part}).items()):
            digest.update(f"{name}\0".encode() + path.read_bytes() + b"\0")
        return digest.hexdigest()

    def require_roles(self, parameters: Parameters, roles: Mapping[Role, Sequence[str]]) -> None:
        """Raises RolesRefused if the roles of a task ({role: [party, ...]}) do not suit the component."""
        for role, parties in roles.items():
            if parties and role not in self.roles:
                raise RolesRefused(f"{self.reference} has no role '{role}'.", hint=f"It has {', '.join(self.roles)}.")
        for role, least in self.minimum.items():
            if len(roles.get(role, ())) < least:
                raise RolesRefused(
                    f"{self.reference} needs at least {least} {role}, the task has {len(roles.get(role, ()))}.",
                    hint="Add a party to the job's `roles`, or leave out the task's own `roles`.",
                )
        if self.check is not None:
            self.check(parameters, roles)


def weakest_protection(component: Component, parameters: Parameters) -> Protection | None:
    """The weakest protection of a message that holds numbers computed from rows; None if there is no such message."""
    found = [line.protection for line in _of_rows(component, parameters)]
    return min(found, key=lambda protection: protection.strength) if found else None


def aggregates(component: Component, parameters: Parameters) -> bool:
    """Whether numbers computed from the rows of several parties are put together by one of them."""
    return any(Role.ARBITER in line.to for line in _of_rows(component, parameters))


def _of_rows(component: Component, parameters: Parameters) -> Iterator[Line]:
    for line in component.conversation(parameters):
        if line.of_rows and line.protection is not Protection.PLAIN_SCALAR:
            yield line


def _sources(modules: Iterable[str]) -> dict[str, Path]:
    """The files of modules and of what they import, directly or not, from their own packages or this one, by name."""
    pending = list(modules)
    packages = {name.split(".")[0] for name in (*pending, __name__)}
    found: dict[str, Path] = {}
    while pending:
        name = pending.pop()
        spec = _spec(name) if name not in found and name.split(".")[0] in packages else None
        if spec is None:
            continue
        pending.append(name.rpartition(".")[0])  # importing a module runs its package too
        if spec.origin is not None:
            found[name] = Path(spec.origin)
            pending.extend(_imports(spec) if found[name].suffix == ".py" else ())
    return found


def _imports(spec: ModuleSpec) -> Iterator[str]:
    """The modules that a module's import statements may name, also those inside functions."""
    for node in ast.walk(ast.parse(Path(spec.origin or "").read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), spec.parent)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _spec(name: str) -> ModuleSpec | None:
    """Where a module lies, found without importing anything; None for what is no module."""
    package = name.rpartition(".")[0]
    if not package:
        return find_spec(name)
    parent = _spec(package)
    if parent is None or parent.submodule_search_locations is None:
        return None
    return PathFinder.find_spec(name, parent.submodule_search_locations)
