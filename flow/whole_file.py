"""Files that a person asks for: whole or not there at all, and never over another file unless they say so."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flow.errors import FileThere, FileUnwritable


@contextmanager
def whole_file(file: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A path beside `file` to write to: at the end it takes the file's place; after a failure nothing is left of it.

    Raises:
        FileThere: The file is there already.
        FileUnwritable: The disk refuses it.
    """
    refuse_existing(file, overwrite=overwrite)
    beside = file.with_name(f".{secrets.token_hex(8)}.part")
    with _writing(file):
        try:
            yield beside
            with beside.open("rb") as written:
                os.fsync(written.fileno())
            beside.replace(file)
        finally:
            beside.unlink(missing_ok=True)


def refuse_existing(file: Path, *, overwrite: bool = False) -> None:
    """Raise FileThere if the file is there and is not to be overwritten."""
    if file.exists() and not overwrite:
        raise FileThere(f"{file} is there already.", hint="Choose another name, or add --overwrite.")


def make_folder(folder: Path) -> None:
    """Make a folder for results, and those above it, where they are not there. Raises FileUnwritable."""
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileUnwritable(
            f"{path} cannot be written: {error.strerror or error}.", hint="Is there room, and may you write there?"
        ) from None
