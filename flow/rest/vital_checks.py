"""What the vitals of a party are: its database, its disks, its card, its gateway, its Cluster Manager."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from flow.rest.vitals import KEPT_S, Check, Vitals, disk
from flow.rooms.ports import ClusterPort, GatewayPort
from flow.service import FlowService
from party.home import PartyHome
from runtime import processes
from runtime.disk.files import make_folder
from runtime.disk.room import each_disk, is_full_disk

STORAGE, HOME = "storage", "home"
DISKS = frozenset({STORAGE, HOME})
EXPIRES_SOON = timedelta(days=30)


def vitals_of(
    home: PartyHome, service: FlowService, gateway: GatewayPort, cluster: ClusterPort, kept_s: float = KEPT_S
) -> Vitals:
    """Everything without which this party can do nothing; "storage" comes once for each disk."""
    checks: dict[str, Check] = {"database": service.try_database}
    if "://" not in home.store:
        store = Path(home.store)
        make_folder(store)
        checks[STORAGE] = disk(lambda: [store])
    checks[HOME] = disk(lambda: each_disk(_folders(home)))
    checks["card"] = lambda: card_text(home)
    checks["gateway"] = lambda: _answers(gateway.peers()) or death_text(home)
    checks["cluster-manager"] = lambda: _answers(cluster.nodes())
    return Vitals(checks, kept_s=kept_s)


def has_full(home: PartyHome) -> bool:
    """Whether a disk is full that this party's services write to on this host."""
    store = [] if "://" in home.store else [Path(home.store)]
    return any(map(is_full_disk, each_disk([*store, *_folders(home)])))


def _folders(home: PartyHome) -> list[Path]:
    return [home.root, *sorted((home.root / "state").glob("*"))]


def card_text(home: PartyHome, now: datetime | None = None) -> str:
    """A warning where our card expires soon. Raises CardExpired, CardNotYetValid, BadCard."""
    now = now or datetime.now(UTC)
    card = home.card
    card.check_valid(now)
    until = datetime.fromisoformat(card.valid_until)
    if until - now > EXPIRES_SOON:
        return ""
    return f"It expires at {card.valid_until}: run flow party card --renew, and give it to the other parties."


def death_text(home: PartyHome) -> str:
    """How the gateway died last, if it did since the launcher was started."""
    found = processes.death(home.process_file("gateway-death"))
    return str(found) if found else ""


def _answers(_answer: object) -> str:
    return ""
