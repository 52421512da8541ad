"""Rules of the whole house that neither ruff nor import-linter knows: errors, forbidden calls, docstrings, sizes."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = (
    "runtime",
    "party",
    "storage",
    "gateway",
    "algorithms",
    "node_manager",
    "cluster_manager",
    "flow",
    "board",
    "launcher",
    "deploy",
)
KINDS = {"InvalidInput", "NotFound", "Conflict", "Denied", "Unavailable"}
MAX_LINES = 400
CODE = re.compile(r"[a-z_]+(?:\.[a-z0-9_]+)+")

# Modules that rebuild arbitrary objects from bytes.
FORBIDDEN_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle"}
FORBIDDEN_BUILTINS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_CALLS = {
    "os.system", "os.popen", "torch.load", "torch.save", "torch.jit.load", "yaml.load", "yaml.unsafe_load",
    "yaml.full_load", "pd.read_pickle", "pandas.read_pickle", "subprocess.getoutput", "subprocess.getstatusoutput",
    "tempfile.mktemp", "builtins.eval", "builtins.exec",
}  # fmt: skip
FORBIDDEN_ARGUMENTS = {("shell", True), ("allow_pickle", True), ("weights_only", False)}
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}

# Imports every module of the house in a process of its own, and describes what it finds.
WALK = """
import importlib, json, sys, threading
names = json.load(sys.stdin)
for name in names:
    importlib.import_module(name)
from runtime.errors import PlatformError
kinds, pending = {}, [PlatformError]
while pending:
    kind = pending.pop()
    kinds[kind] = None  # an error of two kinds comes twice
    pending += kind.__subclasses__()
found = []
for kind in kinds:
    found.append({
        "name": f"{kind.__module__}.{kind.__qualname__}",
        "code": kind.__dict__.get("code"),
        "doc": kind.__dict__.get("__doc__") or "",
        "parents": [parent.__name__ for parent in kind.__mro__],
        "module": kind.__module__,
    })
print(json.dumps({"errors": found, "threads": threading.active_count(), "torch": "torch" in sys.modules}))
"""


@cache
def _sources() -> dict[Path, ast.Module]:
    """Every module that is shipped, parsed; generated protobuf code left out."""
    paths = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    return {path: ast.parse(path.read_text(), str(path)) for path in paths if "_pb2" not in path.name}


@cache
def _walk() -> dict[str, Any]:
    """What the process that imported the house says of it."""
    names = [_module(path) for path, tree in _sources().items() if _importable(path, tree)]
    done = subprocess.run(
        [sys.executable, "-c", WALK],
        input=json.dumps(names),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@cache
def _errors() -> list[dict[str, Any]]:
    """Every error class of the house, from the root down."""
    errors: list[dict[str, Any]] = _walk()["errors"]
    return errors


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _importable(path: Path, tree: ast.Module) -> bool:
    """Not a main module, a migration, or one that needs torch at once."""
    if path.name == "__main__.py" or "migrations" in path.parts:
        return False
    heads = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    heads |= {str(node.module) for node in tree.body if isinstance(node, ast.ImportFrom)}
    return not any(head.split(".")[0] == "torch" for head in heads)


def _places(found: list[tuple[Path, ast.AST]]) -> list[str]:
    return [f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}: {ast.unparse(node)[:80]}" for path, node in found]


def _nodes(kind: type[ast.AST]) -> list[tuple[Path, Any]]:
    return [(path, node) for path, tree in _sources().items() for node in ast.walk(tree) if isinstance(node, kind)]


# --- errors


def test_every_error_has_a_code_of_its_own() -> None:
    by_code = defaultdict(list)
    for error in _errors():
        assert error["code"], f"{error['name']} has no `code` of its own"
        by_code[error["code"]].append(error["name"])
    twice = {code: names for code, names in by_code.items() if len(names) > 1}
    assert not twice
    assert len(by_code) > 30


def test_every_code_is_the_room_and_what_went_wrong() -> None:
    for error in _errors():
        room = error["module"].split(".")[0]
        heads = {room, room.removesuffix("_manager")}
        assert CODE.fullmatch(error["code"]), f"{error['name']}: {error['code']}"
        if error["module"] != "runtime.errors" or not error["code"].startswith("platform."):
            assert error["code"].split(".")[0] in heads, f"{error['name']}: {error['code']} does not begin with {room}"


def test_every_error_says_in_a_sentence_what_it_means() -> None:
    for error in _errors():
        first = error["doc"].strip().split("\n")[0]
        assert len(first) > 10, f"{error['name']} has no docstring of its own"
        assert first.endswith("."), f"{error['name']}: {first}"


def test_no_error_is_of_two_kinds_at_once() -> None:
    for error in _errors():
        kinds = KINDS & set(error["parents"])
        assert len(kinds) <= 1, f"{error['name']} is {' and '.join(sorted(kinds))}"


def test_the_tree_on_top_of_a_rooms_errors_is_that_of_its_classes() -> None:
    for path, tree in _sources().items():
        if path.name == "errors.py" and path.parent.name != "rest":  # which answers with them, and has none
            drawn = _drawn(str(ast.get_docstring(tree)))
            classes = {
                node.name: ast.unparse(node.bases[0])
                for node in tree.body
                if isinstance(node, ast.ClassDef) and node.bases
            }
            roots = KINDS | {"PlatformError"}
            named = {name: parent for name, parent in drawn.items() if name not in roots}
            assert named == {name: base for name, base in classes.items() if name not in roots}, path


def _drawn(text: str) -> dict[str, str]:
    """Each name of a tree, by the indents of its lines, with the name above it."""
    above: list[tuple[int, str]] = []
    found = {}
    for indent, name in re.findall(r"^( *)([A-Z][A-Za-z]+)(?:  .*)?$", text, re.MULTILINE):
        above = [(depth, parent) for depth, parent in above if depth < len(indent)]
        found[name] = above[-1][1] if above else ""
        above.append((len(indent), name))
    return found


def test_importing_the_house_starts_no_thread_and_needs_no_torch() -> None:
    assert _walk()["threads"] == 1
    assert _walk()["torch"] is False


# --- what no shipped file does


def test_no_file_imports_a_module_that_rebuilds_objects_from_bytes() -> None:
    found: list[tuple[Path, ast.AST]] = []
    for path, node in _nodes(ast.Import):
        found += [(path, node) for alias in node.names if alias.name.split(".")[0] in FORBIDDEN_MODULES]
    for path, node in _nodes(ast.ImportFrom):
        found += [(path, node)] if str(node.module).split(".")[0] in FORBIDDEN_MODULES else []
    assert _places(found) == []


def test_no_file_runs_text_as_code_or_loads_objects() -> None:
    assert _places([(path, node) for path, node in _nodes(ast.Call) if _is_forbidden(node)]) == []


def test_no_file_imports_a_forbidden_function_by_name() -> None:
    forbidden = {tuple(call.rsplit(".", 1)) for call in FORBIDDEN_CALLS}
    found = [
        (path, node)
        for path, node in _nodes(ast.ImportFrom)
        if any((str(node.module), alias.name) in forbidden for alias in node.names)
    ]
    assert _places(found) == []


@pytest.mark.parametrize(
    "text",
    [
        "eval('1')",
        "exec(code)",
        "torch.load(path)",
        "yaml.load(text)",
        "subprocess.run(line, shell=True)",
        "numpy.load(path, allow_pickle=True)",
        "os.system('ls')",
    ],
)
def test_the_scan_sees_what_it_looks_for(text: str) -> None:
    (call,) = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    assert _is_forbidden(call)


@pytest.mark.parametrize(
    "text", ["re.compile('a')", "model.eval()", "session.execute(q)", "safetensors.load(b)", "json.load(f)"]
)
def test_the_scan_leaves_harmless_calls_alone(text: str) -> None:
    (call,) = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    assert not _is_forbidden(call)


def _is_forbidden(call: ast.Call) -> bool:
    if isinstance(call.func, ast.Name) and call.func.id in FORBIDDEN_BUILTINS:
        return True
    if ast.unparse(call.func) in FORBIDDEN_CALLS:
        return True
    given = {(k.arg, k.value.value) for k in call.keywords if k.arg and isinstance(k.value, ast.Constant)}
    return any(argument in given for argument in FORBIDDEN_ARGUMENTS)


ARROW_READERS = {
    "open_stream", "open_file", "read_schema", "read_message", "read_record_batch", "read_tensor", "MessageReader",
    "RecordBatchStreamReader", "RecordBatchFileReader", "ParquetFile", "ParquetDataset", "read_table", "read_pandas",
    "read_metadata", "read_feather", "ORCFile", "FileSystemDataset", "deserialize_pandas",
}  # fmt: skip
ARROW_MODULES = {"ipc", "parquet", "feather", "orc", "dataset", "pa", "pyarrow"}
MAY_READ_ARROW = {"storage/frames.py", "storage/intake/foreign.py"}


def _reads_arrow(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):
        parts = str(node.module).split(".")
        names = {alias.name for alias in node.names}
        return parts[0] == "pyarrow" and (len(parts) > 1 or bool(names & {"feather", "orc", "dataset"}))
    if not isinstance(node, ast.Attribute) or node.attr not in ARROW_READERS:
        return False
    return ast.unparse(node.value).split(".")[-1] in ARROW_MODULES


def test_arrow_and_parquet_bytes_are_opened_only_where_they_are_checked() -> None:
    """`storage.frames` for bytes of parties, executors and the store; `storage.intake.foreign` for uploads."""
    found = [place for kind in (ast.Attribute, ast.ImportFrom) for place in _nodes(kind) if _reads_arrow(place[1])]
    seen = {str(path.relative_to(ROOT)) for path, _ in found}
    assert _places([place for place in found if str(place[0].relative_to(ROOT)) not in MAY_READ_ARROW]) == []
    assert seen == MAY_READ_ARROW


def test_uploaded_arrow_and_parquet_files_are_read_in_a_process_of_their_own() -> None:
    users = {path for path, node in _nodes(ast.ImportFrom) if node.module == "storage.intake.foreign"}
    assert users == {ROOT / "storage" / "intake" / "reader.py"}


@pytest.mark.parametrize(
    "text",
    ["ipc.open_file(f)", "pa.ipc.open_stream(f)", "from pyarrow.parquet import ParquetFile", "parquet.read_table(p)"],
)
def test_the_scan_for_arrow_sees_what_it_looks_for(text: str) -> None:
    assert any(_reads_arrow(node) for node in ast.walk(ast.parse(text)))


def test_what_executors_made_is_removed_by_what_takes_any_depth() -> None:
    """`runtime.disk.trees`: a tree may be deeper than any path, and than the functions of the library can go."""
    rooms = {"storage", "node_manager"}
    found = [place for kind in (ast.Attribute, ast.Name, ast.alias) for place in _nodes(kind)]
    assert {
        f"{path.relative_to(ROOT)}: {ast.unparse(node)}"
        for path, node in found
        if path.relative_to(ROOT).parts[0] in rooms and "rmtree" in ast.unparse(node)
    } == set()


# --- what comes from outside

# Rooms and files whose models are read from the wire: a number in them has bounds (runtime/bounds.py) or its own.
WIRE_MODELS = ("gateway/",)


def test_every_number_of_a_message_has_bounds() -> None:
    bare = [
        f"{path.relative_to(ROOT)}:{field.lineno}: {ast.unparse(field)}"
        for path, tree in _sources().items()
        if str(path.relative_to(ROOT)).startswith(WIRE_MODELS)
        for model in ast.walk(tree)
        if isinstance(model, ast.ClassDef) and _is_model(model)
        for field in model.body
        if isinstance(field, ast.AnnAssign) and _has_bare_number(field)
    ]
    assert bare == []


@pytest.mark.parametrize(
    ("field", "bare"),
    [
        ("size: int", True),
        ("steps: tuple[int, ...]", True),
        ("loss: float | None = None", True),
        ("size: int = Field(description='x')", True),
        ("size: int = Field(ge=0, le=7)", False),
        ("size: Annotated[int, Field(ge=0, le=7)]", False),
        ("size: Count", False),
        ("names: dict[str, Count]", False),
    ],
)
def test_the_scan_sees_numbers_without_bounds(field: str, bare: bool) -> None:
    (found,) = ast.parse(field).body
    assert isinstance(found, ast.AnnAssign)
    assert _has_bare_number(found) is bare


def _is_model(model: ast.ClassDef) -> bool:
    """Whether it looks like a model of pydantic: it is one by name, or derives from a class of its module that is."""
    return any(ast.unparse(base) in {"BaseModel", "Message", "_Strict", "_Letter", "_Section"} for base in model.bases)


def _has_bare_number(field: ast.AnnAssign) -> bool:
    if isinstance(field.value, ast.Call) and {"ge", "le"} <= {word.arg for word in field.value.keywords}:
        return False
    pending: list[ast.AST] = [field.annotation]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Annotated":
            continue
        if isinstance(node, ast.Name) and node.id in {"int", "float"}:
            return True
        pending += ast.iter_child_nodes(node)
    return False


# --- form


def test_every_module_says_what_it_is() -> None:
    empty = [str(path.relative_to(ROOT)) for path, tree in _sources().items() if not ast.get_docstring(tree)]
    assert empty == []


def test_no_module_is_named_for_everything() -> None:
    vague = [str(path.relative_to(ROOT)) for path in _sources() if path.stem in VAGUE_NAMES]
    assert vague == []


def test_no_module_is_a_giant() -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in _sources()}
    assert {path: count for path, count in lines.items() if count > MAX_LINES} == {}


# Modules whose classes are what another party, a job.json or an executor may send.
FROM_OUTSIDE = ("flow/protocol/messages.py", "flow/job/spec.py")


def test_what_comes_from_outside_has_bounds() -> None:
    """A field is never a bare number or text: `runtime.bounds` and `flow.job.texts` have types with limits."""
    bare = []
    for name in FROM_OUTSIDE:
        for kind in [node for node in _sources()[ROOT / name].body if isinstance(node, ast.ClassDef)]:
            for field in [node for node in kind.body if isinstance(node, ast.AnnAssign)]:
                bare += [
                    (ROOT / name, field) for part in _unbounded(field.annotation) if part in ("int", "float", "str")
                ]
    assert _places(bare) == []


STORED = ("Proposal", "Manifest", "SignedAnswer")


def test_what_an_older_release_stored_of_a_job_is_read_in_one_place() -> None:
    """`flow.store.stored` names what today's bounds refuse; another reader would fail as a fault of ours."""
    calls = [
        place for place in _nodes(ast.Attribute) if place[1].attr in ("model_validate_json", "model_validate")
        and ast.unparse(place[1].value) in STORED
    ]  # fmt: skip
    assert _places(calls) == []


def _unbounded(annotation: ast.expr) -> list[str]:
    """The names in an annotation that no `Annotated` gives limits to."""
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Annotated":
        return []
    if isinstance(annotation, ast.Name):
        return [annotation.id]
    return [
        name for child in ast.iter_child_nodes(annotation) if isinstance(child, ast.expr) for name in _unbounded(child)
    ]


def test_every_room_has_a_door_or_is_party() -> None:
    doors = {
        "storage": "client",
        "gateway": "client",
        "node_manager": "client",
        "cluster_manager": "client",
        "flow": "client",
    }
    for room, door in doors.items():
        tree = _sources()[ROOT / room / f"{door}.py"]
        names = [
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        ]
        assert "__all__" in names, f"{room}/{door}.py does not say what others may use"


def test_tests_have_a_package_at_every_level() -> None:
    """Without one, `tests/unit/flow` would shadow the real `flow`."""
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py")}
    missing = [str(folder.relative_to(ROOT)) for folder in sorted(folders) if not (folder / "__init__.py").is_file()]
    assert missing == []
