"""What can go wrong between asking for a reservation and using it.

PlatformError
  Conflict
    ReservationExpired   its lease ran out, or it was given back            (no retry)
    OrderMismatch        the order is not what the reservation was made for (no retry)
  Unavailable
    NoCapacity           no node can bear it now                            (retry)
    ClusterUnavailable   the Cluster Manager cannot be reached              (retry)
"""

from __future__ import annotations

from runtime.errors import Conflict, Unavailable


class ReservationExpired(Conflict):
    """The reservation's lease ran out before it was used, or it was given back."""

    code = "cluster.reservation_expired"


class OrderMismatch(Conflict):
    """The order asks for another attempt, address or more resources than were reserved."""

    code = "cluster.order_mismatch"


class NoCapacity(Unavailable):
    """No node can bear it now; the message says why each cannot."""

    code = "cluster.no_capacity"


class ClusterUnavailable(Unavailable):
    """The Cluster Manager does not answer."""

    code = "cluster.unavailable"
