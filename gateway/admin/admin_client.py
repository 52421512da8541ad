"""Flow's way to its own gateway."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from gateway.admin.call_server import CallServer, Handler
from gateway.contract import JobContract, contract_to_json
from gateway.mailbox.ledger import JobTraffic, PeerTraffic
from gateway.peer_status import PeerStatus
from gateway.transfer.strangers import Stranger
from gateway.wire import AdminStub, admin_channel, gateway_down, local
from runtime.canonical import canonical_json
from runtime.errors import ChannelClosed
from runtime.rpc import LOOK_S, read_metrics, rpc_error

QUICK_S = 30.0  # for calls that ask nobody else
CALL_MARGIN_S = 2.0  # what our own gateway may need beyond a call's own time


@dataclass(frozen=True)
class GatewayHealth:
    """A gateway that answers; `problem` says what is wrong with its party's own card or files, if anything."""

    party: str
    listen: str
    pid: int
    open_jobs: int
    problem: str = ""


class GatewayAdmin:
    """A client of the socket `gateway-admin`. Every method raises GatewayDown while the gateway is away."""

    def __init__(self, socket_path: Path | str) -> None:
        self._socket = socket_path
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._stub: AdminStub | None = None

    def open_job(self, contract: JobContract) -> None:
        """Let the job's messages pass. Again with the same contract is no change.

        Raises:
            ContractChanged: The job is open with another contract.
            JobClosed: It was closed before.
        """
        with self._calling() as admin:
            admin.OpenJob(local.Contract(json=canonical_json(contract_to_json(contract))), timeout=QUICK_S)

    def close_job(self, job: str) -> JobTraffic:
        """Delete the job's messages, revoke its tokens, and say what went in and out. Again is no change."""
        with self._calling() as admin:
            answer = admin.CloseJob(local.Job(job=job), timeout=QUICK_S)
        peers = {
            peer.party: PeerTraffic(peer.messages_out, peer.bytes_out, peer.messages_in, peer.bytes_in)
            for peer in answer.peers
        }
        return JobTraffic(answer.job, peers)

    def jobs(self) -> list[str]:
        """The open jobs."""
        with self._calling() as admin:
            return list(admin.Jobs(local.Done(), timeout=QUICK_S).jobs)

    def issue_token(self, job: str, task: str, attempt: int, address: str, incarnation: int) -> str:
        """A token for one executor; those of older attempts and incarnations of the address are revoked.

        Raises:
            JobNotOpen, JobClosed: Nobody may speak in that job.
            IncarnationOutdated: A newer attempt or incarnation has a token.
        """
        bearer = local.Bearer(job=job, task=task, attempt=attempt, address=address, incarnation=incarnation)
        with self._calling() as admin:
            return str(admin.IssueToken(bearer, timeout=QUICK_S).token)

    def call(self, party: str, method: str, body: bytes, timeout_s: float = 30.0) -> bytes:
        """What the party's Flow answers; our own party works too.

        Raises:
            PeerUnknown, PeerUnreachable, NoSubscriber, CallTimeout, CallTooLarge: Nobody answered.
            PlatformError: What the far handler raised: the same code, message and hint.
        """
        request = local.CallRequest(party=party, method=method, body=body, timeout_s=timeout_s)
        with self._calling() as admin:
            return bytes(admin.Call(request, timeout=timeout_s + CALL_MARGIN_S).body)

    def serve_calls(self, handler: Handler, threads: int = 8) -> CallServer:
        """Answer calls from now on, in threads of this process; returns once the gateway hears us, if it is there.

        The subscription comes back by itself when the gateway does. A PlatformError of the handler travels back.
        """
        server = CallServer(self._socket, handler, threads)
        server.start()
        return server

    def sign(self, purpose: str, message: bytes) -> bytes:
        """Our party's signature. Raises PurposeReserved."""
        with self._calling() as admin:
            return bytes(admin.Sign(local.Statement(purpose=purpose, message=message), timeout=QUICK_S).signature)

    def verify(self, party: str, purpose: str, message: bytes, signature: bytes) -> None:
        """Raise BadSignature unless the party signed exactly this, PeerUnknown if we do not trust it."""
        statement = local.Statement(purpose=purpose, message=message)
        with self._calling() as admin:
            signed = local.SignedStatement(party=party, statement=statement, signature=signature)
            admin.Verify(signed, timeout=QUICK_S)

    def peers(self) -> list[PeerStatus]:
        """How the trusted parties are doing."""
        return [
            PeerStatus(
                peer.party,
                tuple(peer.addresses),
                peer.state,
                peer.last_seen_s,
                peer.queued,
                peer.problem,
                peer.code,
                peer.remedy,
            )
            for peer in self._peer_list().peers
        ]

    def strangers(self) -> list[Stranger]:
        """Callers that were turned away in the last minutes, because their cards are not trusted here."""
        return [
            Stranger(known.address, known.claims, known.count, known.last_s) for known in self._peer_list().strangers
        ]

    def _peer_list(self) -> local.PeerList:
        with self._calling() as admin:
            answer: local.PeerList = admin.Peers(local.Done(), timeout=LOOK_S)
            return answer

    def metrics(self) -> bytes:
        """What the gateway counts of itself, as Prometheus reads it."""
        with self._calling(), admin_channel(self._socket) as channel:
            return read_metrics(channel)

    def reload(self) -> None:
        """Follow a change of cards or keys in the home."""
        with self._calling() as admin:
            admin.Reload(local.Done(), timeout=QUICK_S)

    def health(self) -> GatewayHealth:
        """Whether the gateway is well."""
        with self._calling() as admin:
            answer = admin.Health(local.Done(), timeout=LOOK_S)
        return GatewayHealth(answer.party, answer.listen, answer.pid, answer.open_jobs, answer.problem)

    def close(self) -> None:
        """Let go of the connection; the next call makes a new one."""
        with self._lock:
            channel, self._channel, self._stub = self._channel, None, None
        if channel is not None:
            channel.close()

    @contextmanager
    def _calling(self) -> Iterator[AdminStub]:
        with self._lock:
            if self._stub is None:
                self._channel = admin_channel(self._socket)
                self._stub = AdminStub(self._channel)
            stub = self._stub
        try:
            yield stub
        except grpc.RpcError as error:
            raise rpc_error(error, gateway_down(self._socket)) from None
        except ChannelClosed:
            raise gateway_down(self._socket) from None
