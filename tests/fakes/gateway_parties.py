"""Parties that trust each other, their gateways as processes, and contracts: what the gateway's tests begin with."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from gateway.client import ContractLine, ExecutorWire, GatewayAdmin, JobContract, serve
from party.home import PartyHome
from party.home_init import create_home
from party.ids import Address, new_job_id
from party.trust import trust
from runtime import log
from runtime.clock import SystemClock
from runtime.service import raise_descriptor_limit, run_until_stopped

GUEST = Address.parse("guest:alpha")
HOST = Address.parse("host:beta")
BOTH = frozenset({str(GUEST), str(HOST)})
TASK = "train"


def make_homes(root: Path, names: Iterable[str] = ("alpha", "beta")) -> dict[str, PartyHome]:
    homes = {name: create_home(root / name, name) for name in names}
    for home in homes.values():
        for other in homes.values():
            if other is not home:
                trust(home, other.root / "card.json")
    return homes


def line(
    tag: str, kind: str, protection: str = "plain", max_bytes: int = 1 << 30, **ends: frozenset[str]
) -> ContractLine:
    return ContractLine(tag, ends.get("frm", BOTH), ends.get("to", BOTH), kind, max_bytes, protection)


LINES = (
    line("loss", "float", "plain-scalar", 4096),
    line("update", "array"),
    line("note", "text"),
    line("model", "array", "aggregate-sealed"),
    line("secret", "record", "encrypted"),
    line("small", "array", max_bytes=2000),
    line("one-way", "float", frm=frozenset({str(GUEST)}), to=frozenset({str(HOST)})),
)


def make_contract(job: str = "", lines: tuple[ContractLine, ...] = LINES) -> JobContract:
    return JobContract(job or new_job_id(), "ab" * 32, {TASK: lines})


def open_to_others(root: Path) -> list[str]:
    """Files and folders that somebody else than their owner could open, but for the card, which everybody may have.

    Sockets are not looked at: some are for executors of another user, and the folder around them is private.
    """
    paths = [path for path in (root, *root.rglob("*")) if not path.is_symlink() and not path.is_socket()]
    modes = {path: path.lstat().st_mode for path in paths}
    return [f"{path} {mode:o}" for path, mode in modes.items() if mode & 0o077 and path.name != "card.json"]


class _Told:
    """A gateway that says when it is ready."""

    def __init__(self, home: PartyHome, pipe: Connection) -> None:
        self._service = serve(home)
        self._pipe = pipe

    def start(self) -> None:
        self._service.start()
        self._pipe.send("ready")

    def stop(self, grace_s: float) -> None:
        self._service.stop(grace_s)


def _run(root: Path, pipe: Connection, clock_ahead: timedelta) -> None:
    SystemClock.now = lambda self: datetime.now(UTC) + clock_ahead  # type: ignore[method-assign]
    raise_descriptor_limit()
    home = PartyHome(root)
    log.configure("gateway", home.log_file("gateway"), party=home.party)
    run_until_stopped(_Told(home, pipe), "gateway")


class GatewayProcess:
    """One gateway as a process of its own, forked from one that has imported the room; the home's settings decide."""

    def __init__(self, home: PartyHome, clock_ahead: timedelta = timedelta()) -> None:
        self.home = home
        self.clock_ahead = clock_ahead
        self.process: BaseProcess | None = None

    def start(self) -> GatewayProcess:
        context = get_context("forkserver")
        context.set_forkserver_preload(["tests.fakes.gateway_parties"])
        reading, writing = context.Pipe(duplex=False)
        self.process = context.Process(target=_run, args=(self.home.root, writing, self.clock_ahead))
        self.process.start()
        writing.close()
        assert reading.recv() == "ready", self.log()
        return self

    def kill(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.join(20)

    def stop(self) -> int | None:
        process, self.process = self.process, None
        if process is None:
            return 0
        process.terminate()
        process.join(20)
        return process.exitcode

    def admin(self) -> GatewayAdmin:
        return GatewayAdmin(self.home.socket("gateway-admin"))

    def wire(self, contract: JobContract, address: Address, *, attempt: int = 1, incarnation: int = 0) -> ExecutorWire:
        token = self.admin().issue_token(contract.job, TASK, attempt, str(address), incarnation)
        return ExecutorWire(self.home.socket("gateway"), token)

    def log(self) -> str:
        path = self.home.log_file("gateway")
        return path.read_text() if path.exists() else ""


class Pair:
    """Two parties with running gateways, for a module of tests."""

    def __init__(self, root: Path) -> None:
        self.homes = make_homes(root)
        self.alpha = GatewayProcess(self.homes["alpha"]).start()
        self.beta = GatewayProcess(self.homes["beta"]).start()

    def open(self, contract: JobContract | None = None) -> JobContract:
        contract = self.open_at_alpha(contract)
        self.beta.admin().open_job(contract)
        return contract

    def open_at_alpha(self, contract: JobContract | None = None) -> JobContract:
        contract = contract or make_contract()
        self.alpha.admin().open_job(contract)
        return contract

    def wires(self, contract: JobContract) -> tuple[ExecutorWire, ExecutorWire]:
        return self.alpha.wire(contract, GUEST), self.beta.wire(contract, HOST)

    def stop(self) -> None:
        self.alpha.stop()
        self.beta.stop()
