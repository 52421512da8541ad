"""Flow as a service of its own: what it holds of the rooms below, and that it lets go of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cluster_manager.client import ClusterClient
from flow.server import FlowServer
from gateway.client import GatewayAdmin
from party.home_init import create_home
from runtime.errors import FileExposed


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was made and closed of the clients of other rooms, as it happens."""
    seen: list[str] = []

    def telling(method: Callable[..., object], what: str) -> Callable[..., object]:
        def told(*arguments: object) -> object:
            seen.append(what)
            return method(*arguments)

        return told

    for kind in (GatewayAdmin, ClusterClient):
        for method in ("__init__", "close"):
            monkeypatch.setattr(kind, method, telling(getattr(kind, method), f"{kind.__name__}.{method}"))
    return seen


def test_one_client_of_each_room_below_is_made_and_closed(tmp_path: Path, calls: list[str]) -> None:
    server = FlowServer(create_home(tmp_path / "a", "a"))
    server.start()
    assert sorted(calls) == ["ClusterClient.__init__", "GatewayAdmin.__init__"]
    server.stop(1.0)
    assert sorted(calls[2:]) == ["ClusterClient.close", "GatewayAdmin.close"]


def test_a_start_that_fails_lets_go_of_the_clients(tmp_path: Path, calls: list[str]) -> None:
    home = create_home(tmp_path / "a", "a", database="mysql+pymysql://u:secret@127.0.0.1:1/flow")
    (home.root / "keys" / "database.url").chmod(0o644)
    with pytest.raises(FileExposed):
        FlowServer(home).start()
    assert sorted(calls[2:]) == ["ClusterClient.close", "GatewayAdmin.close"]
