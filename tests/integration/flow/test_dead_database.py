"""A party whose database is dead says so, and is well again as soon as it is back."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from flow.errors import StoreUnavailable
from flow.service import FlowService
from flow.store.database import _engine
from flow.store.tables import health
from runtime.addresses import free_port
from tests.fakes.flow_party import fake_party
from tests.fakes.flow_world import World


def tried_ms(flow: FlowService) -> int:
    with flow._database.read() as connection:
        return int(connection.execute(select(health.c.tried_ms)).scalar_one())


def test_a_dead_database_makes_health_503_is_named_and_heals_without_a_restart(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = world.a
    with fake_party(tmp_path / "rest", service=flow) as party:
        url = f"http://127.0.0.1:{party.server.port}/v1/health"

        def database() -> tuple[str, str]:
            room = next(room for room in party.client.status().rooms if room.room == "database")
            return room.state, room.text

        assert httpx.get(url, timeout=60).status_code == 200
        assert database() == ("ok", "sqlite")
        assert tried_ms(flow) > 0  # a row is written: that it can be read is not enough
        dead = _engine(f"mysql+pymysql://flow:secret@127.0.0.1:{free_port()}/flow", answer_s=1)
        with monkeypatch.context() as down:
            down.setattr(flow._database, "_engine", dead)
            with pytest.raises(StoreUnavailable, match="does not answer as it should"):
                flow.try_database()
            answer = httpx.get(url, timeout=60)
            assert (answer.status_code, answer.json()) == (503, {"status": "failing"})
            state, text = database()
            assert (state, "secret" in text) == ("down", False)
            assert text.startswith("Flow's database does not answer as it should: OperationalError")
            assert not party.client.status().healthy
        dead.dispose()
        assert httpx.get(url, timeout=60).status_code == 200
        assert database() == ("ok", "sqlite")
