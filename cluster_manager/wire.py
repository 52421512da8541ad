"""The only module that touches the generated code: RPC messages in and out of the Cluster Manager's own types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from cluster_manager.errors import ClusterUnavailable
from cluster_manager.proto import cluster_v1_pb2 as pb
from cluster_manager.proto import cluster_v1_pb2_grpc as rpc
from cluster_manager.queue import BEFORE_ALL, Turn
from cluster_manager.queue_view import Place
from node_manager.client import (
    ExecutorEvent,
    NodeStatus,
    Order,
    Resources,
    document,
    parse_event,
    parse_order,
    parse_status,
)
from party.ids import Address, AttemptId, JobId, TaskName
from runtime.errors import ChannelClosed
from runtime.rpc import LOOK_S, answering, asking, read_metrics, serve_metrics, unix_channel

if TYPE_CHECKING:
    from cluster_manager.manager import ClusterManager

CALL_S = 10.0
START_S = 170.0
END_S = 60.0


@dataclass(frozen=True)
class Reservation:
    """A part of a node that is promised to one executor; `id` names it when that is started."""

    id: str
    node: str


class ClusterServicer(rpc.ClusterManagerServicer):
    """Answers with a ClusterManager."""

    def __init__(self, manager: ClusterManager) -> None:
        self._manager = manager

    def Nodes(self, request: pb.NodesRequest, context: grpc.ServicerContext) -> pb.NodesReply:  # noqa: ARG002, N802
        """What each node said last."""
        with answering(context):
            return pb.NodesReply(statuses=[document(s) for s in self._manager.nodes()])

    def Reserve(self, request: pb.ReserveRequest, context: grpc.ServicerContext) -> pb.ReserveReply:  # noqa: N802
        """A reservation for each executor of an attempt."""
        attempt = AttemptId(JobId(request.job), TaskName(request.task), request.attempt)
        turn = Turn(request.turn.priority, request.turn.since_ms, request.turn.owner, request.turn.most)
        with answering(context):
            sizes = {address: Resources.model_validate_json(size) for address, size in request.sizes.items()}
            made = self._manager.reserve_all(attempt, sizes, request.lease_s, turn)
            told = {at: pb.Reservation(id=one.id, node=self._manager.name_of(one.host)) for at, one in made.items()}
            return pb.ReserveReply(made=told)

    def Queue(self, request: pb.QueueRequest, context: grpc.ServicerContext) -> pb.QueueReply:  # noqa: ARG002, N802
        """What has room and what waits for it."""
        with answering(context):
            return pb.QueueReply(places=[place.model_dump_json().encode() for place in self._manager.queue()])

    def Release(self, request: pb.ReleaseRequest, context: grpc.ServicerContext) -> pb.Done:  # noqa: N802
        """A reservation given back."""
        with answering(context):
            self._manager.release(request.id)
            return pb.Done()

    def Displaced(self, request: pb.DisplacedRequest, context: grpc.ServicerContext) -> pb.DisplacedReply:  # noqa: ARG002, N802
        """The reservations in use on nodes that are gone that fit elsewhere."""
        with answering(context):
            return pb.DisplacedReply(reservations=self._manager.displaced())

    def CouldFit(self, request: pb.CouldFitRequest, context: grpc.ServicerContext) -> pb.CouldFitReply:  # noqa: N802
        """Whether executors could ever run at the same time."""
        sizes = [Resources.model_validate_json(size) for size in request.sizes]
        with answering(context):
            return pb.CouldFitReply(reason=self._manager.could_fit(sizes))

    def Start(self, request: pb.StartRequest, context: grpc.ServicerContext) -> pb.Done:  # noqa: N802
        """The executor of a reservation."""
        with answering(context):
            self._manager.start(request.reservation, parse_order(request.order))
            return pb.Done()

    def Stop(self, request: pb.StopRequest, context: grpc.ServicerContext) -> pb.Done:  # noqa: N802
        """The matching executors."""
        task = request.task if request.HasField("task") else None
        attempt = request.attempt if request.HasField("attempt") else None
        with answering(context):
            self._manager.stop(request.job, task, attempt, request.grace_s)
            return pb.Done()

    def Events(self, request: pb.EventsRequest, context: grpc.ServicerContext) -> Iterator[pb.Event]:  # noqa: N802
        """Executor events."""
        for event in self._manager.events(dict(request.since), context.is_active):
            yield pb.Event(document=event)

    def Acknowledge(self, request: pb.AcknowledgeRequest, context: grpc.ServicerContext) -> pb.Done:  # noqa: N802
        """Logs that are recorded."""
        with answering(context):
            self._manager.acknowledge(request.logs)
            return pb.Done()

    def EndJob(self, request: pb.EndJobRequest, context: grpc.ServicerContext) -> pb.Done:  # noqa: N802
        """A job is over."""
        with answering(context):
            self._manager.end_job(request.job)
            return pb.Done()


def serve_cluster(manager: ClusterManager, server: grpc.Server) -> None:
    """Let the server answer with the manager."""
    rpc.add_ClusterManagerServicer_to_server(ClusterServicer(manager), server)
    serve_metrics(server, manager.metrics)


class ClusterClient:
    """Asks a party's Cluster Manager. Every call raises ClusterUnavailable where it does not answer.

    Args:
        socket: The path of its socket, or `unix:PATH`.
    """

    def __init__(self, socket: Path | str) -> None:
        self._who = f"the Cluster Manager at {socket}"
        self._channel = unix_channel(socket)
        self._stub = rpc.ClusterManagerStub(self._channel)

    def nodes(self) -> list[NodeStatus]:
        """What each node said last, and what is reserved on it."""
        with asking(self._who, ClusterUnavailable):
            reply: pb.NodesReply = self._stub.Nodes(pb.NodesRequest(), timeout=LOOK_S)
            return [parse_status(status) for status in reply.statuses]

    def reserve(self, attempt: AttemptId, address: Address | str, resources: Resources, lease_s: float) -> Reservation:
        """Reserve for one executor that lost its room, before all others. Raises what `reserve_all` raises."""
        return self.reserve_all(attempt, {str(address): resources}, lease_s, BEFORE_ALL)[str(address)]

    def reserve_all(
        self, attempt: AttemptId, sizes: Mapping[str, Resources], lease_s: float, turn: Turn
    ) -> dict[str, Reservation]:
        """Reserve for executors of an attempt, by address, for `lease_s` seconds; the same again renews the lease.

        Raises NoCapacity, saying why not now; their place in the queue is kept for as long as this is asked again.
        """
        request = pb.ReserveRequest(
            job=attempt.job,
            task=attempt.task,
            attempt=attempt.attempt,
            sizes={address: size.model_dump_json().encode() for address, size in sizes.items()},
            lease_s=lease_s,
            turn=pb.Turn(priority=turn.priority, since_ms=turn.since_ms, owner=turn.owner, most=turn.most),
        )
        with asking(self._who, ClusterUnavailable):
            reply: pb.ReserveReply = self._stub.Reserve(request, timeout=CALL_S)
            return {address: Reservation(made.id, made.node) for address, made in reply.made.items()}

    def queue(self) -> list[Place]:
        """What has room and then what waits for it, in the order in which it gets it."""
        with asking(self._who, ClusterUnavailable):
            reply: pb.QueueReply = self._stub.Queue(pb.QueueRequest(), timeout=LOOK_S)
            return [Place.model_validate_json(place) for place in reply.places]

    def release(self, reservation_id: str) -> None:
        """Give a reservation back. May be repeated."""
        with asking(self._who, ClusterUnavailable):
            self._stub.Release(pb.ReleaseRequest(id=reservation_id), timeout=CALL_S)

    def displaced(self) -> list[str]:
        """The reservations in use on nodes that are gone, silent for too long or no longer ours, that fit elsewhere."""
        with asking(self._who, ClusterUnavailable):
            reply: pb.DisplacedReply = self._stub.Displaced(pb.DisplacedRequest(), timeout=CALL_S)
            return list(reply.reservations)

    def could_fit(self, sizes: Sequence[Resources]) -> str:
        """Why executors of these sizes can never run at the same time; empty if they could, if not now."""
        request = pb.CouldFitRequest(sizes=[size.model_dump_json().encode() for size in sizes])
        with asking(self._who, ClusterUnavailable):
            return str(self._stub.CouldFit(request, timeout=CALL_S).reason)

    def start(self, reservation_id: str, order: Order) -> None:
        """Start the executor of a reservation.

        Raises ReservationExpired, OrderMismatch, and what the Node Manager raises.
        """
        request = pb.StartRequest(reservation=reservation_id, order=document(order))
        with asking(self._who, ClusterUnavailable):
            self._stub.Start(request, timeout=START_S)

    def stop(self, job: str, task: str | None = None, attempt: int | None = None, grace_s: float = 5) -> None:
        """End the matching executors and all they started, on every node."""
        request = pb.StopRequest(job=job, task=task, attempt=attempt, grace_s=grace_s)
        with asking(self._who, ClusterUnavailable):
            self._stub.Stop(request, timeout=END_S + grace_s)

    def events(self, since: Mapping[str, int]) -> Iterator[ExecutorEvent]:
        """Every event of each log after the sequence that `since` gives by the log's name.

        It ends by raising ClusterUnavailable when the manager or a node goes away: ask again from the last seen. What
        was seen may come again.
        """
        with asking(self._who, ClusterUnavailable):
            for event in self._stub.Events(pb.EventsRequest(since=since)):
                yield parse_event(event.document)
        raise ClusterUnavailable(f"{self._who} has closed the stream of events.", hint="Ask again.")

    def acknowledge(self, logs: Sequence[str]) -> None:
        """These event logs are recorded, up to their last event: they go as soon as their job is over.

        No answer is waited for, and none is needed: whoever asks for events says again what was recorded.
        """
        with suppress(ChannelClosed):  # by its owner, who wants nothing more
            call = self._stub.Acknowledge.future(pb.AcknowledgeRequest(logs=logs), timeout=CALL_S)
            call.add_done_callback(lambda _: None)  # a call that nobody holds is cancelled

    def end_job(self, job: str) -> None:
        """The job is over: nothing of it runs, lies or is reserved any more. May be repeated."""
        with asking(self._who, ClusterUnavailable):
            self._stub.EndJob(pb.EndJobRequest(job=job), timeout=END_S)

    def metrics(self) -> bytes:
        """What it counts of itself, as Prometheus reads it."""
        with asking(self._who, ClusterUnavailable):
            return read_metrics(self._channel)

    def close(self) -> None:
        """Let the connection go; who waits in `events` is let go."""
        self._channel.close()
