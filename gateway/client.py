"""The door of the gateway room: all that other rooms may use of it."""

from __future__ import annotations

from gateway.admin import GatewayAdmin, GatewayHealth, IncomingCall, Stopper
from gateway.contract import ContractLine, JobContract
from gateway.errors import (
    BadContract,
    CallTimeout,
    ClocksDiffer,
    ContractChanged,
    ContractViolation,
    ExchangeClosed,
    GatewayDown,
    IncarnationOutdated,
    JobClosed,
    JobNotOpen,
    MessageConflict,
    MessageRefused,
    NoSubscriber,
    PeerDistrustsUs,
    PeerNotListening,
    PeerRefused,
    PeerShowsOther,
    PeerSilent,
    PeerUnknown,
    PeerUnreachable,
    TokenRefused,
)
from gateway.executor_wire import ExecutorWire
from gateway.link import PeerStatus
from gateway.local import LocalExchange, LocalWire
from gateway.mailbox.store import JobTraffic, PeerTraffic
from gateway.server import serve
from gateway.strangers import Stranger

__all__ = [
    "BadContract",
    "CallTimeout",
    "ClocksDiffer",
    "ContractChanged",
    "ContractLine",
    "ContractViolation",
    "ExchangeClosed",
    "ExecutorWire",
    "GatewayAdmin",
    "GatewayDown",
    "GatewayHealth",
    "IncarnationOutdated",
    "IncomingCall",
    "JobClosed",
    "JobContract",
    "JobNotOpen",
    "JobTraffic",
    "LocalExchange",
    "LocalWire",
    "MessageConflict",
    "MessageRefused",
    "NoSubscriber",
    "PeerDistrustsUs",
    "PeerNotListening",
    "PeerRefused",
    "PeerShowsOther",
    "PeerSilent",
    "PeerStatus",
    "PeerTraffic",
    "PeerUnknown",
    "PeerUnreachable",
    "Stopper",
    "Stranger",
    "TokenRefused",
    "serve",
]
