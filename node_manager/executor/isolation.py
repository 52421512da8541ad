"""How executors are kept from what they need not see: decided once in the warm parent, applied in every child.

    user     started as root: a user of their own, and of root's rights only the one to pass through closed folders,
             inside a sandbox that lists what they may open
    sandbox  otherwise, or where root has been given too few rights: the same sandbox, the services' own user
    partly   as one of these, but nothing filters system calls: the network is open
    none     the kernel has no Landlock: nothing keeps component code from what the services may see

A child gives up its rights after the fork and before the first line of component code runs; it cannot take them back.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from node_manager.assignment import IsolationMode, IsolationReport
from node_manager.executor import kernel, syscalls
from node_manager.executor.reach import Rule, changed, order_rules, program_rules
from node_manager.folders import EVENTS, SCRATCH
from node_manager.order import Order

NEEDED = frozenset({kernel.CHOWN, kernel.SETGID, kernel.SETUID, kernel.DAC_READ_SEARCH})
SIGNALS_ABI = 6
SCRATCH_VARIABLES = ("HOME", "TMPDIR", "XDG_CACHE_HOME")


@dataclass(frozen=True)
class Isolation:
    """What every child of this warm parent does to itself.

    Attributes:
        report: The mode, in words too.
        uid: Whom executors run as; None where they stay who the services are.
        rules: What every one of them may reach.
    """

    report: IsolationReport
    uid: int | None
    rules: tuple[Rule, ...]

    @staticmethod
    def find(uid: int, closed: Iterable[Path]) -> Isolation:
        """What this host allows, tried in a child that ends at once. `closed` is what no executor may reach."""
        abi = kernel.landlock_abi()
        if not abi:
            return Isolation(_report(IsolationMode.NONE, NO_LANDLOCK), None, ())
        rules = tuple(program_rules(closed))
        as_user = os.geteuid() == 0 != uid and kernel.capabilities() >= NEEDED
        problem = ""
        for own in (uid, None) if as_user else (None,):
            mode = IsolationMode.SANDBOX if own is None else IsolationMode.USER
            full = Isolation(_report(mode, _text(own, abi)), own, rules)
            problem = full.tried()
            if not problem:
                return full
            partly = Isolation(_report(IsolationMode.PARTLY, f"{UNFILTERED} ({problem}). {FILTER_REMEDY}"), own, rules)
            if not partly.tried():
                return partly
        return Isolation(_report(IsolationMode.NONE, f"{REFUSED} ({problem}). {REMEDY}"), None, ())

    def tried(self) -> str:
        """Why a process cannot be confined here; empty if it can. Forks."""
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            code = 1
            try:
                self._confine([], tcp=False)
                Path("/proc/self/status").read_bytes()
                code = 0
            except OSError as problem:
                os.write(writing, str(problem).encode()[:400])
            finally:
                os._exit(code)
        os.close(writing)
        with os.fdopen(reading, "rb") as said:
            text = said.read().decode(errors="replace")
        ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return text or (f"the process that tried it ended with {ended}" if ended else "")

    def enter(self, order: Order, folder: Path, gpus: tuple[int, ...]) -> None:
        """Make this process, the child, what the order's executor is: nobody who can see more than it needs.

        Raises OSError; then it must not run component code.
        """
        made = changed(order, folder)
        (folder / EVENTS).touch(mode=0o600)
        for path in made:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.uid is not None:
            _give((folder / EVENTS, *made), self.uid)
        if self.report.mode is IsolationMode.NONE:
            kernel.forbid_new_privileges()
        else:
            self._confine(order_rules(order, folder, gpus), tcp="://" in order.store)
        for name in SCRATCH_VARIABLES:
            os.environ[name] = str(folder / SCRATCH)
        tempfile.tempdir = None

    def _confine(self, rules: Iterable[Rule], *, tcp: bool) -> None:
        if self.uid is not None:
            kernel.become(self.uid, kernel.DAC_READ_SEARCH)
        else:
            kernel.hold(None)
        kernel.restrict([*self.rules, *rules], tcp=tcp)
        if self.report.mode is not IsolationMode.PARTLY:
            syscalls.refuse(network=tcp)


NO_LANDLOCK = (
    "not isolated: this kernel has no Landlock, so component code can reach what the party's services can. "
    "Remedy: a kernel of 5.13 or newer with Landlock among its LSMs, or run only components that you trust."
)
REFUSED = "not isolated: the kernel refused to confine a process"
REMEDY = (
    "Remedy: allow the Landlock system calls (container runtimes may filter them), "
    "or run only components that you trust."
)
UNFILTERED = "isolated in part: keys and databases are out of reach, but nothing filters system calls"
FILTER_REMEDY = (
    "So component code can reach the network, and its processes can hide. Remedy: allow seccomp(2) "
    "(container runtimes may filter it), or run only components that you trust."
)
_UNSEEN = "keys, tokens, databases and the services' memory are out of reach"


def _report(mode: IsolationMode, text: str) -> IsolationReport:
    return IsolationReport(mode=mode, text=text)


def _text(uid: int | None, abi: int) -> str:
    if uid is not None:
        return f"own user {uid}, in a sandbox: {_UNSEEN}."
    signals = "" if abi >= SIGNALS_ABI else "; this kernel lets them end the services (Linux 6.12 does not)"
    return f"sandbox: {_UNSEEN}{signals}."


def _give(paths: Iterable[Path], uid: int) -> None:
    """These files and folders, with all inside, belong to the executors' user. Links are not followed."""
    for top in paths:
        os.chown(top, uid, uid, follow_symlinks=False)
        for path in top.rglob("*") if top.is_dir() else ():
            with suppress(FileNotFoundError):
                os.chown(path, uid, uid, follow_symlinks=False)
