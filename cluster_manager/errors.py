"""What can go wrong between asking for a reservation and using it.

PlatformError
  NotFound
    NodeUnknown          no node of that name or address                    (no retry)
  Conflict
    ReservationExpired   its lease ran out, or it was given back            (no retry)
    OrderMismatch        the order is not what the reservation was made for (no retry)
    NodeExists           another node has that address already              (no retry)
  Unavailable
    NoCapacity           no node can bear it now                            (retry)
    ClusterUnavailable   the Cluster Manager cannot be reached              (retry)
"""

from __future__ import annotations

from runtime.errors import Conflict, NotFound, Unavailable


class NodeUnknown(NotFound):
    """No node of that name or address."""

    code = "cluster.node_unknown"


class ReservationExpired(Conflict):
    """The reservation's lease ran out before it was used, or it was given back."""

    code = "cluster.reservation_expired"


class OrderMismatch(Conflict):
    """The order asks for another attempt, address or more resources than were reserved."""

    code = "cluster.order_mismatch"


class NodeExists(Conflict):
    """That address is a node of this cluster already."""

    code = "cluster.node_exists"


class NoCapacity(Unavailable):
    """No node can bear it now; the message says why each cannot."""

    code = "cluster.no_capacity"


class ClusterUnavailable(Unavailable):
    """The Cluster Manager does not answer."""

    code = "cluster.unavailable"
