"""A federation of real processes that all end-to-end tests share, with recorded envelopes."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.demo_data import write_breast
from launcher.federation import LocalFederation, LocalParty
from tests.fixtures.distributions import distribution

TRAINERS = ("hospital-a", "hospital-b")
TOYS = {f"toy_{name.lower()}": f"tests.fakes.toy_vertical:{name}" for name in ("SPLIT", "PREDICT")}
PARTIES = (*TRAINERS, "coordinator", "refuser")


def set_setting(party: LocalParty, key: str, value: str) -> None:
    """Change one line of a party's settings."""
    file = party.home / "party.toml"
    text, count = re.subn(rf"(?m)^#? ?{key} = .*$", f"{key} = {value}", file.read_text())
    assert count == 1, f"{key} is {count} times in {file}"
    file.write_text(text)


@pytest.fixture(scope="package")
def federation() -> Iterator[LocalFederation]:
    """Three parties that work together and one that refuses every job; breast cancer uploaded at the trainers.

    A distribution with toys of vertical learning is installed for all of them.
    """
    folder = Path(tempfile.mkdtemp(prefix="apl-e2e-"))
    federation = LocalFederation(folder, PARTIES, policy=["min_protection=plain"])
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", str(distribution(folder / "site", "toys", TOYS)), prepend=os.pathsep)
    try:
        federation.create()
        for party in federation.parties.values():
            (folder / "envelopes" / party.name).mkdir(parents=True)
            set_setting(party, "record_envelopes", f'"{folder / "envelopes" / party.name}"')
        set_setting(federation["refuser"], "accept", '"refuse"')
        federation.up()
        uploads, _ = write_breast(folder, TRAINERS)
        for item in uploads:
            federation[item.party].flow(
                "data", "upload", item.file, "--table", item.table, "--id", "id", "--label", "y"
            )
        yield federation
    finally:
        federation.down()
        patch.undo()
        shutil.rmtree(folder, ignore_errors=True)
