"""A job joined with its components: who takes part in each task, with which parameters, inputs, resources, outputs.

Pure. `bind` finds every problem of a job that needs no look at other parties; a job without problems comes back as
one `BoundTask` a task. Values are resolved common, then by role, then by party.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from algorithms.component import Component, Parameters, Port, PortKind
from flow.inputs import BadReference, OutputInput, Reference, TableInput, needs_of, parse_reference
from flow.job_spec import COMMON, JobSpec, ResourceSpec, TaskSpec
from flow.problems import from_validation
from flow.views import Problem
from party.errors import PlatformError
from party.ids import Address, PartyId, Role
from party.suggestions import did_you_mean

Components = Callable[[str], Component]
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class BoundSide:
    """What one address brings to a task and gets from it."""

    parameters: dict[str, Any]
    inputs: dict[str, Reference]
    resources: ResourceSpec
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class BoundTask:
    """One task with everything resolved."""

    name: str
    component: Component
    sides: dict[Address, BoundSide]
    needs: frozenset[str]

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Everybody in the task, sorted."""
        return tuple(sorted(self.sides))


def bind(spec: JobSpec, components: Components) -> tuple[dict[str, BoundTask], list[Problem]]:
    """Every task resolved, and every problem found on the way. With problems, the tasks are not to be used."""
    binder = _Binder(spec, components)
    tasks = {name: bound for name, task in spec.tasks.items() if (bound := binder.task(name, task)) is not None}
    binder.check_cycles()
    return tasks, binder.problems


class _Binder:
    def __init__(self, spec: JobSpec, components: Components) -> None:
        self._spec = spec
        self._components: dict[str, Component] = {}
        self._places = frozenset({*Role, *spec.parties})
        self.problems: list[Problem] = []
        for name, task in spec.tasks.items():
            try:
                self._components[name] = components(task.component)
            except PlatformError as error:
                self._complain(f"tasks.{name}.component", error.message, error.hint)

    def task(self, name: str, task: TaskSpec) -> BoundTask | None:
        """One task resolved, or None if its component is not known."""
        component = self._components.get(name)
        if component is None:
            return None
        addresses = self._addresses(name, task, component)
        self._check_names(name, task, component)
        sides: dict[Address, BoundSide] = {}
        parameters: dict[Address, Parameters] = {}
        for address in addresses:
            own = self._parameters(name, task, component, address)
            parameters |= {address: own} if own else {}
            sides[address] = BoundSide(
                parameters=own.model_dump(mode="json") if own else {},
                inputs=self._inputs(name, task, component, address),
                resources=self._resources(name, task, address),
                outputs=tuple(o for o, port in component.outputs.items() if address.role in port.roles),
            )
        self._check_whole(name, component, addresses, parameters.values())
        self._check_alike(name, parameters)
        return BoundTask(name, component, sides, frozenset(self._needs(task)))

    def check_cycles(self) -> None:
        """Find tasks that wait for each other."""
        try:
            tuple(TopologicalSorter({n: set(self._needs(t)) for n, t in self._spec.tasks.items()}).static_order())
        except CycleError as error:
            circle = error.args[1][::-1]
            self._complain(
                f"tasks.{circle[0]}.inputs",
                f"tasks need each other in a circle: {' → '.join(circle)}.",
                "Break the circle: a task can only use outputs of tasks before it.",
            )

    def _complain(self, path: str, message: str, hint: str = "") -> None:
        problem = Problem(path=path, message=message, hint=hint)
        if problem not in self.problems:
            self.problems.append(problem)

    # -- who ---------------------------------------------------------------------------------------------------------
    def _addresses(self, name: str, task: TaskSpec, component: Component) -> list[Address]:
        roles = task.roles if task.roles is not None else tuple(r for r in self._spec.roles if r in component.roles)
        for role in roles:
            if role not in component.roles:
                self._complain(
                    f"tasks.{name}.roles",
                    f"{component.reference} has no role '{role}'.",
                    f"It knows {', '.join(component.roles)}.",
                )
            elif role not in self._spec.roles:
                self._complain(f"tasks.{name}.roles", f"no party of this job is '{role}'.", "Add it under roles.")
        addresses = [Address(PartyId(p), role) for role in roles for p in self._spec.roles.get(role, ())]
        for role, least in component.minimum.items():
            present = sum(address.role == role for address in addresses)
            if present < least:
                self._complain(
                    f"tasks.{name}",
                    f"{component.reference} needs {least} {role} at least, the job gives it {present}.",
                    "Name more parties under roles.",
                )
        if not addresses:
            self._complain(f"tasks.{name}.roles", "nobody takes part in this task.")
        return [address for address in addresses if address.role in component.roles]

    def _check_whole(
        self, name: str, component: Component, addresses: Iterable[Address], parameters: Iterable[Parameters]
    ) -> None:
        """The component's rules for the whole job, with the parameters of each side as that side will run them."""
        if component.check is None:
            return
        roles: dict[Role, list[str]] = {}
        for address in sorted(addresses):
            roles.setdefault(address.role, []).append(address.party)
        for own in parameters:
            try:
                component.check(own, roles)
            except PlatformError as error:
                self._complain(f"tasks.{name}", error.message, error.hint)

    def _check_alike(self, name: str, parameters: Mapping[Address, Parameters]) -> None:
        """What the sides of a task must have alike, they have alike: else they would wait for each other in vain."""
        needed = {address: own.alike() for address, own in parameters.items()}
        for key in next(iter(needed.values()), {}):
            values = {address: json.dumps(own[key]) for address, own in needed.items()}
            if len(set(values.values())) > 1:
                told = ", ".join(f"{value} for {address}" for address, value in values.items())
                self._complain(
                    f"tasks.{name}.parameters.{key}",
                    f"`{key}` must be the same everywhere in a task; here it is {told}.",
                    "Set it once for all, not by role or party.",
                )

    # -- what --------------------------------------------------------------------------------------------------------
    def _parameters(self, name: str, task: TaskSpec, component: Component, address: Address) -> Parameters | None:
        merged = _merged(task.parameters, address, self._places - set(component.parameters.model_fields))
        return self._checked(component.parameters, merged, f"tasks.{name}.parameters")

    def _resources(self, name: str, task: TaskSpec, address: Address) -> ResourceSpec:
        merged = _merged(task.resources, address, self._places)
        return self._checked(ResourceSpec, merged, f"tasks.{name}.resources") or ResourceSpec()

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
                    path, f"{component.reference} has no input '{given}'.", did_you_mean(given, component.inputs)
                )
            for place in value if isinstance(value, dict) else ():
                if place != COMMON and place not in self._places:
                    self._complain(
                        f"{path}.{place}", f"'{place}' is no role and no party of this job.",
                        did_you_mean(place, [COMMON, *self._places]),
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
            hint = did_you_mean(reference.task, self._spec.tasks)
            self._complain(path, f"there is no task '{reference.task}' in this job.", hint)
            return
        maker = self._components.get(reference.task)
        if maker is None:
            return
        output = maker.outputs.get(reference.output)
        if output is None:
            hint = did_you_mean(reference.output, maker.outputs)
            self._complain(path, f"{maker.reference} has no output '{reference.output}'.", hint)
        elif output.kind is not port.kind:
            self._complain(path, f"this input takes a {port.kind}, '{reference}' is a {output.kind}.")
        elif address.role not in output.roles:
            self._complain(
                path, f"'{address}' holds no part of '{reference}': {maker.reference} gives it to "
                f"{', '.join(sorted(output.roles))}.", "Leave the role out of this task with its key roles.",
            )  # fmt: skip

    def _needs(self, task: TaskSpec) -> set[str]:
        return needs_of(task.inputs) & set(self._spec.tasks)


def _merged(values: Mapping[str, Any], address: Address, places: Iterable[str]) -> dict[str, Any]:
    """The common values, then those under the address's role, then those under its party."""
    known = set(places)
    merged = {key: value for key, value in values.items() if not (key in known and isinstance(value, dict))}
    for place in (str(address.role), str(address.party)):
        override = values.get(place)
        if place in known and isinstance(override, dict):
            merged.update(override)
    return merged


def _for(value: str | dict[str, str] | None, address: Address) -> str | None:
    if value is None or isinstance(value, str):
        return value
    for place in (str(address.party), str(address.role), COMMON):
        if place in value:
            return value[place]
    return None
