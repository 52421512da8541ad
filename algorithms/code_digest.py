"""What two parties must have alike to compute together: a component's mathematics by digest, the API by version.

The API is what a component is written against, what carries it from side to side, and words for people. Releases whose
API differs work together as long as each speaks a version that the other knows.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from hashlib import sha256
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, resolve_name
from pathlib import Path

# Goes up when a side of the version before would misread what it is sent, or draw other numbers than all others.
API_VERSION = 1
API_MINIMUM = 1  # the oldest version that this release still speaks
# These modules, and what lies in them. Every other module of this room is mathematics.
API = (
    "algorithms.api",
    "algorithms.code_digest",
    "algorithms.compute",
    "algorithms.kit.disclosure",
    "algorithms.local_run",
    "algorithms.registry",
)


def is_api(module: str) -> bool:
    """Whether a module of this room is no mathematics."""
    return module == "algorithms" or any(f"{module}.".startswith(f"{part}.") for part in API)


def digest_of(modules: Iterable[str]) -> str:
    """SHA-256 of the sources that the modules are made of, the API left out."""
    digest = sha256()
    for name, path in sorted(mathematics(modules).items()):
        digest.update(f"{name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def mathematics(modules: Iterable[str]) -> dict[str, Path]:
    """The files of modules and of what they import, directly or not, by name: from their own packages and this room.

    The API is left out, with what only it imports.
    """
    pending = list(modules)
    packages = {name.split(".")[0] for name in (*pending, __name__)}
    found: dict[str, Path] = {}
    while pending:
        name = pending.pop()
        wanted = name not in found and not is_api(name) and name.split(".")[0] in packages
        spec = _spec(name) if wanted else None
        if spec is None:
            continue
        pending.append(name.rpartition(".")[0])  # importing a module runs its package too
        if spec.origin is not None:
            found[name] = Path(spec.origin)
            pending.extend(_imports(found[name].read_bytes(), spec.parent or "") if spec.origin.endswith(".py") else ())
    return found


@cache
def _imports(source: bytes, package: str) -> tuple[str, ...]:
    """The modules that a module's import statements may name, also those inside functions, as it runs."""
    return tuple(_named(ast.parse(source), package))


def _named(tree: ast.Module, package: str) -> Iterator[str]:
    for node in _that_run(tree):
        if isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), package)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _that_run(tree: ast.Module) -> Iterator[ast.AST]:
    """What is not for type checkers only."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        yield node
        for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        pending += getattr(node, "orelse", ()) if for_types else ast.iter_child_nodes(node)


def _spec(name: str) -> ModuleSpec | None:
    """Where a module lies, found without importing anything; None for what is no module."""
    package = name.rpartition(".")[0]
    if not package:
        return find_spec(name)
    parent = _spec(package)
    if parent is None or parent.submodule_search_locations is None:
        return None
    return PathFinder.find_spec(name, parent.submodule_search_locations)
