"""The door to the Cluster Manager: reserve, start executors in reservations, follow what they tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster_manager.errors import (
    ClusterUnavailable,
    NoCapacity,
    OrderMismatch,
    ReservationExpired,
)
from cluster_manager.placement import fit_now
from cluster_manager.queue import BEFORE_ALL, Turn
from cluster_manager.queue_view import Place
from cluster_manager.wire import ClusterClient, Reservation
from node_manager.client import NodeStatus

if TYPE_CHECKING:
    from cluster_manager.server import ClusterService
    from party.home import PartyHome

__all__ = [
    "BEFORE_ALL",
    "ClusterClient",
    "ClusterUnavailable",
    "NoCapacity",
    "NodeStatus",
    "OrderMismatch",
    "Place",
    "Reservation",
    "ReservationExpired",
    "Turn",
    "fit_now",
    "serve",
]


def serve(home: PartyHome) -> ClusterService:
    """The Cluster Manager of a party's home as a service, not started yet."""
    from cluster_manager.server import serve as make

    return make(home)
