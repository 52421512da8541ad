from __future__ import annotations

import pytest

from party.home import PartyHome
from tests.fakes.gateway_parties import make_homes


@pytest.fixture(scope="package")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PartyHome]:
    return make_homes(tmp_path_factory.mktemp("homes"), ("alpha", "beta", "gamma"))
