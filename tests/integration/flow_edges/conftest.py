"""One party whose REST interface is real, and the `flow` command inside this process."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.testing

from flow.cli.app import app
from tests.fakes.flow_party import FakeParty, fake_party


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


class Command:
    """Runs `flow` in this process, for one party."""

    def __init__(self, party: FakeParty) -> None:
        self._environment = {"ARCHIPELAGO_HOME": str(party.home.root), "COLUMNS": "200"}

    def with_environment(self, **variables: str) -> Command:
        """The same with these set too."""
        self._environment |= variables
        return self

    def __call__(self, *words: object, typed: str = "") -> Done:
        runner = typer.testing.CliRunner()
        result = runner.invoke(
            app, [str(word) for word in words], input=typed, env=self._environment, catch_exceptions=False
        )
        return Done(result.exit_code, result.stdout, result.stderr)


@pytest.fixture(scope="module")
def party(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeParty]:
    with fake_party(tmp_path_factory.mktemp("p")) as made:
        yield made


@pytest.fixture
def flow(party: FakeParty) -> Command:
    return Command(party)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A working folder, so that transcripts name files without a path."""
    with contextlib.chdir(tmp_path):
        yield tmp_path
