"""What Flow needs of the rooms below it: the parts of their doors that it calls, so that tests may stand in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cluster_manager.client import NodeStatus, Place, Reservation, Turn
from flow.protocol.messages import PublishedOutput
from flow.protocol.policy import ModelFacts, Source, TableFacts
from gateway.client import CallServer, GatewayHealth, IncomingCall, JobContract, PeerStatus, Stranger
from node_manager.client import ExecutorEvent, Order, Resources
from party.ids import Address, AttemptId
from storage.client import KeptFiles


class GatewayPort(Protocol):
    """The gateway, as Flow uses it (`gateway.client.GatewayAdmin`)."""

    def call(self, party: str, method: str, body: bytes, timeout_s: float) -> bytes:
        """Ask another party's Flow."""

    def serve_calls(self, handler: Callable[[IncomingCall], bytes]) -> CallServer:
        """Answer what other parties' Flows ask."""

    def open_job(self, contract: JobContract) -> None:
        """Let a job's messages pass."""

    def close_job(self, job: str) -> object:
        """End a job's messages."""

    def jobs(self) -> Sequence[str]:
        """The jobs whose messages pass."""

    def issue_token(self, job: str, task: str, attempt: int, address: str, incarnation: int) -> str:
        """A token for one executor."""

    def sign(self, purpose: str, message: bytes) -> bytes:
        """Our party's signature."""

    def verify(self, party: str, purpose: str, message: bytes, signature: bytes) -> None:
        """Raise unless the party signed."""

    def peers(self) -> Sequence[PeerStatus]:
        """The trusted parties and the state of the link to each."""

    def health(self) -> GatewayHealth:
        """Whether it is well, our own card included."""

    def reload(self) -> None:
        """Read again whom we trust."""

    def strangers(self) -> Sequence[Stranger]:
        """Callers that were turned away lately."""

    def metrics(self) -> bytes:
        """What it counts of itself."""


class ClusterPort(Protocol):
    """The Cluster Manager, as Flow uses it (`cluster_manager.client.ClusterClient`)."""

    def reserve(self, attempt: AttemptId, address: str, resources: Resources, lease_s: float) -> Reservation:
        """Hold a part of a node for one that lost its room, before all others. Raises NoCapacity."""

    def reserve_all(
        self, attempt: AttemptId, sizes: Mapping[str, Resources], lease_s: float, turn: Turn
    ) -> Mapping[str, Reservation]:
        """Hold parts of nodes for executors of an attempt, by address, when it is their turn. Raises NoCapacity."""

    def queue(self) -> Sequence[Place]:
        """What has room and then what waits for it, in the order in which it gets it."""

    def release(self, reservation_id: str) -> None:
        """Give it back."""

    def displaced(self) -> Sequence[str]:
        """The reservations in use on nodes that are gone, silent for too long or no longer ours, that fit elsewhere."""

    def could_fit(self, sizes: Sequence[Resources]) -> str:
        """Why executors of these sizes can never run at the same time; empty if they could, if not now."""

    def start(self, reservation_id: str, order: Order) -> None:
        """Start an executor. Raises ReservationExpired."""

    def stop(self, job: str, task: str | None = None, attempt: int | None = None) -> None:
        """End executors."""

    def events(self, since: Mapping[str, int]) -> Iterator[ExecutorEvent]:
        """Every event of each log after a sequence, for as long as the connection lasts; some may come again."""

    def acknowledge(self, logs: Sequence[str]) -> None:
        """These event logs are recorded, up to their last event."""

    def end_job(self, job: str) -> None:
        """Clean up after a job."""

    def nodes(self) -> Sequence[NodeStatus]:
        """The hosts of this party."""

    def metrics(self) -> bytes:
        """What it and its nodes count of themselves."""


class JobFilesPort(Protocol):
    """What a store keeps of each job, as Flow uses it (`storage.client.JobFiles`)."""

    def jobs(self) -> set[str]:
        """The jobs of which outputs or checkpoints are kept."""

    def of(self, job: str) -> KeptFiles:
        """What is kept of a job."""

    def delete_outputs(self, job: str) -> None:
        """Delete what a job made."""

    def is_short(self) -> bool:
        """Whether the disk is short of room; False where that is not known."""


class StorePort(Protocol):
    """The party's store, as Flow uses it."""

    @property
    def job_files(self) -> JobFilesPort:
        """What it keeps of each job."""

    def table(self, text: str) -> TableFacts:
        """What is known of a table. Raises TableNotFound."""

    def model(self, reference: str) -> ModelFacts:
        """What is known of a model, but who else holds it. Raises ModelNotFound unless this party holds a part."""

    def source(self, reference: str, *, is_table: bool) -> Source:
        """The rules that follow what was made of a table or model, even one that is deleted. Raises TableNotFound."""

    def publish(self, attempt_id: AttemptId, declared: Mapping[str, Mapping[str, str]]) -> list[PublishedOutput]:
        """Make an attempt's outputs visible; doing it again gives the same.

        `declared` are the kinds of outputs by address and name. Raises UndeclaredOutput, OutputRefused.
        """

    def discard(self, attempt_id: AttemptId) -> None:
        """Drop what an attempt staged."""

    def forget(self, job: str) -> None:
        """Drop what a job needs no more: what is staged, checkpoints and journals."""

    def keep_checkpoints(self, job: str) -> None:
        """Drop the same, but for the checkpoints."""

    def checkpointed(self) -> list[str]:
        """The jobs of which checkpoints are kept."""

    def held(self, job: str, task: str, address: Address) -> dict[int, list[int]]:
        """The steps for which an address has a checkpoint, by attempt."""


@dataclass(frozen=True)
class Rooms:
    """The rooms below, what executors are told of them, and whether a disk of this party on this host is full."""

    gateway: GatewayPort
    cluster: ClusterPort
    store: StorePort
    executor_door: str = ""  # the gateway's local socket
    store_uri: str = ""
    full: Callable[[], bool] = bool
