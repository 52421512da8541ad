"""By what the files of a table are known to be as they were when their digests were taken.

tables/<namespace>/<name>/<version>.stamps    written once the version is registered, by whoever wrote the files

A file that was changed, copied or brought back has another stamp, and its digest is taken again before it is used.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import TypeAdapter, ValidationError

from storage.place import Place, Stamp
from storage.tables.manifest import TableManifest

_SUFFIX = ".stamps"
_STAMPS = TypeAdapter(dict[str, Stamp])


def write_stamps(place: Place, folder: str, manifest: TableManifest) -> None:
    """Note the stamps of a table's files, in the folder of the table; they may be lost, and are then not needed."""
    found = {part.file: place.stamp(f"{folder}/{part.file}") for part in manifest.partitions}
    if found and None not in found.values():
        place.write(stamps_file(folder, manifest.version), _STAMPS.dump_json(found), synced=False)  # type: ignore[arg-type]


def read_stamps(place: Place, folder: str, manifest: TableManifest) -> Mapping[str, Stamp]:
    """The stamps by file; none where they were not noted, or cannot be read."""
    try:
        return _STAMPS.validate_json(place.read(stamps_file(folder, manifest.version)))
    except (FileNotFoundError, ValidationError):
        return {}


def stamps_file(folder: str, version: int) -> str:
    """Where the stamps of a version lie."""
    return f"{folder}/{version}{_SUFFIX}"
