"""Keys and cards that several tests of party need."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from party.card import Card, make_card
from party.home import PartyHome
from party.home_init import create_home
from party.ids import party_id
from party.keys import PartyKeys, make_keys

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def _short_folder() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="p-")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def _sockets_of_deep_homes_lie_there(_short_folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home whose path is too long for sockets makes a folder under the temp folder; it must go with the test."""
    monkeypatch.setattr(tempfile, "tempdir", _short_folder)


@pytest.fixture
def make_party() -> Callable[..., tuple[PartyKeys, Card]]:
    """Keys and card of a party with that name, valid from `NOW`."""

    def make(
        name: str = "bob", *, now: datetime = NOW, addresses: tuple[str, ...] = ("10.0.0.2:9370",)
    ) -> tuple[PartyKeys, Card]:
        keys = make_keys(party_id(name), addresses, now=now)
        return keys, make_card(keys, party_id(name), addresses)

    return make


@pytest.fixture
def make_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., PartyHome]:
    """A party's home in the test's folder."""
    monkeypatch.delenv("ARCHIPELAGO_HOME", raising=False)

    def make(name: str = "alice", **options: object) -> PartyHome:
        return create_home(tmp_path / name, name, **options)  # type: ignore[arg-type]

    return make
