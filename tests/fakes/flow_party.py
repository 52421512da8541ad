"""One party whose REST interface is real and whose Flow, gateway and hosts are fakes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from cluster_manager.client import NodeStatus, Place
from flow.client import FlowClient
from flow.policy_book import PolicyBook
from flow.rest.app import create_app
from flow.rest.backends import Backends, UserBook
from flow.rest.pulse import Pulse
from flow.rest.sessions import SessionBook
from flow.rest.visitors import VISITOR_PURPOSE, Visitors
from flow.rest.vital_checks import vitals_of
from flow.service import FlowService
from gateway.client import GatewayHealth, PeerStatus, Stranger
from party.home import SETTINGS_FILE, PartyHome
from party.home_init import create_home
from party.seal import derive
from runtime.addresses import parse_listen
from runtime.errors import PlatformError
from runtime.http.server import HttpServer
from runtime.limits.guessing import Brake, Turns
from storage.client import Store, TableStore
from tests.fakes.clock import FakeClock
from tests.fakes.flow_service import FakeFlowService

PEER = PeerStatus("hospital-b", ("127.0.0.1:9",), "up", 1_767_225_600.0, 2)


@dataclass
class FakeGateway:
    """Knows one peer; counts reloads; may be down."""

    down: PlatformError | None = None
    reloads: int = 0
    peer: PeerStatus = PEER

    def peers(self) -> list[PeerStatus]:
        if self.down:
            raise self.down
        return [self.peer]

    def metrics(self) -> bytes:
        if self.down:
            raise self.down
        return b"archipelago_gateway_messages_total 3.0\n"

    def strangers(self) -> list[Stranger]:
        return []

    def health(self) -> GatewayHealth:
        return GatewayHealth("hospital-a", "127.0.0.1:9", 1, 0)

    def reload(self) -> None:
        self.reloads += 1


@dataclass
class FakeCluster:
    """One idle host, how it keeps executors from what they need not see, and how to their limits."""

    isolation: str = ""
    isolation_text: str = ""
    limits_text: str = ""
    pressure: str = ""
    places: list[Place] = field(default_factory=list)

    def queue(self) -> list[Place]:
        return self.places

    def metrics(self) -> bytes:
        return b"archipelago_cluster_manager_no_capacity_total 0.0\n"

    def nodes(self) -> list[NodeStatus]:
        return [
            NodeStatus(
                node="n1",
                cores=2,
                memory_bytes=1 << 33,
                gpus=0,
                cpu_percent=3.5,
                memory_used=1 << 30,
                executors=("a",),
                isolation=self.isolation,
                isolation_text=self.isolation_text,
                limits_text=self.limits_text,
                pressure=self.pressure,
            )
        ]


OTHERS = ("hospital-b", "coordinator")


@dataclass
class FakeParty:
    """A party to talk to."""

    home: PartyHome
    service: Any  # a FakeFlowService unless the test brings a Flow
    gateway: FakeGateway
    cluster: FakeCluster
    clock: FakeClock
    store: Store
    app: FastAPI = field(init=False)
    server: HttpServer = field(init=False)

    @property
    def tables(self) -> TableStore:
        return self.store.tables

    @cached_property
    def client(self) -> FlowClient:
        return FlowClient.of_home(self.home)

    def client_of(self, user: str, *roles: str) -> FlowClient:
        return self.client.as_user(self.home.user_file.add(user, roles))


@contextmanager
def fake_party(root: Path, name: str = "hospital-a", service: FlowService | None = None) -> Iterator[FakeParty]:
    """The party, served on its own port until the block ends; with a Flow of the test's if it brings one."""
    home = create_home(root / name, name)
    service = service or FakeFlowService()
    party = FakeParty(home, service, FakeGateway(), FakeCluster(), FakeClock(), Store(home.store))
    backends = Backends(
        party=home.party,
        fingerprint=home.card.fingerprint,
        service=service,
        policy=PolicyBook(home.root / SETTINGS_FILE, lambda: (home.party, *OTHERS)),
        store=party.store,
        gateway=party.gateway,
        cluster=party.cluster,
        book=UserBook(home.user_file),
        sessions=SessionBook(home.state("flow") / "sessions.json", party.clock),
        brake=Brake(party.clock),
        turns=Turns(),
        visitors=Visitors(derive(home.master, VISITOR_PURPOSE)),
        pulse=Pulse(service),
        # Nothing is kept: what one test breaks, no other sees.
        vitals=vitals_of(home, service, party.gateway, party.cluster, kept_s=0.0),
        spool=home.state("flow") / "uploads",
        parties=lambda: (home.party, *OTHERS),
        clock=party.clock,
        ask_again_s=0.05,
    )
    party.app = create_app(backends)
    party.server = HttpServer(party.app, parse_listen(home.settings.flow.listen), "flow.listen")
    party.server.start()
    try:
        yield party
    finally:
        party.client.close()
        backends.pulse.stop()
        party.server.stop(5.0)


def job_json(**changes: object) -> bytes:
    """A small job, with some top-level fields changed."""
    job = {
        "schema": 1,
        "name": "breast",
        "initiator": "hospital-a",
        "roles": {"guest": ["hospital-a"], "host": ["hospital-b"], "arbiter": ["coordinator"]},
        "tasks": {
            "train": {"component": "homo_lr@1", "inputs": {"train": "breast/train"}},
            "evaluate": {"component": "evaluate@1", "inputs": {"model": "train.model"}},
        },
    }
    return json.dumps(job | changes).encode()
