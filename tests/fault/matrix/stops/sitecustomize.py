"""Stops a process exactly where a test wants to kill something. Python imports this into every process of a party.

A point is named after what the code calls it: an event that Flow records (`attempt.running`), or what an executor does
(`send update 5`, `checkpoint 5`). The test writes which one it waits for into the party's file; the process that comes
to it stops as a whole (SIGSTOP), before or after it, until the test lets it go on or kills it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial, wraps
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

FILE = Path(os.environ["PYTHON_STOPS"])  # executors get the variables whose names begin like that
_wanted: dict[str, str] = {}


def read() -> None:
    """What is waited for now. An executor reads it when it begins: later it may open no file."""
    _wanted.clear()
    if FILE.exists():
        _wanted.update(json.loads(FILE.read_text()))


def stop(point: str, when: str) -> None:
    """Stop here if this is what is waited for, once."""
    if _wanted and point == _wanted["point"] and when == _wanted["when"]:
        _wanted.clear()
        os.kill(os.getpid(), signal.SIGSTOP)


def around(kind: type, method: str, point: Callable[..., str]) -> None:
    """Stop before and after a method, at the point that its arguments name."""
    plain = getattr(kind, method)

    @wraps(plain)
    def stopping(self: Any, *arguments: Any, **named: Any) -> Any:
        here = point(*arguments)
        stop(here, "before")
        result = plain(self, *arguments, **named)
        stop(here, "after")
        return result

    setattr(kind, method, stopping)


def _number(step: Any) -> int:
    return int(step[0]) if isinstance(step, tuple) else int(step)


def _channel(module: ModuleType) -> None:
    around(module.Channel, "send", lambda _to, tag, step, *_: f"send {tag} {_number(step)}")
    around(module.Channel, "broadcast", lambda _to, tag, step, *_: f"send {tag} {_number(step)}")
    around(module.Channel, "recv", lambda _from, tag, step: f"recv {tag} {_number(step)}")
    around(module.Channel, "gather", lambda _from, tag, step, *_: f"recv {tag} {_number(step)}")


def _memory(module: ModuleType) -> None:
    around(module.TaskMemory, "checkpoint", lambda step, *_: f"checkpoint {step}")
    around(module.AnnouncedOutputs, "save_model", lambda name, *_: f"output {name}")


def _child(module: ModuleType) -> None:
    become = vars(module)["_become"]

    def then_read(*arguments: Any) -> None:
        become(*arguments)
        read()

    vars(module)["_become"] = then_read


def _events(module: ModuleType) -> None:
    """An event is written last in its transaction, and everybody hears of it once that is stored."""
    plain = module.Writer.write_events

    def stopping(self: Any) -> None:
        told = [f"{row['kind']} {row['task']}".rstrip() for row in self._events]
        if told:
            read()
        for event in told:
            stop(event, "before")
        plain(self)
        self.afterwards[:0] = [partial(stop, event, "after") for event in told]

    module.Writer.write_events = stopping


HOOKS = {
    "algorithms.api.channel": _channel,
    "node_manager.executor.context_adapters": _memory,
    "node_manager.executor.child_setup": _child,
    "flow.store.writer": _events,
}


class _Hooked(Loader):
    """Loads a module as its own loader does, then changes it."""

    def __init__(self, name: str, loader: Loader) -> None:
        self._name = name
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        HOOKS[self._name](module)


class _Finder(MetaPathFinder):
    """Finds the modules that are changed, each once."""

    def __init__(self) -> None:
        self._inside: set[str] = set()

    def find_spec(self, name: str, _path: Any, _target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in HOOKS or name in self._inside:
            return None
        self._inside.add(name)
        found = find_spec(name)
        if found is not None and found.loader is not None:
            found.loader = _Hooked(name, found.loader)
        return found


sys.meta_path.insert(0, _Finder())
