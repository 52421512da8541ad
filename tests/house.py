"""What is shipped, read and not run: the modules of every room, and which of them imports which."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = (
    "runtime", "party", "storage", "gateway", "algorithms", "node_manager", "cluster_manager", "flow", "board",
    "launcher", "deploy",
)  # fmt: skip


@cache
def files() -> tuple[Path, ...]:
    """Every file of code that is shipped, relative to the root; generated code left out."""
    found = (path.relative_to(ROOT) for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")))
    return tuple(path for path in found if "_pb2" not in path.name)


def module(file: Path) -> str:
    """The name under which a file is imported."""
    return ".".join(file.with_suffix("").parts).removesuffix(".__init__")


@cache
def imports() -> dict[str, frozenset[str]]:
    """Which modules of ours each one imports: at its top, in a function, or for types only."""
    known = {module(file): file for file in files()}
    return {name: frozenset(_imported((ROOT / file).read_text(), known)) - {name} for name, file in known.items()}


def _imported(text: str, known: Iterable[str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield from (name for name in [whole if whole in known else str(node.module)] if name in known)
