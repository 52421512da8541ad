from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.gateway_parties import Pair


@pytest.fixture(scope="package")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = Pair(tmp_path_factory.mktemp("pair"))
    yield made
    made.stop()
