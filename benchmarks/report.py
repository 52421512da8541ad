"""How a benchmark tells its figures: a table for people, JSON with machine and versions for machines."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

RESULTS = Path(__file__).parent / "results"
WIDTH_IN_FILES = 240


def tell(name: str, rows: list[dict[str, Any]], more: Mapping[str, Any] | None = None) -> None:
    """Print the rows as a table and write them to `results/NAME.json`, with what `more` there is to know of them."""
    show(name, rows)
    RESULTS.mkdir(exist_ok=True)
    about = {
        "benchmark": name,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": {p: version(p) for p in ("archipelago-fl", "grpcio", "numpy", "pyarrow", "torch")},
        **(more or {}),
        "rows": rows,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(about, indent=1) + "\n")


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """Print the rows as a table, cut nowhere: folded in a narrow terminal, wide in a file."""
    table = Table(*(Column(name, overflow="fold") for name in rows[0]), title=title)
    for row in rows:
        table.add_row(*(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values()))
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH_IN_FILES
    console.print(table)
