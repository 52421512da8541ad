"""Flow's way to its own gateway."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

import grpc

from gateway.backoff import Backoff
from gateway.contract import JobContract, contract_to_json
from gateway.link import PeerStatus
from gateway.mailbox.store import JobTraffic, PeerTraffic
from gateway.strangers import Stranger
from gateway.wire import AdminStub, admin_channel, gateway_down, local
from runtime.canonical import canonical_json
from runtime.errors import PlatformError, ServiceFault
from runtime.log import get_logger
from runtime.problems import problem_of
from runtime.rpc import read_metrics, rpc_error

QUICK_S = 30.0  # for calls that ask nobody else
CALL_MARGIN_S = 2.0  # what our own gateway may need beyond a call's own time
_log = get_logger("gateway")


@dataclass(frozen=True)
class IncomingCall:
    """What another party's Flow, or our own, asks ours."""

    party: str
    method: str
    body: bytes


@dataclass(frozen=True)
class GatewayHealth:
    """A gateway that answers; `problem` says what is wrong with its party's own card or files, if anything."""

    party: str
    listen: str
    pid: int
    open_jobs: int
    problem: str = ""


class Stopper(Protocol):
    """Ends what was started."""

    def stop(self, grace_s: float = 5.0) -> None:
        """End it; returns once it has ended, or after `grace_s`."""


Handler = Callable[[IncomingCall], bytes]


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

    def serve_calls(self, handler: Handler, threads: int = 8) -> Stopper:
        """Answer calls from now on, in threads of this process; returns once the gateway hears us, if it is there.

        The subscription comes back by itself when the gateway does. A PlatformError of the handler travels back.
        """
        server = _CallServer(self._socket, handler, threads)
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
            answer: local.PeerList = admin.Peers(local.Done(), timeout=QUICK_S)
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
            answer = admin.Health(local.Done(), timeout=QUICK_S)
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


class _CallServer:
    """Keeps a subscription at the gateway and runs the handler in its own threads."""

    def __init__(self, socket_path: Path | str, handler: Handler, threads: int) -> None:
        self._socket = socket_path
        self._handler = handler
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="gateway-answer")
        self._stopping = threading.Event()
        self._heard = threading.Event()
        self._stream: Any = None
        self._thread = threading.Thread(target=self._run, name="gateway-serve-calls", daemon=True)

    def start(self, patience_s: float = 2.0) -> None:
        """Subscribe."""
        self._thread.start()
        self._heard.wait(patience_s)

    def stop(self, grace_s: float = 5.0) -> None:
        """Answer no more."""
        self._stopping.set()
        stream = self._stream
        if stream is not None:
            stream.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._thread.join(grace_s)

    def _run(self) -> None:
        backoff = Backoff(0.5)
        channel = admin_channel(self._socket)
        while not self._stopping.is_set():
            with suppress(grpc.RpcError):
                self._subscribe(AdminStub(channel), backoff)
            self._stopping.wait(backoff.next())
        channel.close()

    def _subscribe(self, admin: AdminStub, backoff: Backoff) -> None:
        answers: SimpleQueue[local.Answered | None] = SimpleQueue()
        stream: Any = admin.Serve(iter(answers.get, None))
        self._stream = stream
        if self._stopping.is_set():
            stream.cancel()
        try:
            for asked in stream:
                backoff.reset()
                self._heard.set()
                if asked.id:
                    self._pool.submit(self._answer, asked, answers)
        finally:
            answers.put(None)

    def _answer(self, asked: local.Asked, answers: SimpleQueue[local.Answered | None]) -> None:
        try:
            body = self._handler(IncomingCall(asked.party, asked.method, asked.body))
            answer = local.CallAnswer(body=body)
        except PlatformError as error:
            answer = local.CallAnswer(problem=local.Problem(**vars(problem_of(error))))
        except Exception:  # noqa: BLE001 - the translator between a handler's defect and the wire
            _log.exception("The handler of a call failed", peer=asked.party, method=asked.method)
            fault = ServiceFault(f"The handler of '{asked.method}' failed; its own log says why.")
            answer = local.CallAnswer(problem=local.Problem(**vars(problem_of(fault))))
        answers.put(local.Answered(id=asked.id, answer=answer))
