"""What a Node Manager tells about its host. Pure data, versioned."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from node_manager.order import Resources


class HeldRoom(BaseModel):
    """The room of an executor that runs, as its Cluster Manager has reserved it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    reservation: str
    job: str
    task: str
    attempt: int
    address: str
    resources: Resources


class NodeStatus(BaseModel):
    """One host: what it can bear and how busy it is now.

    Attributes:
        node: Its name inside the party.
        cores, memory_bytes, gpus: What orders may use in total.
        cpu_percent, memory_used: The whole host's load now.
        gpu_percent: How busy each GPU is; empty where that is not known.
        executors: Working folders (`job/task-attempt-role-party-iN`) of those that run now.
        held: The rooms that they run in, as far as their orders name them.
        isolation: How executors are kept from what they need not see: "user", "sandbox", "partly", "none"; or empty.
        isolation_text: The same in words, with a remedy where there is none.
        limits_text: How executors are held to their limits, in words.
        pressure: Why it takes no more executors for now, in words; empty if it does.
        disk_full: Whether so little of its disk is free that those which run wait for room.
        stopped: Those of them that a signal has stopped; parent_stopped: whether one has stopped the warm parent.
        warm: Whether the warm parent has finished its imports.
        state: "up", or "silent" when its Cluster Manager has not heard from it lately, "gone" when not for long.
        reserved_cores, reserved_memory_bytes, reserved_gpus: Filled in by the Cluster Manager.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    schema_version: int = Field(default=1, alias="schema")
    node: str
    cores: int
    memory_bytes: int
    gpus: int
    cpu_percent: float = 0.0
    memory_used: int = 0
    gpu_percent: tuple[float, ...] = ()
    executors: tuple[str, ...] = ()
    held: tuple[HeldRoom, ...] = ()
    stopped: tuple[str, ...] = ()
    parent_stopped: bool = False
    warm: bool = False
    isolation: str = ""
    isolation_text: str = ""
    limits_text: str = ""
    pressure: str = ""
    disk_full: bool = False
    state: str = "up"
    reserved_cores: int = 0
    reserved_memory_bytes: int = 0
    reserved_gpus: int = 0

    @property
    def capacity(self) -> Resources:
        """What orders may use in total."""
        return Resources(cores=self.cores, memory_bytes=self.memory_bytes, gpus=self.gpus)

    @property
    def reserved(self) -> Resources:
        """What is promised of that."""
        return Resources(cores=self.reserved_cores, memory_bytes=self.reserved_memory_bytes, gpus=self.reserved_gpus)
