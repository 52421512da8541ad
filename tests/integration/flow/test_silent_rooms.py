"""A person who looks at a party does not wait for a room of it that is stopped, and takes calls all the same."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from cluster_manager.client import ClusterClient
from flow.client import FlowClient, FlowUnreachable
from flow.rest_client import http
from gateway.client import GatewayAdmin
from runtime.rpc import LOOK_S, unix_server


class Deadlines(grpc.GenericRpcHandler):
    """Answers every call with an empty message, and keeps how long its caller would have waited."""

    def __init__(self) -> None:
        self.seen_s: list[float] = []

    def service(self, _details: object) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(self._answer)

    def _answer(self, _request: bytes, context: grpc.ServicerContext) -> bytes:
        self.seen_s.append(context.time_remaining())
        return b""


@pytest.fixture
def deadlines(tmp_path: Path) -> Iterator[Deadlines]:
    found = Deadlines()
    server = unix_server(tmp_path / "room", 1)
    server.add_generic_rpc_handlers((found,))
    server.start()
    yield found
    server.stop(0).wait()


@pytest.mark.parametrize("look", [GatewayAdmin.peers, GatewayAdmin.strangers, GatewayAdmin.health])
def test_no_look_at_the_gateway_waits_long(
    deadlines: Deadlines, tmp_path: Path, look: Callable[[GatewayAdmin], object]
) -> None:
    gateway = GatewayAdmin(tmp_path / "room")
    look(gateway)
    gateway.close()
    assert max(deadlines.seen_s) < 2 * LOOK_S  # gRPC rounds a deadline up on its way


@pytest.mark.parametrize("look", [ClusterClient.nodes, ClusterClient.queue])
def test_no_look_at_the_cluster_manager_waits_long(
    deadlines: Deadlines, tmp_path: Path, look: Callable[[ClusterClient], object]
) -> None:
    cluster = ClusterClient(tmp_path / "room")
    look(cluster)
    cluster.close()
    assert max(deadlines.seen_s) < 2 * LOOK_S  # gRPC rounds a deadline up on its way


def test_a_flow_that_takes_connections_and_does_not_answer_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LOOK_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as stopped:
        address = f"http://127.0.0.1:{stopped.getsockname()[1]}"
        with FlowClient(address) as flow, pytest.raises(FlowUnreachable, match=r"takes connections .* does not answer"):
            flow.status()
