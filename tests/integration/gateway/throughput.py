"""A trial, not a test: our path beside a bare mTLS gRPC stream and a bare unary call, interleaved in one run.

`python -m tests.integration.gateway.throughput [MEGABYTES] [TURNS]`; prints JSON.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import grpc
import numpy as np
import psutil

from gateway.wire import CHUNK_BYTES
from party.home import PartyHome
from runtime.rpc import LIMITS, server
from tests.fakes.gateway_parties import GUEST, HOST, GatewayProcess, make_contract, make_homes


class _Bare(grpc.GenericRpcHandler):
    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        if details.method == "/bare/unary":
            return grpc.unary_unary_rpc_method_handler(lambda request, context: request)
        return grpc.stream_unary_rpc_method_handler(self._read)

    def _read(self, chunks: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        return b"%d" % sum(len(chunk) for chunk in chunks)


def _serve_bare(root: Path, pipe: Connection) -> None:
    home = PartyHome(root)
    made = server("throughput", 8)
    made.add_generic_rpc_handlers((_Bare(),))
    credentials = grpc.ssl_server_credentials(
        [(home.keys.tls_key_pem, home.keys.tls_cert_pem)],
        "".join(card.tls_certificate for card in home.trusted().values()).encode(),
        require_client_auth=True,
    )
    pipe.send(made.add_secure_port("127.0.0.1:0", credentials))
    made.start()
    pipe.recv()


def _bare_channel(homes: dict[str, PartyHome], port: int) -> grpc.Channel:
    keys = homes["alpha"].keys
    credentials = grpc.ssl_channel_credentials(
        homes["beta"].card.tls_certificate.encode(), keys.tls_key_pem, keys.tls_cert_pem
    )
    return grpc.secure_channel(
        f"127.0.0.1:{port}", credentials, options=[("grpc.ssl_target_name_override", "beta"), *LIMITS]
    )


def main(megabytes: int = 100, turns: int = 5) -> None:
    with tempfile.TemporaryDirectory() as folder:
        homes = make_homes(Path(folder))
        alpha, beta = (GatewayProcess(home).start() for home in homes.values())
        context = get_context("forkserver")
        ours, theirs = context.Pipe()
        bare = context.Process(target=_serve_bare, args=(homes["beta"].root, theirs))
        bare.start()
        channel = _bare_channel(homes, ours.recv())
        stream, unary = channel.stream_unary("/bare/stream"), channel.unary_unary("/bare/unary")
        contract = make_contract()
        for gateway in (alpha, beta):
            gateway.admin().open_job(contract)
        guest, host = alpha.wire(contract, GUEST), beta.wire(contract, HOST)
        beta.admin().serve_calls(lambda call: call.body)
        admin = alpha.admin()
        value = np.random.default_rng(1).normal(size=megabytes * 125_000)
        chunk = memoryview(value).cast("B")
        rows: dict[str, list[float]] = {}
        pids = [os.getpid(), bare.pid, *(gateway.process.pid for gateway in (alpha, beta) if gateway.process)]
        processes = [psutil.Process(pid) for pid in pids]

        def cpu_s() -> float:
            return sum(sum(process.cpu_times()[:2]) for process in processes)

        def note(name: str, started: float, cpu_before: float | None = None) -> None:
            rows.setdefault(name, []).append(time.perf_counter() - started)
            if cpu_before is not None:
                rows.setdefault(f"{name}_cpu", []).append(cpu_s() - cpu_before)

        for turn in range(turns + 1):
            before, started = cpu_s(), time.perf_counter()
            stream(bytes(chunk[at : at + CHUNK_BYTES]) for at in range(0, len(chunk), CHUNK_BYTES))
            note("bare_stream", started, before)
            before, started = cpu_s(), time.perf_counter()
            guest.send(HOST, "update", (turn,), value)
            note("send", started, before)
            got = host.recv(GUEST, "update", (turn,))
            note("executor_to_executor", started, before)
            assert np.array_equal(got, value)  # type: ignore[arg-type]
            guest.checkpointed()
            host.checkpointed()
            for n in range(100):
                started = time.perf_counter()
                unary(b"x" * 100)
                note("bare_unary", started)
                started = time.perf_counter()
                guest.send(HOST, "loss", (turn, n), 0.5)
                note("small_send", started)
                host.recv(GUEST, "loss", (turn, n))
                note("small_executor_to_executor", started)
                started = time.perf_counter()
                admin.call("beta", "echo", b"x")
                note("call", started)
        ours.send("end")
        bare.join(10)
        alpha.stop()
        beta.stop()
    figures = {name: median(values[1 if len(values) <= turns + 1 else 100 :]) for name, values in rows.items()}
    report = {
        "megabytes": megabytes,
        "load": os.getloadavg()[0],
        "seconds": {name: round(value, 5) for name, value in figures.items()},
        "cpu_share_of_bare": round(figures["bare_stream_cpu"] / figures["executor_to_executor_cpu"], 3),
        "cpu_share_of_bare_after_send": round(
            figures["bare_stream_cpu"] / (figures["executor_to_executor_cpu"] - figures["send_cpu"]), 3
        ),
        "share_of_bare": round(figures["bare_stream"] / figures["executor_to_executor"], 3),
        "share_of_bare_after_send": round(
            figures["bare_stream"] / (figures["executor_to_executor"] - figures["send"]), 3
        ),
    }
    sys.stdout.write(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
