"""The door to the Node Manager: order executors, follow what they tell.

Importing it loads no heavy module; `serve` does when it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from node_manager.allowance import MOST_BYTES, MOST_EVENTS
from node_manager.errors import (
    CodeMismatch,
    ForkFailed,
    NodeStopping,
    NodeUnavailable,
    NoGpuLeft,
    OrderRefused,
    StaleIncarnation,
    StateLost,
    UnknownWireVersion,
)
from node_manager.events import FINAL, EventKind, ExecutorEvent, log_name
from node_manager.last_event import CRASH_CODE, OVERRUNS, Cause, failure_body, overrun_text
from node_manager.order import NOTHING, Input, Order, Resources, ResumePoint
from node_manager.status import HeldRoom, NodeStatus
from node_manager.wire import EventStream, NodeClient, document, parse_event, parse_order, parse_status

if TYPE_CHECKING:
    from node_manager.server import NodeService
    from party.home import PartyHome

__all__ = [
    "CRASH_CODE",
    "FINAL",
    "MOST_BYTES",
    "MOST_EVENTS",
    "NOTHING",
    "OVERRUNS",
    "Cause",
    "CodeMismatch",
    "EventKind",
    "EventStream",
    "ExecutorEvent",
    "ForkFailed",
    "HeldRoom",
    "Input",
    "NoGpuLeft",
    "NodeClient",
    "NodeStatus",
    "NodeStopping",
    "NodeUnavailable",
    "Order",
    "OrderRefused",
    "Resources",
    "ResumePoint",
    "StaleIncarnation",
    "StateLost",
    "UnknownWireVersion",
    "compute_as_an_executor",
    "document",
    "end_left_over",
    "failure_body",
    "log_name",
    "overrun_text",
    "parse_event",
    "parse_order",
    "parse_status",
    "serve",
]


def serve(home: PartyHome) -> NodeService:
    """The Node Manager of a party's home as a service, not started yet."""
    from node_manager.server import serve as make

    return make(home)


def end_left_over(home: PartyHome) -> int:
    """End what still runs of a home's executors though nothing manages them any more; how many there were."""
    from node_manager.supervisor.left_over import end_left_over as end

    return end(home)


def compute_as_an_executor(cores: int) -> None:
    """From now on this process has the threads, and the algorithms of torch, of an executor of so many cores."""
    from node_manager.executor.threads import compute_alike, set_threads

    set_threads(cores)
    compute_alike(gpus=False)
