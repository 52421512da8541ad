"""What can go wrong between an order and the end of its process.

PlatformError
  InvalidInput
    OrderRefused        the order itself is unusable                               (no retry)
    UnknownWireVersion  a document of a newer or older schema                      (no retry)
  Conflict
    StaleIncarnation    a newer incarnation is known, or this one has already run  (no retry)
    CodeMismatch        the installed component differs from the manifest's        (no retry)
  Unavailable
    NodeUnavailable     the Node Manager cannot be reached                         (retry)
    ForkFailed          no process could be made                                   (retry)
    NodeStopping        the Node Manager is going down                             (retry)
    NoGpuLeft           fewer GPUs are free than the order asks for                (retry)
    StateLost           what an executor had saved cannot be read any more         (retry, in a new attempt)
"""

from __future__ import annotations

from runtime.errors import Conflict, InvalidInput, Unavailable


class OrderRefused(InvalidInput):
    """The order cannot be carried out by anyone as it is."""

    code = "node.order_refused"


class UnknownWireVersion(InvalidInput):
    """A document carries a schema number that this version does not read."""

    code = "node.unknown_schema"


class StaleIncarnation(Conflict):
    """A newer incarnation is known here, or this very one has already ended."""

    code = "node.stale_incarnation"


class CodeMismatch(Conflict):
    """The installed component's source differs from what the manifest names."""

    code = "node.code_mismatch"


class NodeUnavailable(Unavailable):
    """The Node Manager does not answer."""

    code = "node.unavailable"


class ForkFailed(Unavailable):
    """The warm parent could not make the process."""

    code = "node.fork_failed"


class NodeStopping(Unavailable):
    """The Node Manager is going down and starts nothing new."""

    code = "node.stopping"


class NoGpuLeft(Unavailable):
    """Fewer GPUs are free on this node than the order asks for."""

    code = "node.no_gpu_left"


class StateLost(Unavailable):
    """What it had saved in the attempt is not there any more, or cannot be read."""

    code = "node.state_lost"

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="The task goes on in a new attempt, from the last step that all parties have.")
