"""The example that a newcomer tries."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flow.cli.job.example import FILES, JOB, write_example
from flow.errors import FileThere

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_the_job_is_the_one_among_the_examples() -> None:
    assert json.loads((EXAMPLES / "own_csv" / "job.json").read_text()) == JOB


def test_the_files_are_the_same_each_time(tmp_path: Path) -> None:
    first, second = write_example(tmp_path / "a"), write_example(tmp_path / "b")
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]
    for name, rows in FILES.items():
        lines = (tmp_path / "a" / name).read_text().splitlines()
        defaulted = sum(line.split(",")[1] == "1" for line in lines)
        assert len(lines) == rows + 1
        assert 0.15 < defaulted / rows < 0.6


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text("mine")
    with pytest.raises(FileThere, match=r"job\.json is there already"):
        write_example(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["job.json"]
