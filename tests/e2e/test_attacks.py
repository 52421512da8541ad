"""Strangers and a hostile peer attack a party: it stays up, a job succeeds meanwhile, memory and logs stay bounded."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from launcher.federation import LocalFederation, LocalParty
from runtime.addresses import parse_listen

PARTIES = ("north", "south", "judge", "mallory")
GROWTH_BYTES = 100 << 20
LOG_BYTES = 1 << 20
JOB = {
    "schema": 1,
    "name": "under-fire",
    "initiator": "north",
    "roles": {"guest": ["north"], "host": ["south"], "arbiter": ["judge"]},
    "tasks": {"greet": {"component": "noop@1", "parameters": {"rounds": 3}}},
}


@pytest.fixture(scope="module")
def federation() -> Iterator[LocalFederation]:
    """Three parties that work together, and one that they trust and should not."""
    folder = Path(tempfile.mkdtemp(prefix="apl-siege-"))
    federation = LocalFederation(folder, PARTIES)
    try:
        federation.create()
        federation.up()
        (folder / "job.json").write_text(json.dumps(JOB))
        _job(federation)
        yield federation
    finally:
        federation.down()
        shutil.rmtree(folder, ignore_errors=True)


def _job(federation: LocalFederation) -> None:
    done = federation["north"].run("job", "submit", federation.folder / "job.json", "--watch")
    assert done.returncode == 0, done.stdout + done.stderr


def _services(party: LocalParty) -> dict[psutil.Process, int]:
    """The processes of a party that stay, and what each holds in memory (bytes)."""
    found = {}
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if str(party.home) in words and {"launcher", "gateway"} & set(words):
            found[process] = process.memory_info().rss
    return found


def _log_bytes(party: LocalParty) -> int:
    return sum(file.stat().st_size for file in (party.home / "logs").iterdir())


@contextmanager
def attack(name: str, *words: object) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.fakes.attackers", name, *map(str, words)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            assert process.stdout.readline() == "at full strength\n"
            yield
            assert process.poll() is None
            process.stdin.close()
            process.wait(30)
        finally:
            process.kill()


def _withstands(federation: LocalFederation, name: str, strength: int) -> None:
    south, mallory = federation["south"], federation["mallory"]
    before, logged = _services(south), _log_bytes(south)
    assert before
    listen = parse_listen(south.settings_home().settings.gateway.listen)
    stranger = name in ("half_open", "idle", "garbage")
    where = (listen.host, listen.port) if stranger else (mallory.home, "south")
    with attack(name, *where, strength):
        _job(federation)
        after = _services(south)
    assert after.keys() == before.keys(), "a service ended"
    grown = {" ".join(p.info["cmdline"]): after[p] - before[p] for p in after if after[p] - before[p] > GROWTH_BYTES}
    assert grown == {}
    assert _log_bytes(south) - logged < LOG_BYTES
    _job(federation)


@pytest.mark.parametrize(
    ("name", "strength"),
    [
        ("half_open", 200),
        ("idle", 1000),
        ("garbage", 100),
        ("hanging_streams", 256),
        ("empty_envelopes", 100_000),
        ("proposals", 30),
    ],
)
def test_a_job_succeeds_while_the_party_is_attacked(federation: LocalFederation, name: str, strength: int) -> None:
    _withstands(federation, name, strength)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("name", "strength"),
    [
        ("half_open", 1000),
        ("idle", 5000),
        ("garbage", 1000),
        ("hanging_streams", 256),
        ("empty_envelopes", 500_000),
        ("proposals", 2000),
    ],
)
def test_a_party_withstands_attacks_at_full_strength(federation: LocalFederation, name: str, strength: int) -> None:
    for _ in range(5):
        _withstands(federation, name, strength)


def test_what_hostile_proposals_left_hides_no_job(federation: LocalFederation) -> None:
    south = federation["south"]
    names = {job["name"] for job in south.flow_json("job", "list", "--limit", "1000")}
    assert "under-fire" in names
    assert all(name.isprintable() for name in names)
    assert south.flow_json("party", "status")["healthy"]
