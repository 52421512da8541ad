"""Where on this host a process may make control groups, from what the kernel says of itself. Pure.

In version 1 each controller has a tree of its own; in version 2 all share one. A container may see only part of a tree.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

_MOUNT_ROOT, _MOUNT_POINT = 3, 4


@dataclass(frozen=True)
class Hierarchy:
    """The group that this process is in: of each controller of version 1, and in the tree of version 2."""

    by_controller: dict[str, Path] = field(default_factory=dict)
    unified: Path | None = None


def own_groups(mountinfo: str, cgroup: str) -> Hierarchy:
    """From the texts of /proc/self/mountinfo and /proc/self/cgroup; what is not in view is left out."""
    within = dict(_memberships(cgroup))
    found: dict[str, Path] = {}
    unified = None
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = [*after.split(" "), "", ""][:3]
        fields = before.split(" ")
        if kind not in {"cgroup", "cgroup2"} or len(fields) <= _MOUNT_POINT:
            continue
        root, point = fields[_MOUNT_ROOT], Path(fields[_MOUNT_POINT])
        for name in ("",) if kind == "cgroup2" else options.split(","):
            place = _below(point, root, within[name]) if name in within else None
            if place is not None and kind == "cgroup2":
                unified = place
            elif place is not None:
                found[name] = place
    return Hierarchy(found, unified)


def _memberships(cgroup: str) -> list[tuple[str, str]]:
    """Controller and group; the empty name is version 2's."""
    rows = [line.split(":", 2) for line in cgroup.splitlines() if line.count(":") >= 2]
    return [(name, group) for _, names, group in rows for name in names.split(",")]


def _below(point: Path, root: str, group: str) -> Path | None:
    """The group's folder; None where the mount does not show it."""
    if ".." in Path(group).parts or ".." in Path(root).parts:
        return None
    top = root.rstrip("/")
    if group != root and not group.startswith(f"{top}/"):
        return None
    return point / group[len(top) :].lstrip("/")
