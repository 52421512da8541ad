"""A job joined with its components: who takes part in each task, with which parameters, inputs, resources, outputs.

Pure. `bind` finds the problems of a job that need no look at other parties; a job without problems comes back as
one `BoundTask` a task. Values are resolved common, then by role, then by party: once for all addresses to which the
job says the same, so that a job costs what it says and not what it says times its parties.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from algorithms.api.component import Component, Terms, by_role
from algorithms.api.context import Rows
from algorithms.api.conversation import Line
from algorithms.api.parameters import Parameters
from algorithms.api.ports import Port, PortKind
from flow.errors import Problem
from flow.job.overrides import merged
from flow.job.problems import from_validation
from flow.job.references import BadReference, OutputInput, Reference, TableInput, needs_of, parse_reference
from flow.job.spec import COMMON, JobSpec, ResourceSpec, TaskSpec
from party.ids import Address, PartyId, Role
from runtime.errors import PlatformError
from runtime.suggestions import did_you_mean

Components = Callable[[str], Component]
M = TypeVar("M", bound=BaseModel)

T = TypeVar("T")

_TOLD, _TOLD_CHARS = 10, 200
MOST_PROBLEMS = 100  # of one job; who mends these sees the rest


@dataclass(frozen=True)
class BoundSide:
    """What an address brings to a task and gets from it; addresses to which the job says the same share one."""

    parameters: dict[str, Any]
    inputs: dict[str, Reference]
    resources: ResourceSpec
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class BoundTask:
    """One task with everything resolved; `models` and `rows` as in its terms, as far as they are known."""

    name: str
    component: Component
    sides: dict[Address, BoundSide]
    needs: frozenset[str]
    models: Mapping[str, str] = field(default_factory=dict)
    rows: Rows | None = None

    @cached_property
    def addresses(self) -> tuple[Address, ...]:
        """Everybody in the task, sorted."""
        return tuple(sorted(self.sides, key=_order))

    @cached_property
    def parties(self) -> dict[Role, list[str]]:
        """The parties of each role, in address order."""
        return by_role(self.sides)

    @cached_property
    def terms(self) -> tuple[Terms[Parameters], ...]:
        """What the sides run with, each set of values once."""
        each = {id(side): side for side in self.sides.values()}.values()
        found = {json.dumps(side.parameters, sort_keys=True): side for side in each}
        return tuple(self.terms_of(side) for side in found.values())

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """Every line that may be said in it, on whichever terms, each once."""
        return tuple(dict.fromkeys(line for terms in self.terms for line in self.component.conversation(terms)))

    def most_bytes(self, line: Line) -> int | None:
        """The largest message of a line; None while the rows that it follows from are not known."""
        return line.most_bytes(self.rows or {}) if line.is_bounded or self.rows is not None else None

    def with_models(self, kinds: Mapping[str, str]) -> BoundTask:
        """The task with the kinds of models, by input, that were not known before."""
        return replace(self, models={name: kind or kinds.get(name, "") for name, kind in self.models.items()})

    def terms_of(self, side: BoundSide) -> Terms[Parameters]:
        """What a side runs with."""
        parameters = self.component.parameters.model_validate(side.parameters)
        return Terms(parameters, self.parties, self.models, self.rows)


class BoundJob(NamedTuple):
    """A job with what it names resolved: its tasks, or the problems for which they are not to be used."""

    spec: JobSpec
    tasks: dict[str, BoundTask]
    problems: list[Problem]


def bind(spec: JobSpec, components: Components) -> tuple[dict[str, BoundTask], list[Problem]]:
    """Every task resolved, and the first problems found on the way. With problems, the tasks are not to be used."""
    binder = _Binder(spec)
    tasks: dict[str, BoundTask] = {}
    with suppress(_EnoughProblems):
        binder.find_components(components)
        for name, task in spec.tasks.items():
            if (bound := binder.task(name, task)) is not None:
                tasks[name] = bound
        binder.check_cycles()
    return tasks, list(binder.problems.values())


class _EnoughProblems(Exception):
    """There is no use in looking for more."""


class _Binder:
    def __init__(self, spec: JobSpec) -> None:
        self._spec = spec
        self._components: dict[str, Component] = {}
        self._places = frozenset({*Role, *spec.parties})
        self._needs = {name: needs_of(task.inputs) & spec.tasks.keys() for name, task in spec.tasks.items()}
        self.problems: dict[tuple[str, str], Problem] = {}

    def find_components(self, components: Components) -> None:
        """Look each component up, once."""
        known: dict[str, Component] = {}
        for name, task in self._spec.tasks.items():
            try:
                if task.component not in known:
                    known[task.component] = components(task.component)
                self._components[name] = known[task.component]
            except PlatformError as error:
                self._complain(f"tasks.{name}.component", error.message, error.hint)

    def task(self, name: str, task: TaskSpec) -> BoundTask | None:
        """One task resolved, or None if its component is not known."""
        component = self._components.get(name)
        if component is None:
            return None
        addresses = self._addresses(name, component)
        self._check_names(name, task, component)
        own = task.own_places
        given = _Said(task.parameters, self._places, component.parameters.model_fields)
        room = _Said(task.resources, self._places)
        kinds: dict[Address, BoundSide] = {}
        parameters: dict[Address, Parameters] = {}
        sides: dict[Address, BoundSide] = {}
        for address in addresses:
            kind = address if address.party in own else Address(PartyId(""), address.role)
            if kind not in kinds:
                found = self._checked(
                    component.parameters,
                    component.parameters.written_out(given.to(address)),
                    f"tasks.{name}.parameters",
                )
                parameters |= {address: found} if found else {}
                kinds[kind] = BoundSide(
                    parameters=found.model_dump(mode="json") if found else {},
                    inputs=self._inputs(name, task, component, address),
                    resources=self._checked(ResourceSpec, room.to(address), f"tasks.{name}.resources")
                    or ResourceSpec(),
                    outputs=tuple(o for o, port in component.outputs.items() if address.role in port.roles),
                )
            sides[address] = kinds[kind]
        models = self._models(task, component)
        self._check_whole(name, component, [Terms(own, by_role(addresses), models) for own in parameters.values()])
        self._check_shared(name, parameters)
        return BoundTask(name, component, sides, frozenset(self._needs[name]), models)

    def check_cycles(self) -> None:
        """Find tasks that wait for each other."""
        try:
            tuple(TopologicalSorter(self._needs).static_order())
        except CycleError as error:
            circle = error.args[1][::-1]
            self._complain(
                f"tasks.{circle[0]}.inputs",
                f"tasks need each other in a circle: {' → '.join(_some(circle))}.",
                "Break the circle: a task can only use outputs of tasks before it.",
            )

    def _complain(self, path: str, message: str, hint: str | Callable[[], str] = "") -> None:
        """Note a problem once; a hint that takes a search is made only then. Raises _EnoughProblems."""
        if (path, message) in self.problems:
            return
        told = hint if isinstance(hint, str) else hint()
        self.problems[path, message] = Problem(path=path, message=message, hint=told)
        if len(self.problems) >= MOST_PROBLEMS:
            raise _EnoughProblems

    # -- who ---------------------------------------------------------------------------------------------------------
    def _addresses(self, name: str, component: Component) -> list[Address]:
        roles = self._roles(name, component)
        for role in roles:
            if role not in component.roles:
                self._complain(
                    f"tasks.{name}.roles",
                    f"{component.reference} has no role '{role}'.",
                    f"It knows {', '.join(component.roles)}.",
                )
            elif role not in self._spec.roles:
                self._complain(f"tasks.{name}.roles", f"no party of this job is '{role}'.", "Add it under roles.")
        addresses = [Address(PartyId(p), role) for role in dict.fromkeys(roles) for p in self._spec.roles.get(role, ())]
        if not addresses:
            self._complain(f"tasks.{name}.roles", "nobody takes part in this task.")
        return [address for address in addresses if address.role in component.roles]

    def _roles(self, name: str, component: Component) -> tuple[Role, ...]:
        """The roles that a task runs as."""
        named = self._spec.tasks[name].roles
        return named if named is not None else tuple(role for role in self._spec.roles if role in component.roles)

    def _check_whole(self, name: str, component: Component, sides: Iterable[Terms[Parameters]]) -> None:
        """The component's rules for the whole task, with the parameters of each side as that side will run them."""
        for terms in sides:
            try:
                component.require(terms)
            except PlatformError as error:
                self._complain(f"tasks.{name}", error.message, error.hint)

    def _check_shared(self, name: str, parameters: Mapping[Address, Parameters]) -> None:
        """What the sides of a task must have alike, they have alike: else they would wait for each other in vain."""
        needed = {address: own.shared() for address, own in parameters.items()}  # one address for each set of values
        for key in next(iter(needed.values()), {}):
            values = {address: json.dumps(own[key]) for address, own in needed.items()}
            if len(set(values.values())) > 1:
                told = ", ".join(f"{value[:_TOLD_CHARS]} for {address}" for address, value in _some(values.items()))
                self._complain(
                    f"tasks.{name}.parameters.{key}",
                    f"`{key}` must be the same everywhere in a task; here it is {told}.",
                    "Set it once for all, not by role or party.",
                )

    # -- what --------------------------------------------------------------------------------------------------------
    def _checked(self, model: type[M], values: dict[str, Any], path: str) -> M | None:
        try:
            return model.model_validate_json(json.dumps(values), strict=True)
        except ValidationError as error:
            for problem in from_validation(error, model, path):
                self._complain(problem.path, problem.message, problem.hint)
            return None

    # -- inputs ------------------------------------------------------------------------------------------------------
    def _check_names(self, name: str, task: TaskSpec, component: Component) -> None:
        for given, value in task.inputs.items():
            path = f"tasks.{name}.inputs.{given}"
            if given not in component.inputs:
                self._complain(
                    path, f"{component.reference} has no input '{given}'.",
                    partial(did_you_mean, given, component.inputs),
                )  # fmt: skip
            for place in value if isinstance(value, dict) else ():
                if place != COMMON and place not in self._places:
                    self._complain(
                        f"{path}.{place}", f"'{place}' is no role and no party of this job.",
                        partial(did_you_mean, place, [COMMON, *self._places]),
                    )  # fmt: skip

    def _inputs(self, name: str, task: TaskSpec, component: Component, address: Address) -> dict[str, Reference]:
        found = {}
        for input_name, port in component.inputs.items():
            text = _for(task.inputs.get(input_name), address)
            path = f"tasks.{name}.inputs.{input_name}"
            if address.role not in port.roles:
                continue
            if text is None:
                if not port.optional:
                    self._complain(
                        path, f"'{address}' has no value for this {port.kind} input.",
                        "Name a table (namespace/name) or an output (task.output).",
                    )  # fmt: skip
                continue
            reference = self._reference(path, text, port, address)
            if reference is not None:
                found[input_name] = reference
        return found

    def _models(self, task: TaskSpec, component: Component) -> dict[str, str]:
        """The kind of model that each input is given, as far as tasks of this job make it."""
        found: dict[str, str] = {}
        for name, port in component.inputs.items():
            given = task.inputs.get(name) if port.kind is PortKind.MODEL else None
            for text in (given,) if isinstance(given, str) else (given or {}).values():
                found[name] = found.get(name) or self._made(text)
        return found

    def _made(self, text: str) -> str:
        """The kind of the model that a reference names; empty if no task of this job makes it."""
        with suppress(BadReference):
            reference = parse_reference(text)
            if isinstance(reference, OutputInput) and reference.job is None:
                maker = self._components.get(reference.task)
                output = maker.outputs.get(reference.output) if maker else None
                return output.models[0] if output and output.models else ""
        return ""

    def _reference(self, path: str, text: str, port: Port, address: Address) -> Reference | None:
        try:
            reference = parse_reference(text)
        except BadReference as error:
            self._complain(path, error.message, error.hint)
            return None
        if isinstance(reference, TableInput):
            if port.kind is not PortKind.TABLE:
                self._complain(path, f"this input takes a {port.kind}, '{text}' is a table.", "Write task.output.")
        elif reference.job is None:
            self._check_output(path, reference, port, address)
        return reference

    def _check_output(self, path: str, reference: OutputInput, port: Port, address: Address) -> None:
        if reference.task not in self._spec.tasks:
            hint = partial(did_you_mean, reference.task, self._spec.tasks)
            self._complain(path, f"there is no task '{reference.task}' in this job.", hint)
            return
        maker = self._components.get(reference.task)
        if maker is None:
            return
        output = maker.outputs.get(reference.output)
        if output is None:
            hint = partial(did_you_mean, reference.output, maker.outputs)
            self._complain(path, f"{maker.reference} has no output '{reference.output}'.", hint)
        elif output.kind is not port.kind:
            self._complain(path, f"this input takes a {port.kind}, '{reference}' is a {output.kind}.")
        elif port.models and output.models and output.models[0] not in port.models:
            self._complain(
                path, f"this input takes a model of kind {' or '.join(port.models)}, '{reference}' is of kind "
                f"{output.models[0]}.", "Name the output of a task that makes one.",
            )  # fmt: skip
        elif address.role not in output.roles:
            self._complain(
                path, f"'{address}' holds no part of '{reference}': {maker.reference} gives it to "
                f"{', '.join(sorted(output.roles))}.", "Leave the role out of this task with its key roles.",
            )  # fmt: skip
        else:
            made_as = [role for role in self._roles(reference.task, maker) if role in output.roles]
            self._check_maker(path, reference, made_as, address)

    def _check_maker(self, path: str, reference: OutputInput, roles: Collection[Role], address: Address) -> None:
        """Find an output that is not made where it is read: its task does not run there."""
        if not any(address.party in self._spec.roles.get(role, ()) for role in roles):
            self._complain(
                path, f"'{address}' holds no part of '{reference}': that task makes it as "
                f"{', '.join(sorted(roles)) or 'nobody'}, which {address.party} is not.",
                f"Add the role to tasks.{reference.task}.roles, or leave it out of this task.",
            )  # fmt: skip


def _some(items: Iterable[T]) -> list[T]:
    """The first and the last of many."""
    found = list(items)
    return found if len(found) <= _TOLD else [*found[: _TOLD - 1], found[-1]]


def _order(address: Address) -> tuple[str, str]:
    """The order of addresses, quicker than comparing them."""
    return address.party, address.role


class _Said:
    """Values of a task: those for all, those by role, then those by party; a field of the component is no place."""

    def __init__(self, values: Mapping[str, Any], places: Container[str], fields: Container[str] = ()) -> None:
        own = {key for key, value in values.items() if isinstance(value, dict) and key in places and key not in fields}
        self._common = {key: value for key, value in values.items() if key not in own}
        self._own = {key: values[key] for key in own}

    def to(self, address: Address) -> dict[str, Any]:
        return merged(merged(self._common, self._own.get(address.role, {})), self._own.get(address.party, {}))


def _for(value: str | dict[str, str] | None, address: Address) -> str | None:
    if value is None or isinstance(value, str):
        return value
    for place in (str(address.party), str(address.role), COMMON):
        if place in value:
            return value[place]
    return None
