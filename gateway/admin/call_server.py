"""Answers other parties' Flows: keeps a subscription at the own gateway, and has threads for the handler."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc

from gateway.backoff import Backoff
from gateway.wire import AdminStub, admin_channel, local
from runtime.errors import PlatformError, ServiceFault
from runtime.limits.shares import SharedPool
from runtime.log import get_logger
from runtime.problems import problem_of

_log = get_logger("gateway")


@dataclass(frozen=True)
class IncomingCall:
    """What another party's Flow, or our own, asks ours."""

    party: str
    method: str
    body: bytes


Handler = Callable[[IncomingCall], bytes]


class CallServer:
    """Keeps a subscription at the gateway; runs the handler in its own threads, half of them at most for a caller."""

    def __init__(self, socket_path: Path | str, handler: Handler, threads: int) -> None:
        self._socket = socket_path
        self._handler = handler
        self._pool = SharedPool(threads, max(1, threads // 2), "gateway-answer")
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
        self._pool.shutdown(wait=False)
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
                    self._pool.submit(asked.party, partial(self._answer, asked, answers))
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
