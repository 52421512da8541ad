"""Bars that show how far several things are, with lines of text above them. Rich is imported only where they show."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runtime.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bars:
    """Shows nothing: what is asked for where nobody would see bars."""

    def move(self, what: str, done: int, total: int) -> None:
        """`what` is so far; what is done goes."""

    def clear(self) -> None:
        """Nothing goes on any more."""


class DrawnBars(Bars):
    """A bar for each thing that goes on."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._shown: dict[str, TaskID] = {}

    def move(self, what: str, done: int, total: int) -> None:
        """`what` is so far; what is done goes."""
        if what not in self._shown:
            self._shown[what] = self._progress.add_task(printable(what), total=total)
        self._progress.update(self._shown[what], completed=done)
        if done >= total:
            self._progress.remove_task(self._shown.pop(what))

    def clear(self) -> None:
        """Nothing goes on any more."""
        for task in self._shown.values():
            self._progress.remove_task(task)
        self._shown.clear()


@contextmanager
def drawn_bars() -> Iterator[DrawnBars]:
    """Bars on stderr; what goes to a stdout that is no terminal goes there as ever."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    parts = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*parts, console=console, transient=True, redirect_stdout=sys.stdout.isatty()) as progress:
        yield DrawnBars(progress)
