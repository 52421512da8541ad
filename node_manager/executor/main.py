"""The process that runs one address's side of a task attempt: joins registry, gateway, store and event log.

It is stateless: what must survive it goes into checkpoints and the journal, what others should know into its event
log. Its last word is SUCCEEDED or FAILED; if it dies without one, the Node Manager says LOST.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pydantic import ValidationError

from algorithms.api.component import Component, Terms, by_role
from algorithms.api.parameters import Parameters
from algorithms.compute.workers import Workers
from algorithms.registry import component as find_component
from node_manager.assignment import Assignment
from node_manager.errors import CodeMismatch, OrderRefused
from node_manager.events import EventKind
from node_manager.executor.captured_output import CapturedOutput
from node_manager.executor.context_adapters import open_context
from node_manager.executor.event_log import EventLog
from node_manager.executor.threads import compute_alike, set_threads
from node_manager.executor.worker_parent import workers_of
from node_manager.folders import ExecutorKey
from node_manager.last_event import CRASH_CODE, failure_body
from node_manager.order import Order
from party.ids import Address
from runtime import log
from runtime.text import first_problem

if TYPE_CHECKING:
    from algorithms.api.context import Context

SUCCEEDED, FAILED, CRASHED = 0, 1, 70


def main(assignment: Assignment, order: Order) -> int:
    """Carry out one assignment; returns the exit code. Its working folder is the current one."""
    key = ExecutorKey.of(order)
    log.configure("executor", None, party=key.address.partition(":")[2])
    with workers_of(order.resources.cores) as compute, log.ids(job=key.job, task=key.task, attempt=key.attempt):
        events = EventLog(assignment.folder, key, assignment.doorbell)
        output = CapturedOutput(events)
        try:
            _work(order, assignment, compute, events, output)
            return SUCCEEDED
        except Exception as error:  # noqa: BLE001  the executor's main: whatever it is, somebody has to be told
            output.died_of(error)
            output.finish()
            body = failure_body(error, order.address)
            events.write(EventKind.FAILED, **body)
            return CRASHED if body["code"] == CRASH_CODE else FAILED
        finally:
            events.close()


def _work(order: Order, assignment: Assignment, compute: Workers, events: EventLog, output: CapturedOutput) -> None:
    began = time.monotonic()
    set_threads(order.resources.cores)
    compute_alike(gpus=bool(assignment.gpus))
    component, run, parameters = _checked(order)
    with ExitStack() as closing:
        context = open_context(order, component, assignment, compute, events, closing)
        events.log("info", f"{order.component} begins as {order.address}, attempt {order.attempt}", ring_too=False)
        started_s = round(time.monotonic() - assignment.received_at, 4)
        events.write(EventKind.STARTED, pid=os.getpid(), started_s=started_s)
        run(context, parameters)
    output.finish()
    events.log("info", f"{order.component} ended after {time.monotonic() - began:.1f} s", ring_too=False)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    events.write(EventKind.SUCCEEDED, seconds=round(time.monotonic() - began, 4), peak_bytes=peak)


def _checked(order: Order) -> tuple[Component, Callable[[Context, Parameters], None], Parameters]:
    """The component's role function and parameters. Raises CodeMismatch, OrderRefused, RolesRefused."""
    component = find_component(order.component)
    if component.code_digest != order.code_digest:
        raise CodeMismatch(
            f"{order.component} as installed here differs from the one that the parties agreed on.",
            hint="Install the same release at every party, then submit the job again.",
        )
    role = Address.parse(order.address).role
    if role not in component.roles:
        raise OrderRefused(f"{order.component} has nothing to do for the role '{role}'.")
    try:
        parameters = component.parameters.model_validate(order.parameters)
    except ValidationError as problem:
        raise OrderRefused(f"{order.component}: parameters.{first_problem(problem)}.") from problem
    parties = by_role(map(Address.parse, order.addresses))
    component.require(Terms(parameters, parties, order.models, order.told_rows()))
    return component, component.roles[role].run, parameters
