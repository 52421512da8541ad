"""What every kind of test shares: a clean environment."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

ROOT = Path(__file__).resolve().parent.parent
os.environ["PYTHONPATH"] = str(ROOT)  # processes that a test starts find its fakes whatever their working folder


class _ByFile(LoadFileScheduling):
    """A file's tests run in one process, and so do all files that share the federation of real processes."""

    def _split_scope(self, nodeid: str) -> str:
        shared = "tests/e2e/federation/"
        return shared if nodeid.startswith(shared) else str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByFile:
    """How `make test` spreads the tests over its processes."""
    return _ByFile(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long runs of one kind (fuzzing, matrices, seeds) run where they are asked for: `make soak`."""
    if "soak" in config.getoption("-m"):
        return
    config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("soak")])
    items[:] = [item for item in items if not item.get_closest_marker("soak")]


@pytest.fixture(autouse=True)
def _no_party_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may find the home of a party that the developer runs."""
    for name in [name for name in os.environ if name.startswith("ARCHIPELAGO_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session", autouse=True)
def _short_temporary_folder() -> None:
    """Unix sockets have short paths; a deep temporary folder is seen at once instead of in a strange test."""
    assert len(tempfile.gettempdir()) < 60, "set TMPDIR to a shorter path"
