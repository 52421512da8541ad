"""The Cluster Manager as a service on a Unix socket."""

from __future__ import annotations

from pathlib import Path

import grpc

from cluster_manager.manager import GONE_S, ClusterManager
from cluster_manager.wire import serve_cluster
from party.home import PartyHome
from runtime.rpc import unix_server

THREADS = 32
_GRPC_GRACE_S = 0.5


class ClusterService:
    """Starts and stops one Cluster Manager."""

    def __init__(self, socket: Path, database: Path, nodes: list[str], gone_s: float = GONE_S) -> None:
        self._socket = socket
        self._database = database
        self._nodes = nodes
        self._gone_s = gone_s
        self._manager: ClusterManager | None = None
        self._server: grpc.Server | None = None

    def start(self) -> None:
        """Serve, and watch the nodes; a node that is not there yet is waited for in the background."""
        server = unix_server(self._socket, THREADS)
        self._manager = ClusterManager(self._database, self._nodes, self._gone_s)
        self._manager.begin()
        serve_cluster(self._manager, server)
        self._server = server
        server.start()

    def stop(self, grace_s: float) -> None:
        """Let readers and nodes go; what runs goes on."""
        server, self._server = self._server, None
        manager, self._manager = self._manager, None
        if manager is not None:
            manager.go_quiet()
        if server is not None:
            server.stop(min(grace_s, _GRPC_GRACE_S)).wait()
            self._socket.unlink(missing_ok=True)
        if manager is not None:
            manager.close()


def serve(home: PartyHome) -> ClusterService:
    """The Cluster Manager of a party's home, not started yet."""
    nodes = list(home.settings.cluster.nodes) or [f"unix:{home.socket('node')}"]
    database = home.state("cluster") / "cluster.sqlite"
    return ClusterService(home.socket("cluster"), database, nodes, home.settings.cluster.node_silent_s)
