"""The shape of the house: how large its files and folders are, and the tour through it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from tests.house import ROOT, files, imports, module

MOST_FILES = 15
MEDIAN_LINES = 150
GROWING = {Path("flow/migrations/versions")}  # one more file for each change of the tables


def test_half_of_the_files_are_read_in_a_few_minutes() -> None:
    assert median(len((ROOT / file).read_text().splitlines()) for file in files()) <= MEDIAN_LINES


def test_no_folder_holds_more_files_than_one_can_look_over() -> None:
    counts = Counter(file.parent for file in files() if file.parent not in GROWING)
    assert {str(folder): count for folder, count in counts.items() if count > MOST_FILES} == {}


# --- the tour

TOUR = (ROOT / "docs" / "architecture.md").read_text().partition("## A stranger's tour")[2].partition("\n## ")[0]
LINE = re.compile(r"^\d+\. (?:\*(?P<how>[\w ]+)\* `(?P<what>\S+)`: )?`(?P<file>\S+\.py)`: ", re.MULTILINE)
PATHS = {title: list(LINE.finditer(text)) for title, _, text in (p.partition("\n") for p in TOUR.split("### ")[1:])}
STEPS = [
    pytest.param(before["file"], after["how"], after["what"], after["file"], id=f"{title}: {after['file']}")
    for title, lines in PATHS.items()
    for before, after in pairwise(lines)
]


def test_the_tour_has_five_paths_of_a_dozen_files_at_most() -> None:
    assert len(PATHS) == 5
    for title, lines in PATHS.items():
        assert 2 <= len(lines) <= 12, title
        assert len(lines) == len(re.findall(r"^\d+\. ", TOUR.partition(title)[2].partition("###")[0], re.MULTILINE))
        assert [line["file"] for line in lines if not (ROOT / line["file"]).is_file()] == []


@pytest.mark.parametrize(("before", "how", "what", "after"), STEPS)
def test_each_file_of_the_tour_leads_to_the_next(before: str, how: str | None, what: str | None, after: str) -> None:
    assert LEADS[how](before, str(what), after)


def _name(file: str) -> str:
    return module(Path(file))


def _text(file: str) -> str:
    return (ROOT / file).read_text()


def _names(file: str, what: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(what)}(?!\w)", _text(file)) is not None


@cache
def _reached(start: str) -> frozenset[str]:
    """What a module imports, and what that imports, and the module itself."""
    seen, pending = {start}, [start]
    while pending:
        fresh = imports()[pending.pop()] - seen
        seen |= fresh
        pending += fresh
    return frozenset(seen)


def _both_name(defined: str, before: str, what: str, after: str) -> bool:
    """Whether both files name what a third one defines."""
    return all(_names(file, what) for file in (defined, before, after))


def _is_called(caller: str, what: str, server: str) -> bool:
    """Whether the server's room has such an RPC, and the caller's room comes to it by its client or wire."""
    room = server.split("/")[0]
    protos = "".join(path.read_text() for path in (ROOT / room / "proto").glob("*.proto"))
    doors = {f"{room}.client", f"{room}.wire"}
    callers = [name for name in imports() if name.split(".")[0] == caller.split("/")[0]]
    return f"rpc {what}(" in protos and any(doors & imports()[name] for name in callers)


def _is_joined(before: str, what: str, after: str) -> bool:
    """Whether the file that is said to join the two knows both, or is known by the first."""
    joint = _name(what)
    return _name(after) in _reached(joint) and (_name(before) in _reached(joint) or joint in imports()[_name(before)])


def _is_begun(before: str, what: str, after: str) -> bool:
    """Whether the module that is run is named by the file or what it imports, and is the next or imports it."""
    named = any(f'"{what}"' in _text(str(f)) for f in files() if module(f) in _reached(_name(before)))
    return named and _name(after) in {what} | imports()[what]


LEADS: dict[str | None, Callable[[str, str, str], bool]] = {
    None: lambda before, _, after: _name(after) in imports()[_name(before)],
    "HTTP": lambda before, what, after: what in _text(before) and what in _text(after),
    "RPC": _is_called,
    "stream": lambda before, what, after: _is_called(after, what, before),
    "message": partial(_both_name, "flow/protocol/messages.py"),
    "file": partial(_both_name, "node_manager/folders.py"),
    "table": partial(_both_name, "flow/store/tables.py"),
    "process": _is_begun,
    "given by": _is_joined,
}


@pytest.mark.parametrize(
    ("how", "before", "what", "after"),
    [
        (None, "storage/tables/writer.py", "", "storage/tables/store.py"),
        ("HTTP", "flow/rest_client/jobs.py", "/nothing", "flow/rest/routes/jobs.py"),
        ("RPC", "flow/participant/attempts.py", "Begin", "cluster_manager/manager.py"),
        ("RPC", "storage/client.py", "Start", "cluster_manager/manager.py"),
        ("message", "flow/coordinator/attempt_calls.py", "Withdrawal", "flow/participant/attempts.py"),
        ("process", "node_manager/supervisor/manager.py", "gateway", "node_manager/executor/main.py"),
        ("given by", "storage/client.py", "storage/errors.py", "storage/place.py"),
    ],
)
def test_a_step_that_leads_nowhere_is_seen(how: str | None, before: str, what: str, after: str) -> None:
    assert not LEADS[how](before, what, after)
