"""One item of the cluster's stream of news."""

from __future__ import annotations

from dataclasses import dataclass

from node_manager.client import ExecutorEvent


@dataclass(frozen=True)
class ClusterNews:
    """One executor event under the cluster's own sequence."""

    sequence: int
    event: ExecutorEvent
