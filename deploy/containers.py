"""The containers of one party: what each runs, sees, may reach, waits for, and may use.

Pure, but for the size of the host, which stands in for "auto" in party.toml.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import psutil

from deploy.errors import NoHostAddress
from party.settings import PartySettings
from runtime.addresses import HostPort, parse_listen

HOME = "/party"
RUN_DIR = "/run/archipelago"
DATABASE_URL_FILE = "/run/secrets/database_url"
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - inside the container; which host address it is published on is party.toml's
LOOPBACK = "127.0.0.1"
MIB = 1 << 20
NODE_OVERHEAD_MIB = 768  # the Node Manager, and its warm parent with torch imported
HOST_SHARE = 0.75  # of the host's memory for executors, where party.toml says "auto"
SHARED_CPUS = 2


@dataclass(frozen=True, kw_only=True)
class Container:
    """One of the party's own services.

    Attributes:
        name: The service in the compose file; room: the package that it runs.
        health: Targets for `deploy.health`.
        listen: What `listen` says inside this container in sections of party.toml, "gateway", "flow" or "board".
        hidden: Folders of the home that this service has no business with.
        networks: None means no network at all: only Unix sockets.
    """

    name: str
    room: str
    purpose: str
    health: tuple[str, ...]
    listen: Mapping[str, str] = field(default_factory=dict)
    networks: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    incoming: bool = False
    cpus: float = 1
    memory_mib: int = 512
    processes: int = 256
    gpus: int = 0

    @property
    def command(self) -> list[str]:
        """What the container runs."""
        return ["python", "-m", self.room, "--home", HOME, "--log", "-"]

    @property
    def probe(self) -> list[str]:
        """The health check."""
        return ["CMD", "python", "-m", "deploy.health", *self.health]


def shared_cpus() -> int:
    """Cores that each busy service may use beside the executors; an engine refuses more than the host has."""
    return min(SHARED_CPUS, os.cpu_count() or 1)


def with_limits(settings: PartySettings) -> PartySettings:
    """The settings with numbers where the node says "auto", since a container sees the host's size, not its own."""
    node = settings.node
    auto_mib = int(psutil.virtual_memory().total * HOST_SHARE) // MIB
    limits: dict[str, object] = {
        "cores": (os.cpu_count() or 1) if node.cores == "auto" else node.cores,
        "memory": f"{auto_mib}MiB" if node.memory == "auto" else node.memory,
        "gpus": 0 if node.gpus == "auto" else node.gpus,
    }
    return settings.model_copy(update={"node": node.model_copy(update=limits)})


def containers(settings: PartySettings) -> tuple[Container, ...]:
    """The party's services in the order of their start. `settings` come from `with_limits`."""
    gateway, flow, board = (
        parse_listen(section.listen) for section in (settings.gateway, settings.flow, settings.board)
    )
    return (
        Container(
            name="gateway",
            room="gateway",
            purpose="The only door to other parties.",
            health=(_socket("gateway"), f"tcp:{LOOPBACK}:{gateway.port}"),
            listen={"gateway": _everywhere(gateway)},
            networks=("outward",),
            ports=(_published("gateway", gateway),),
            hidden=(f"{HOME}/tokens", f"{HOME}/store"),
            cpus=shared_cpus(),
            memory_mib=1024,
        ),
        _node_manager(settings),
        Container(
            name="cluster-manager",
            room="cluster_manager",
            purpose="Decides where executors run.",
            health=(_socket("cluster"),),
            networks=("outward",) if settings.cluster.nodes else (),
            after=("node-manager",),
            hidden=(f"{HOME}/keys", f"{HOME}/tokens", f"{HOME}/store"),
        ),
        Container(
            name="flow",
            room="flow",
            purpose="Jobs and the REST interface; the command line is `docker compose exec flow flow ...`.",
            health=(f"http://{LOOPBACK}:{flow.port}/v1/health",),
            listen={"flow": _everywhere(flow)},
            networks=("inside", "outward"),
            ports=(_published("flow", flow),),
            after=("mysql", "gateway", "cluster-manager"),
            secrets=("database_url",),
            incoming=True,
            cpus=shared_cpus(),
            memory_mib=1024,
        ),
        Container(
            name="board",
            room="board",
            purpose="Pages for people; asks only Flow.",
            health=(f"http://{LOOPBACK}:{board.port}/",),
            listen={"board": _everywhere(board), "flow": f"flow:{flow.port}"},
            networks=("inside", "outward"),
            ports=(_published("board", board),),
            after=("flow",),
            hidden=(f"{HOME}/tokens", f"{HOME}/store"),
        ),
    )


def _node_manager(settings: PartySettings) -> Container:
    node = settings.node
    remote_store = "://" in settings.store.uri
    return Container(
        name="node-manager",
        room="node_manager",
        purpose="Starts and watches executors, which live in this container and have no network of their own.",
        health=(_socket("node"),),
        networks=("outward",) if remote_store else (),
        hidden=(f"{HOME}/tokens",),
        cpus=float(node.cores),
        memory_mib=(node.memory_bytes or 0) // MIB + NODE_OVERHEAD_MIB,
        processes=4096,
        gpus=int(node.gpus),
    )


def _socket(name: str) -> str:
    return f"unix:{RUN_DIR}/{name}.sock"


def _everywhere(listen: HostPort) -> str:
    return str(HostPort(ANY_ADDRESS, listen.port))


def _published(section: str, listen: HostPort) -> str:
    """Publish on the host address where the service would listen without containers."""
    try:
        address = ipaddress.ip_address(LOOPBACK if listen.host == "localhost" else listen.host)
    except ValueError:
        raise NoHostAddress(
            f"{section}.listen: '{listen.host}' is a name, and ports are published on addresses.",
            hint="Write the IP address of this host on which the port shall be open.",
        ) from None
    return f"{HostPort(str(address), listen.port)}:{listen.port}"
