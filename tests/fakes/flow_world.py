"""Several parties' Flows in one process: gateways that are one object, clusters that run scripted outcomes."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from threading import Condition, Lock
from typing import Any, Literal

from algorithms.api.component import SAFE_TRAINERS, Component, RoleSpec
from algorithms.api.conversation import Line, Protection
from algorithms.api.parameters import Parameters
from algorithms.api.ports import Port, PortKind
from cluster_manager.client import NoCapacity, NodeStatus, ReservationExpired, Turn
from flow.hook import Hook
from flow.job.references import OutputInput
from flow.pauses import Pauses
from flow.protocol.messages import Decision, PublishedOutput
from flow.protocol.policy import ModelFacts, Source, TableFacts
from flow.rooms.ports import Rooms
from flow.service import FlowConfig, FlowService
from gateway.calls.calls import MAX_CALL_BYTES
from gateway.client import GatewayHealth, JobContract, NoSubscriber, PeerStatus, PeerUnknown, PeerUnreachable
from gateway.errors import CallTooLarge
from node_manager.client import EventKind, ExecutorEvent, Order, Resources
from node_manager.events import log_name
from party.ids import Address, AttemptId, Role
from party.settings import PolicySettings
from party.users import User, make_user
from runtime.clock import Clock
from runtime.errors import NotFound, PlatformError
from storage.client import KeptFiles, Kind

SCIENTIST = make_user("ann", ["scientist", "operator", "officer"])
HEARD_S = 1_767_225_600.0  # when a party that is down was last heard of
EVERYBODY = frozenset(Role)
TRAINERS = frozenset({Role.GUEST, Role.HOST})


# -- components ------------------------------------------------------------------------------------------------------
class TrainParameters(Parameters):
    rounds: int = 3
    secure: Literal["plain", "paillier"] = "plain"

    def shared(self) -> dict[str, object]:
        return {"secure": self.secure}


class NoParameters(Parameters):
    pass


def _conversation(terms: Any) -> tuple[Line, ...]:
    protection = Protection.ENCRYPTED if terms.parameters.secure == "paillier" else Protection.PLAIN
    return (Line("update", TRAINERS, frozenset({Role.ARBITER}), Kind.ARRAY, 1 << 20, protection, "An update."),)


def _check(terms: Any) -> None:
    from runtime.errors import InvalidInput

    trainers = {p for role, parties in terms.parties.items() if role != Role.ARBITER for p in parties}
    both = trainers & set(terms.parties.get(Role.ARBITER, ()))
    if terms.parameters.secure == "paillier" and both:
        raise InvalidInput(f"{sorted(both)[0]} is arbiter and trainer.", hint="Choose another arbiter.")


def _role(ctx: Any, parameters: Any) -> None:
    raise AssertionError("fake clusters run no code")


TRAIN = Component(
    name="train",
    version=1,
    parameters=TrainParameters,
    inputs={"train": Port(PortKind.TABLE, TRAINERS), "model": Port(PortKind.MODEL, TRAINERS, optional=True)},
    outputs={"model": Port(PortKind.MODEL, TRAINERS), "scores": Port(PortKind.TABLE, TRAINERS)},
    roles={
        Role.GUEST: RoleSpec(_role, least=1, trains=True),
        Role.HOST: RoleSpec(_role, trains=True),
        Role.ARBITER: RoleSpec(_role),
    },
    conversation=_conversation,
    check=_check,
    safe_trainers=SAFE_TRAINERS,
)
SCORE = Component(
    name="score",
    version=1,
    parameters=NoParameters,
    inputs={"model": Port(PortKind.MODEL, TRAINERS), "data": Port(PortKind.TABLE, TRAINERS, optional=True)},
    outputs={"roc": Port(PortKind.REPORT, TRAINERS)},
    roles=dict.fromkeys(TRAINERS, RoleSpec(_role)),
)
NOOP = Component(
    name="nothing", version=1, parameters=NoParameters, inputs={}, outputs={},
    roles=dict.fromkeys(Role, RoleSpec(_role)),
)  # fmt: skip
COMPONENTS = {c.name: c for c in (TRAIN, SCORE, NOOP)}


def component(reference: str) -> Component:
    name, _, version = reference.partition("@")
    if name not in COMPONENTS or version not in ("", "1"):
        raise NotFound(f"There is no component '{reference}'.", hint="Did you mean 'train@1'?")
    return COMPONENTS[name]


# -- gateways --------------------------------------------------------------------------------------------------------
@dataclass
class Hub:
    """All gateways as one object. `down` parties cannot be reached; `fault` may raise before or after a call."""

    down: set[str] = field(default_factory=set)
    handlers: dict[str, Callable[[Any], bytes]] = field(default_factory=dict)
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    before: Callable[[str, str, str], None] = lambda frm, to, method: None
    after: Callable[[str, str, str], None] = lambda frm, to, method: None
    parties: set[str] = field(default_factory=set)

    def call(self, frm: str, to: str, method: str, body: bytes) -> bytes:
        self.calls.append((frm, to, method))
        if len(body) > MAX_CALL_BYTES:
            raise CallTooLarge(f"The call '{method}' has {len(body)} bytes.")
        self.before(frm, to, method)
        if to not in self.parties:
            raise PeerUnknown(f"There is no card of {to}.")
        if frm in self.down or to in self.down:
            raise PeerUnreachable(f"The gateway of {to} does not answer.")
        handler = self.handlers.get(to)
        if handler is None:
            raise NoSubscriber(f"Nobody answers at {to}.")
        answer = handler(Call(frm, method, body))
        self.after(frm, to, method)
        return answer

    def status(self, party: str) -> PeerStatus:
        """How its line is, as every other party sees it."""
        if party not in self.down:
            return PeerStatus(party, ("127.0.0.1:9",), "up", time.time(), 0)
        said = (f"Nobody listens at 127.0.0.1:9 of {party}.", "gateway.peer_not_listening", "It is tried again.")
        return PeerStatus(party, ("127.0.0.1:9",), "down", HEARD_S, 1, *said)

    def count(self, method: str) -> int:
        return sum(m == method for _, _, m in self.calls)


@dataclass(frozen=True)
class Call:
    party: str
    method: str
    body: bytes


class FakeGateway:
    """One party's gateway."""

    def __init__(self, hub: Hub, party: str) -> None:
        self._hub = hub
        self.party = party
        self.open: dict[str, JobContract] = {}
        self.closed: list[str] = []
        self.tokens: list[tuple[str, str, int, str, int]] = []
        self.links: dict[str, PeerStatus] = {}  # where something else is said than whether a party answers
        self.distrusted: set[str] = set()
        self.problem = ""
        hub.parties.add(party)

    def peers(self) -> list[PeerStatus]:
        others = sorted(self._hub.parties - {self.party} - self.distrusted)
        return [self.links.get(other) or self._hub.status(other) for other in others]

    def health(self) -> GatewayHealth:
        return GatewayHealth(self.party, "127.0.0.1:9", 1, len(self.open), self.problem)

    def call(self, party: str, method: str, body: bytes, timeout_s: float) -> bytes:
        return self._hub.call(self.party, party, method, body)

    def serve_calls(self, handler: Callable[[Any], bytes]) -> FakeGateway:
        self._hub.handlers[self.party] = handler
        return self

    def stop(self, grace_s: float = 5.0) -> None:
        self._hub.handlers.pop(self.party, None)

    def open_job(self, contract: JobContract) -> None:
        self.open[contract.job] = contract

    def close_job(self, job: str) -> None:
        self.open.pop(job, None)
        self.closed.append(job)

    def jobs(self) -> list[str]:
        return sorted(self.open)

    def issue_token(self, job: str, task: str, attempt: int, address: str, incarnation: int) -> str:
        self.tokens.append((job, task, attempt, address, incarnation))
        return f"token-{len(self.tokens)}"

    def sign(self, purpose: str, message: bytes) -> bytes:
        return sha256(f"{self.party}/{purpose}/".encode() + message).digest()

    def verify(self, party: str, purpose: str, message: bytes, signature: bytes) -> None:
        if signature != sha256(f"{party}/{purpose}/".encode() + message).digest():
            raise BadSignature(f"Not signed by {party}.")


class BadSignature(PlatformError):
    code = "test.bad_signature"


# -- clusters --------------------------------------------------------------------------------------------------------
Script = Callable[[Order], list[tuple[EventKind, dict[str, object]]]]


def succeeds(order: Order) -> list[tuple[EventKind, dict[str, object]]]:
    return [(EventKind.STARTED, {"pid": 1, "started_s": 0.0}), (EventKind.SUCCEEDED, {"seconds": 0.0})]


def fails(code: str = "algorithms.bad_labels", message: str = "no labels", hint: str = "Upload them.") -> Script:
    return lambda order: [
        (EventKind.STARTED, {"pid": 1}),
        (EventKind.FAILED, {"code": code, "message": message, "hint": hint}),
    ]


def hangs(order: Order) -> list[tuple[EventKind, dict[str, object]]]:
    return [(EventKind.STARTED, {"pid": 1})]


@dataclass(frozen=True)
class Room:
    id: str
    node: str
    address: str
    attempt: AttemptId


class FakeCluster:
    """Room for `cores` now, for `largest` one day; executors that do what the script says, at once."""

    def __init__(self, cores: int = 4) -> None:
        self.cores = cores
        self.largest = 128
        self.node = "node-1"  # where there is room
        self.gone: set[str] = set()  # nodes
        self.script: Script = succeeds
        self.orders: list[Order] = []
        self.ended: list[str] = []
        self.acknowledged: list[str] = []
        self.stopped: list[tuple[str, str | None, int | None]] = []
        self.rooms: dict[str, tuple[Room, int]] = {}
        self.expire_next = 0
        self._running: set[tuple[str, str, int, str]] = set()
        self._events: list[ExecutorEvent] = []
        self._sequences: Counter[tuple[str, str, int, str, int]] = Counter()
        self._change = Condition()
        self._closed = False

    def close(self) -> None:
        with self._change:
            self._closed = True
            self._change.notify_all()

    def reopen(self) -> None:
        self._closed = False

    def reserve(self, attempt: AttemptId, address: str, resources: Resources, lease_s: float) -> Room:
        with self._change:
            for room, _ in self.rooms.values():
                if (room.attempt, room.address) == (attempt, address):
                    return room
            used = sum(cores for _, cores in self.rooms.values())
            if used + resources.cores > self.cores:
                raise NoCapacity(f"needs {resources.cores} cores, {self.cores - used} are free")
            room = Room(f"{attempt}/{address}", self.node, address, attempt)
            self.rooms[room.id] = (room, resources.cores)
            return room

    def reserve_all(
        self, attempt: AttemptId, sizes: Mapping[str, Resources], lease_s: float, turn: Turn
    ) -> dict[str, Room]:
        made: dict[str, Room] = {}
        try:
            for address, size in sizes.items():
                made[address] = self.reserve(attempt, address, size, lease_s)
        except NoCapacity:
            for room in made.values():
                self.release(room.id)
            raise
        return made

    def displaced(self) -> list[str]:
        return [room.id for room, cores in self.rooms.values() if room.node in self.gone and cores <= self.cores]

    def could_fit(self, sizes: Sequence[Resources]) -> str:
        wanted = sum(size.cores for size in sizes)
        return f"{wanted} cores wanted, the largest host has {self.largest}" if wanted > self.largest else ""

    def nodes(self) -> list[NodeStatus]:
        used = sum(cores for _, cores in self.rooms.values())
        made = NodeStatus(node=self.node, cores=self.cores, memory_bytes=1 << 40, gpus=0, reserved_cores=used)
        return [made.model_copy(update={"executors": tuple(self._executors())})]

    def _executors(self) -> Iterator[str]:
        for order in list(self.orders):
            if (order.job, order.task, order.attempt, order.address) in self._running:
                yield log_name(order.job, order.task, order.attempt, order.address, order.incarnation)

    def forget_executors(self) -> None:
        """The node lost its working folders: what ran is killed, and nobody tells."""
        self._running.clear()

    def release(self, reservation_id: str) -> None:
        with self._change:
            self.rooms.pop(reservation_id, None)

    def start(self, reservation_id: str, order: Order) -> None:
        if self.expire_next:
            self.expire_next -= 1
            self.release(reservation_id)
        if reservation_id not in self.rooms:
            raise ReservationExpired(f"The reservation {reservation_id} has expired.")
        self.orders.append(order)
        self._running.add((order.job, order.task, order.attempt, order.address))
        for kind, body in self.script(order):
            self.tell(order, kind, **body)

    def stop(self, job: str, task: str | None = None, attempt: int | None = None) -> None:
        self.stopped.append((job, task, attempt))
        for order in list(self.orders):
            if order.job == job and task in (None, order.task) and attempt in (None, order.attempt):
                key = (order.job, order.task, order.attempt, order.address)
                if key in self._running:
                    self.tell(order, EventKind.LOST, cause="signal 15")

    def acknowledge(self, logs: Sequence[str]) -> None:
        self.acknowledged += logs

    def end_job(self, job: str) -> None:
        self.ended.append(job)
        with self._change:
            self._running = {key for key in self._running if key[0] != job}
            for room_id in [i for i, (room, _) in self.rooms.items() if room.attempt.job == job]:
                del self.rooms[room_id]

    def running(self) -> int:
        return len(self._running)

    def tell(self, order: Order, kind: EventKind, **body: object) -> None:
        key = (order.job, order.task, order.attempt, order.address, order.incarnation)
        with self._change:
            self._sequences[key] += 1
            event = ExecutorEvent(
                schema=1, job=order.job, task=order.task, attempt=order.attempt, address=order.address,
                incarnation=order.incarnation, sequence=self._sequences[key], at_ms=int(time.time() * 1000), kind=kind,
                body=dict(body),
            )  # fmt: skip
            if kind in (EventKind.SUCCEEDED, EventKind.FAILED, EventKind.LOST):
                self._running.discard(key[:4])
            self._events.append(event)
            self._change.notify_all()

    def events(self, since: Mapping[str, int]) -> Iterator[ExecutorEvent]:
        for number in itertools.count():
            with self._change:
                while not self._closed and len(self._events) <= number:
                    self._change.wait()
                if self._closed:
                    return
                event = self._events[number]
            if event.sequence > since.get(event.log, 0):
                yield event


# -- stores ----------------------------------------------------------------------------------------------------------
def _reference_of(attempt: AttemptId, output: str, kind: str) -> str:
    made = OutputInput(task=attempt.task, output=output)
    return made.table(attempt.job) if kind == "table" else made.model(attempt.job)


def digest_of(party: str, reference: str) -> str:
    """That of what a party has made."""
    return sha256(f"{party}/{reference}".encode()).hexdigest()


@dataclass
class FakeJobFiles:
    """What a test says is kept of jobs."""

    kept: dict[str, KeptFiles] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    short: list[bool] = field(default_factory=list)  # of room, at each look; then not

    def jobs(self) -> set[str]:
        return set(self.kept)

    def of(self, job: str) -> KeptFiles:
        return self.kept.get(job, KeptFiles(False, 0, 0, ()))

    def delete_outputs(self, job: str) -> None:
        self.deleted.append(job)

    def is_short(self) -> bool:
        return bool(self.short) and self.short.pop(0)


class FakeStore:
    """Tables by name; every attempt has staged a model for each address that ran."""

    def __init__(self, party: str, *tables: str) -> None:
        self.party = party
        self.tables = {name: TableFacts(reference=f"{name}@1", rows=100) for name in tables}
        self.models: dict[str, ModelFacts] = {}
        self.deleted: dict[str, TableFacts] = {}
        self.made_rows = 100
        self.published: list[AttemptId] = []
        self.discarded: list[AttemptId] = []
        self.forgotten: list[str] = []
        self.kept: list[str] = []
        self.looked = 0
        self.job_files = FakeJobFiles()
        self.checkpoints: dict[tuple[str, str, str], dict[int, list[int]]] = {}  # (job, task, address): attempt: steps

    def table(self, text: str) -> TableFacts:
        name = text.partition("@")[0]
        if any(name.startswith(f"job-{made.job.lower()}/{made.task}-") for made in self.published):
            return self.tables.get(name, TableFacts(reference=f"{name}@1", rows=self.made_rows))
        if name not in self.tables:
            raise NotFound(f"There is no table '{name}'.", hint="Did you mean 'breast/train'?")
        return self.tables[name]

    def model(self, reference: str) -> ModelFacts:
        if reference not in self.models:
            raise NotFound(f"There is no model '{reference}'.")
        return self.models[reference]

    def source(self, reference: str, *, is_table: bool) -> Source:
        if not is_table:
            return self.models[reference].source if reference in self.models else Source(reference)
        name = reference.partition("@")[0]
        return (self.deleted[name] if name in self.deleted else self.table(reference)).source

    def publish(self, name: AttemptId, declared: Mapping[str, Mapping[str, str]]) -> list[PublishedOutput]:
        self.published.append(name)
        return [
            PublishedOutput(
                address=address,
                name=output,
                kind=kind,
                reference=(reference := _reference_of(name, output, kind)),
                digest=digest_of(self.party, reference),
            )
            for address, kinds in declared.items()
            for output, kind in kinds.items()
        ]

    def discard(self, name: AttemptId) -> None:
        self.discarded.append(name)

    def forget(self, job: str) -> None:
        self.forgotten.append(job)
        self.checkpoints = {key: steps for key, steps in self.checkpoints.items() if key[0] != job}

    def keep_checkpoints(self, job: str) -> None:
        self.kept.append(job)

    def checkpointed(self) -> list[str]:
        self.looked += 1
        return sorted({job for job, _, _ in self.checkpoints})

    def held(self, job: str, task: str, address: Address) -> dict[int, list[int]]:
        return self.checkpoints.get((job, task, str(address)), {})


# -- the world -------------------------------------------------------------------------------------------------------
@dataclass
class FakeParty:
    """One party: its rooms stay when its Flow is restarted."""

    name: str
    folder: Path
    hub: Hub
    gateway: FakeGateway
    cluster: FakeCluster
    store: FakeStore
    policy: PolicySettings = field(
        default_factory=lambda: PolicySettings(accept=Decision.AGREE, min_protection="plain", share=("metrics",))
    )
    trusts: set[str] | None = None  # everybody
    lapsed: dict[str, PlatformError] = field(default_factory=dict)
    keep_checkpoints_s: int = 3600
    hook: Hook | None = None
    url: str = ""
    flow: FlowService | None = None
    clock: Clock | None = None
    pauses: Pauses = field(default_factory=Pauses)

    def up(self) -> FlowService:
        config = FlowConfig(
            party=self.name,
            database_url=self.url or f"sqlite:///{self.folder}/{self.name}.sqlite",
            policy=lambda: self.policy,
            parties=lambda: self.hub.parties if self.trusts is None else self.trusts,
            lapsed=lambda: self.lapsed,
            components=component,
            keep_checkpoints_s=self.keep_checkpoints_s,
            hook=self.hook,
            pauses=self.pauses,
        )
        self.cluster.reopen()
        rooms = Rooms(self.gateway, self.cluster, self.store, "gateway.sock", "store")
        self.flow = FlowService(config, rooms, self.clock)
        self.flow.start()
        return self.flow

    def down(self) -> None:
        if self.flow is not None:
            self.cluster.close()
            self.flow.close()
            self.flow = None


class World:
    """Parties `a`, `b`, `c` by default; the first leads the jobs of the tests."""

    def __init__(self, folder: Path, *names: str, pauses: Pauses | None = None) -> None:
        self.hub = Hub()
        self.lock = Lock()
        self.parties = {
            name: FakeParty(
                name,
                folder,
                self.hub,
                FakeGateway(self.hub, name),
                FakeCluster(),
                FakeStore(name, "breast/train"),
                pauses=pauses or Pauses(hold_s=0.2),
            )
            for name in names or ("a", "b", "c")
        }

    def __getitem__(self, name: str) -> FakeParty:
        return self.parties[name]

    @property
    def a(self) -> FlowService:
        flow = self.parties["a"].flow
        assert flow is not None
        return flow

    def up(self) -> World:
        for party in self.parties.values():
            if party.flow is None:
                party.up()
        return self

    def down(self) -> None:
        for party in self.parties.values():
            party.down()

    def submit(self, spec: dict[str, Any], user: User = SCIENTIST, token: str | None = None) -> str:
        return self.a.submit(json.dumps(spec).encode(), user=user, submit_token=token)

    def wait(self, job: str, *states: str, party: str = "a", timeout_s: float = 60.0) -> Any:
        """The job's view once it is in one of the states."""
        return self.until(lambda v: v.state in states, job, party=party, timeout_s=timeout_s)

    def wait_closed(self, job: str, party: str = "a") -> Any:
        return self.until(lambda v: v.closed, job, party=party)

    def until(self, match: Callable[[Any], bool], job: str, *, party: str = "a", timeout_s: float = 60.0) -> Any:
        flow = self.parties[party].flow
        assert flow is not None
        deadline = time.monotonic() + timeout_s
        seen = 0
        while True:
            view = flow.job(job)
            if match(view):
                return view
            left = deadline - time.monotonic()
            assert left > 0, f"still {view.state}: {flow.why(job)} {view}"
            seen = flow.wait_events(seen, min(left, 0.2))


def nothing_job(**settings: object) -> dict[str, Any]:
    """A job of three parties that does nothing."""
    return {
        "schema": 1,
        "name": "nothing",
        "initiator": "a",
        "roles": {"guest": ["a"], "host": ["b"], "arbiter": ["c"]},
        "settings": settings,
        "tasks": {"idle": {"component": "nothing@1"}},
    }


def train_job(**settings: object) -> dict[str, Any]:
    """A job of two tasks, the second needs the first one's model."""
    return {
        "schema": 1,
        "name": "train",
        "initiator": "a",
        "roles": {"guest": ["a"], "host": ["b"], "arbiter": ["c"]},
        "settings": settings,
        "tasks": {
            "train": {"component": "train@1", "inputs": {"train": "breast/train"}, "parameters": {"rounds": 2}},
            "score": {"component": "score@1", "roles": ["guest"], "inputs": {"model": "train.model"}},
        },
    }
