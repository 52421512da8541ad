"""The door of the gateway room: all that other rooms may use of it."""

from __future__ import annotations

from gateway.admin.admin_client import GatewayAdmin, GatewayHealth
from gateway.admin.call_server import CallServer, IncomingCall
from gateway.contract import ContractLine, JobContract
from gateway.errors import (
    BadContract,
    CallTimeout,
    ClocksDiffer,
    ContractChanged,
    ContractViolation,
    ExchangeClosed,
    FlowSilent,
    GatewayDown,
    IncarnationOutdated,
    JobClosed,
    JobNotOpen,
    MessageConflict,
    MessageGone,
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
from gateway.executors.executor_wire import ExecutorWire
from gateway.executors.local_exchange import LocalExchange, LocalWire
from gateway.mailbox.ledger import JobTraffic, PeerTraffic
from gateway.peer_status import PeerStatus
from gateway.server import serve
from gateway.transfer.strangers import Stranger

__all__ = [
    "BadContract",
    "CallServer",
    "CallTimeout",
    "ClocksDiffer",
    "ContractChanged",
    "ContractLine",
    "ContractViolation",
    "ExchangeClosed",
    "ExecutorWire",
    "FlowSilent",
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
    "MessageGone",
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
    "Stranger",
    "TokenRefused",
    "serve",
]
