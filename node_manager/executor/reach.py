"""Which paths an executor may reach: what every Python program needs, and what its own order names. Nothing else.

A rule opens a path with all that is beneath it, so a folder that has the party's home somewhere inside is opened
around it. Where that lies in the party's store, the store says.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from node_manager.executor.kernel import APPEND, CHANGE, DEVICE, OWN, READ, Right
from node_manager.folders import EVENTS, SCRATCH
from node_manager.order import Order
from party.ids import Address, AttemptId, JobId, TaskName
from storage.client import task_paths

Rule = tuple[Path, Right]

JOURNALS = "journals"  # beside the working folders, for a store that is on no host
_PREFIXES = (sys.prefix, sys.base_prefix, sys.exec_prefix)
_SYSTEM = (
    "/usr", "/lib", "/lib64", "/bin", "/sbin", "/proc", "/sys/devices", "/sys/bus", "/sys/class", "/sys/fs/cgroup",
)  # fmt: skip
_ETC = (
    "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "timezone", "nsswitch.conf", "passwd", "group", "hosts",
    "host.conf", "resolv.conf", "services", "protocols", "mime.types", "os-release", "OpenCL", "ssl/certs",
    "ssl/openssl.cnf", "pki/tls/certs", "alternatives",
)  # fmt: skip
_DEVICES = ("null", "zero", "full", "random", "urandom")


def program_rules(closed: Iterable[Path], system: Iterable[str] = _SYSTEM) -> list[Rule]:
    """What a Python program needs of its host; found once, for all executors."""
    shut = [path.resolve() for path in closed]
    roots = {Path(entry).resolve() for entry in (*_PREFIXES, *sys.path, *_imported()) if entry}
    found = [(path, READ) for root in sorted(roots) for path in around(root, shut)]
    found += [(path, READ) for root in system for path in around(Path(root).resolve(), shut)]
    found += [(Path("/etc") / name, READ) for name in _ETC]
    found += [(Path("/dev") / name, DEVICE) for name in _DEVICES]
    found.append((Path("/dev/shm"), CHANGE))  # noqa: S108  where semaphores of multiprocessing live
    return outermost(found)


def outermost(rules: Iterable[Rule]) -> list[Rule]:
    """The rules without those that another, of a folder above, covers: every executor pays for each."""
    known = dict(rules)
    return [
        (path, right) for path, right in known.items() if not any(right in known.get(p, Right(0)) for p in path.parents)
    ]


def _imported() -> list[str]:
    """Where the packages lie that are imported already: an editable one may be on no path."""
    packages = [module for name, module in sys.modules.items() if "." not in name and hasattr(module, "__path__")]
    return [entry for package in packages for entry in package.__path__]


def around(root: Path, closed: Iterable[Path]) -> list[Path]:
    """The root, or what is inside it without the closed paths. A root inside a closed path was meant: it is open."""
    inside = [path for path in closed if path == root or root in path.parents]
    if not inside:
        return [root]
    if root in inside:
        return []
    try:
        children = sorted(root.iterdir())
    except OSError:
        return []
    return [path for child in children if not child.is_symlink() for path in around(child, inside)]


def order_rules(order: Order, folder: Path, gpus: tuple[int, ...]) -> list[Rule]:
    """What the executor of one order needs besides."""
    rules = [(folder, READ), (folder / EVENTS, APPEND)]
    rules += [(path, READ) for path in _read(order)]
    rules += [(path, CHANGE) for path in changed(order, folder)]
    rules.append((folder / SCRATCH, OWN))
    if gpus:
        rules += [(path, DEVICE) for path in sorted(Path("/dev").glob("nvidia*"))]
    return rules


def changed(order: Order, folder: Path) -> list[Path]:
    """Folders that the executor writes into: its scratch, its staged outputs, its task's checkpoints and journals."""
    attempt = AttemptId(JobId(order.job), TaskName(order.task), order.attempt)
    staged = task_paths.of_staging(order.store, attempt, Address.parse(order.address))
    kept = task_paths.of_checkpoints(order.store, order.job, order.task)
    return [folder / SCRATCH, *staged, *(kept or [folder.parent / JOURNALS])]


def _read(order: Order) -> list[Path]:
    tables = [bound.reference for bound in order.inputs.values() if bound.kind == "table"]
    models = [bound.reference for bound in order.inputs.values() if bound.kind == "model"]
    found = [*task_paths.of_tables(order.store, tables), *task_paths.of_models(order.store, models)]
    if order.resume is not None:
        found += task_paths.of_checkpoints(order.store, order.resume.job, order.task)
    return found
