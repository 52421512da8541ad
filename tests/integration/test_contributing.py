"""CONTRIBUTING's worked example, as it stands there: installed under its entry point, tested, and run as a job."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from algorithms.registry import GROUP
from tests.fixtures.distributions import distribution

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with the files that CONTRIBUTING shows, and what installing them would leave."""
    for name, content in re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", TEXT, re.DOTALL):
        (tmp_path / name).write_text(content)
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]
    return distribution(tmp_path, project["name"].replace("-", "_"), project["entry-points"][GROUP])


def commands() -> list[str]:
    """What CONTRIBUTING says to type, but for the installing."""
    block = re.search(r"<!-- run: row_count -->\n```sh\n(.*?)```", TEXT, re.DOTALL)
    assert block is not None
    return [line for line in block[1].splitlines() if "pip install" not in line]


def test_the_worked_example_is_tested_and_runs_as_a_job(package: Path) -> None:
    bin_folder = Path(sys.executable).parent
    environment = os.environ | {
        "PYTHONPATH": f"{package}{os.pathsep}{ROOT}",
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["sh", "-ec", "\n".join(commands())],
        cwd=package,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (report,) = (package / "results" / "bank-b").glob("count.total*.json")
    rows = len((package / "files" / "loans_a.csv").read_text().splitlines()) - 1
    assert json.loads(report.read_text())["body"] == {"rows": 2 * ((rows + 5) // 10 * 10)}
