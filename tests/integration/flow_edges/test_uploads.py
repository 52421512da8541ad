"""Uploads over REST and by the command: what is refused, how it is said, and that nothing is left behind."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from flow.cli.exit_codes import Exit
from party.errors import Unavailable
from tests.fakes.flow_party import FakeParty
from tests.integration.flow_edges.conftest import Command

ROWS = "id,x\n" + "".join(f"{i},{i}.25\n" for i in range(1000))


def put(party: FakeParty, table: str, content: object, **headers: str) -> httpx.Response:
    return httpx.put(
        f"http://127.0.0.1:{party.server.port}/v1/tables/{table}",
        headers={"Authorization": f"Bearer {party.home.token()}"} | headers,
        content=content,  # type: ignore[arg-type]
        timeout=60,
    )


def spooled(party: FakeParty) -> list[Path]:
    return list((party.home.state("flow") / "uploads").glob("*"))


@pytest.fixture
def small_spool(party: FakeParty) -> Iterator[Path]:
    """Uploads arrive on a disk of one MiB."""
    folder = party.home.state("flow") / "uploads"
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=False)
    if mounted.returncode:
        pytest.skip("this host lets us mount nothing")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_an_upload_on_a_full_disk_is_told_as_such(party: FakeParty, flow: Command, small_spool: Path) -> None:
    file = small_spool.parent / "big.csv"
    file.write_text("id,x\n" + "".join(f"{i},{i}.25\n" for i in range(400_000)))
    with pytest.raises(Unavailable) as full:
        party.client.upload(file, "t/two")
    assert full.value.code == "storage.full"
    assert full.value.message == f"No room left on {small_spool} for table t/two: 6.6 MB needed, 1.0 MB free."
    done = flow("data", "upload", file, "--table", "t/two", "--id", "id")
    assert done.code == Exit.UNAVAILABLE
    assert "No room left on" in done.err
    undeclared = put(party, "t/two", iter([file.read_bytes()]))
    assert (undeclared.status_code, undeclared.json()["code"]) == (503, "storage.full")
    assert spooled(party) == []


def test_a_file_of_any_name_is_taken_and_leaves_nothing(party: FakeParty) -> None:
    for name in ("a" * 300 + ".csv", "%C3%A4" * 100 + ".csv", ".", "..", "/", "%00", "...csv"):
        answer = put(party, "names/any", ROWS, **{"File-Name": name})
        assert answer.status_code == 201, (name, answer.text)
    too_long = put(party, "names/any", ROWS, **{"File-Name": "a" * 2000})
    assert too_long.status_code == 400
    assert "1000 characters" in too_long.json()["message"]
    assert spooled(party) == []
