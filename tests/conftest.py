"""What every kind of test shares: a clean environment."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
os.environ["PYTHONPATH"] = str(ROOT)  # processes that a test starts find its fakes whatever their working folder


@pytest.fixture(autouse=True)
def _no_party_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may find the home of a party that the developer runs."""
    for name in [name for name in os.environ if name.startswith("ARCHIPELAGO_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session", autouse=True)
def _short_temporary_folder() -> None:
    """Unix sockets have short paths; a deep temporary folder is seen at once instead of in a strange test."""
    assert len(tempfile.gettempdir()) < 60, "set TMPDIR to a shorter path"
