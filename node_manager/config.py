"""What a Node Manager is given when it starts; read once from the party's home and passed down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from node_manager.host import Capacity, find_capacity
from party import seal
from party.home import PartyHome

DEFAULT_PRELOAD = ("numpy", "pyarrow", "torch")
ALWAYS_PRELOAD = ("sklearn.metrics",)  # used by role functions, slow to import
TASK_KEY_PURPOSE = b"archipelago/task-key/v1"


@dataclass(frozen=True, kw_only=True)
class NodeConfig:
    """One Node Manager.

    Attributes:
        name: The node's name inside the party.
        state: Its own folder: news.sqlite and the working folders.
        socket: Where it serves; doorbell: where executors ring.
        capacity: What orders may use in total.
        preload: Modules that the warm parent imports where installed.
        task_key: The key that seals journal and checkpoints, from job and task.
        keep_on_stop: Leave executors running on an orderly stop, to be adopted by the next Node Manager.
        heartbeat_s: How often a reader of the news hears the live status.
    """

    name: str
    state: Path
    socket: Path
    doorbell: Path
    capacity: Capacity
    task_key: Callable[[str, str], bytes] = field(repr=False)
    preload: tuple[str, ...] = DEFAULT_PRELOAD
    keep_on_stop: bool = False
    heartbeat_s: float = 2.0

    @staticmethod
    def of(home: PartyHome) -> NodeConfig:
        """From a party's home."""
        node = home.settings.node
        master = home.master
        return NodeConfig(
            name=str(home.party),
            state=home.state("node"),
            socket=home.socket("node"),
            doorbell=home.socket("node-bell"),
            capacity=find_capacity(
                None if node.cores == "auto" else node.cores,
                node.memory_bytes,
                None if node.gpus == "auto" else node.gpus,
            ),
            preload=(*node.preload, *ALWAYS_PRELOAD),
            task_key=lambda job, task: seal.derive(master, TASK_KEY_PURPOSE, f"{job}/{task}"),
        )
