"""A board over a party whose Flow is a fake, and a browser that is only a cookie jar."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from board.server import BoardServer
from tests.fakes.flow_party import FakeParty, fake_party


class Browser(httpx.Client):
    """Keeps cookies, reads forms."""

    def csrf(self, path: str = "/") -> str:
        found = re.search(r'name="csrf" value="([^"]+)"', self.get(path).text)
        assert found
        return found[1]

    def log_in(self, token: str) -> httpx.Response:
        return self.post("/login", data={"csrf": self.csrf("/login"), "token": token})


@pytest.fixture(scope="module")
def party(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeParty]:
    with fake_party(tmp_path_factory.mktemp("b")) as made:
        yield made


@pytest.fixture(scope="module")
def board(party: FakeParty) -> Iterator[BoardServer]:
    server = BoardServer(party.home)
    server.start()
    yield server
    server.stop(5.0)


@pytest.fixture
def stranger(board: BoardServer) -> Iterator[Browser]:
    with Browser(base_url=f"http://127.0.0.1:{board.port}", timeout=60, trust_env=False) as browser:
        yield browser


@pytest.fixture
def browser(stranger: Browser, party: FakeParty) -> Browser:
    assert stranger.log_in(party.home.token()).status_code == 303
    return stranger
