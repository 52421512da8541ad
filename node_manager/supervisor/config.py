"""What a Node Manager is given when it starts; read once from the party's home and passed down."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from node_manager.allowance import BOUNDS, LogBounds
from node_manager.order import Resources
from node_manager.supervisor.host import find_capacity
from party import seal
from party.home import PartyHome
from party.settings import size_bytes

ALWAYS_PRELOAD = ("sklearn.metrics",)  # used by role functions, slow to import
TASK_KEY_PURPOSE = b"archipelago/task-key/v1"


FIRST_UID, UIDS = 61_184, 4_336  # the range that systemd keeps for users that last as long as their service
STORE_VARIABLES = ("AWS_", "GOOGLE_", "AZURE_")


@dataclass(frozen=True)
class Confinement:
    """What executors must not be or see.

    Attributes:
        uid: Whom they run as where we run as root.
        closed: What they cannot open, wherever it lies.
        variables: Beginnings of names of the services' variables that they need all the same.
    """

    uid: int = FIRST_UID
    closed: tuple[Path, ...] = ()
    variables: tuple[str, ...] = ()

    @staticmethod
    def of(home: PartyHome) -> Confinement:
        """From a party's home: all of it is closed, but for what an order names."""
        chosen = home.settings.node.executor_user
        own = FIRST_UID + zlib.crc32(str(home.root).encode()) % UIDS
        remote = "://" in home.store
        return Confinement(
            uid=own if chosen == "auto" else chosen,
            closed=(home.root, home.run_dir, *(() if remote else (Path(home.store),))),
            variables=STORE_VARIABLES if remote else (),
        )


@dataclass(frozen=True, kw_only=True)
class NodeConfig:
    """One Node Manager.

    Attributes:
        name: The node's name inside the party.
        state: Its own folder: the working folders, and the event logs of jobs that are over.
        socket: Where it serves; doorbell: where executors ring.
        capacity: What orders may use in total.
        preload: Modules that the warm parent imports where installed.
        task_key: The key that seals journal and checkpoints, from job and task.
        confinement: What executors must not be or see.
        heartbeat_s: How often who watches hears the live status.
        log_bounds: What is taken of one executor's event log.
        processes: How many processes an executor may be, with all that it starts.
        disk_bytes: How large its working folder may become.
        groups: Whether control groups may be used where the host has them.
    """

    name: str
    state: Path
    socket: Path
    doorbell: Path
    capacity: Resources
    task_key: Callable[[str, str], bytes] = field(repr=False)
    preload: tuple[str, ...]
    confinement: Confinement = Confinement()
    heartbeat_s: float = 2.0
    log_bounds: LogBounds = BOUNDS
    processes: int = 1024
    disk_bytes: int = 16 << 30
    groups: bool = True

    @staticmethod
    def of(home: PartyHome) -> NodeConfig:
        """From a party's home."""
        node = home.settings.node
        master = home.master
        return NodeConfig(
            name=node.name or str(home.party),
            state=home.state("node"),
            socket=home.socket("node"),
            doorbell=home.socket("node-bell"),
            capacity=find_capacity(
                None if node.cores == "auto" else node.cores,
                node.memory_bytes,
                None if node.gpus == "auto" else node.gpus,
            ),
            preload=(*node.preload, *ALWAYS_PRELOAD),
            confinement=Confinement.of(home),
            processes=node.executor_processes,
            disk_bytes=size_bytes(node.executor_disk),
            task_key=lambda job, task: seal.derive(master, TASK_KEY_PURPOSE, f"{job}/{task}"),
        )
