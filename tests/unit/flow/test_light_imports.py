"""A command that asks a running party starts without Arrow, gRPC, numbers or databases: it is typed often."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"pyarrow", "numpy", "grpc", "sqlalchemy", "torch", "fastapi"}


@pytest.mark.parametrize(
    "module",
    [
        "flow.client",
        "flow.cli.app",
        "flow.cli.job.text",
        "flow.cli.job.watching",
        "flow.cli.data.commands",
        "flow.cli.data.model",
        "flow.cli.party.commands",
        "flow.cli.party.policy",
        "flow.cli.user",
    ],
)
def test_what_asks_a_party_imports_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == []
