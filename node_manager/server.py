"""The Node Manager as a service on a Unix socket."""

from __future__ import annotations

import grpc

from node_manager.supervisor.config import NodeConfig
from node_manager.supervisor.manager import NodeManager
from node_manager.wire import serve_node
from party.home import PartyHome
from runtime.rpc import unix_server

THREADS = 32
_GRPC_GRACE_S = 0.5


class NodeService:
    """Starts and stops one Node Manager."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._manager: NodeManager | None = None
        self._server: grpc.Server | None = None

    def start(self) -> None:
        """Adopt, watch and serve. Ready when it returns; the warm parent goes on importing meanwhile."""
        server = unix_server(self._config.socket, THREADS)
        self._manager = NodeManager(self._config)
        self._manager.begin()
        serve_node(self._manager, server)
        self._server = server
        server.start()

    def stop(self, grace_s: float) -> None:
        """Start nothing new, end the executors, let readers go."""
        server, self._server = self._server, None
        manager, self._manager = self._manager, None
        if manager is not None:
            manager.go_quiet()
        if server is not None:
            server.stop(_GRPC_GRACE_S).wait()
            self._config.socket.unlink(missing_ok=True)
        if manager is not None:
            manager.close(grace_s)


def serve(home: PartyHome) -> NodeService:
    """The Node Manager of a party's home, not started yet."""
    return NodeService(NodeConfig.of(home))
