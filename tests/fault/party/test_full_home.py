"""A home on a disk that is full, or may only be read: every command says so, and none says that it has a defect."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer.testing

from flow.cli.app import app
from flow.cli.exit_codes import Exit
from party.home import PartyHome
from party.home_init import create_home, renew_card, save_settings
from party.settings_file import change_policy
from party.trust import trust
from runtime.errors import DiskFull, FileFault, PlatformError
from tests.fakes.disks import fill, make_read_only, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "small", "2m") as folder:
        yield folder


@pytest.fixture
def home(disk: Path) -> PartyHome:
    return create_home(disk / "home", "alice")


@pytest.fixture
def card(tmp_path: Path) -> Path:
    return create_home(tmp_path / "other", "bob").root / "card.json"


def changes(home: PartyHome, card: Path) -> dict[str, Callable[[], object]]:
    return {
        "user": lambda: home.user_file.add("eve", ["scientist"]),
        "password": lambda: home.user_file.set_password("admin", "long enough for anybody 7"),
        "token": lambda: home.user_file.new_token("admin"),
        "card": lambda: renew_card(home),
        "trust": lambda: trust(home, card),
        "settings": lambda: save_settings(home, home.settings),
        "policy": lambda: change_policy(home.root / "party.toml", {"accept": "agree"}),
        "state": lambda: home.state("new"),
        "home": lambda: create_home(home.root.parent / "second", "carol"),
    }


def told(change: Callable[[], object]) -> PlatformError | None:
    try:
        change()
    except PlatformError as error:
        return error
    return None


def content(home: PartyHome) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file() and path.suffix != ".lock"}


def test_every_change_of_a_home_on_a_full_disk_is_told_as_such_and_changes_nothing(
    home: PartyHome, card: Path, disk: Path
) -> None:
    fill(disk)
    before = content(home)
    for what, change in changes(home, card).items():
        error = told(change)
        if what == "state":  # an empty folder takes no room
            continue
        assert isinstance(error, DiskFull), what
        assert f"No room left on {disk} for {disk}/" in error.message, what
    assert {path: data for path, data in content(home).items() if path.name != ".users.lock"} == before


def test_every_change_of_a_home_that_may_only_be_read_is_told_as_such(home: PartyHome, card: Path, disk: Path) -> None:
    make_read_only(disk)
    for what, change in changes(home, card).items():
        error = told(change)
        assert isinstance(error, FileFault), what
        assert "Read-only file system" in error.message, what
        assert str(disk) in error.message, what


def flow(home: PartyHome, *words: str) -> typer.testing.Result:
    runner = typer.testing.CliRunner()
    environment = {"ARCHIPELAGO_HOME": str(home.root), "COLUMNS": "200"}
    return runner.invoke(app, words, env=environment, catch_exceptions=False)


@pytest.mark.parametrize("words", [("party", "up"), ("party", "up", "--detach"), ("party", "card", "--renew")])
def test_a_command_on_a_full_disk_says_so(home: PartyHome, disk: Path, words: tuple[str, ...]) -> None:
    fill(disk)
    done = flow(home, *words)
    assert done.exit_code == Exit.UNAVAILABLE
    assert done.stderr.startswith(f"No room left on {disk} for ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [("party", "up"), ("party", "up", "--detach"), ("party", "card", "--renew")])
def test_a_command_on_a_disk_that_may_only_be_read_says_so(home: PartyHome, disk: Path, words: tuple[str, ...]) -> None:
    make_read_only(disk)
    done = flow(home, *words)
    assert done.exit_code == Exit.UNAVAILABLE
    assert "Read-only file system" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_answer_that_is_written_to_a_full_disk_is_no_defect(home: PartyHome, disk: Path) -> None:
    fill(disk)
    done = flow(home, "party", "card", "--out", str(disk / "card"))
    assert done.exit_code == Exit.UNAVAILABLE
    assert "No room left" in done.stderr


def test_a_service_on_a_full_disk_ends_with_a_sentence(home: PartyHome, disk: Path) -> None:
    home.log_file("cluster_manager")
    fill(disk)
    command = [sys.executable, "-P", "-m", "cluster_manager", "--home", str(home.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100, env={**os.environ})
    assert done.returncode == 6
    assert done.stderr.startswith("cluster_manager: No room left on ")
    assert "Traceback" not in done.stderr
