"""A model as one file for other programs: safetensors, with what else is needed to use it in the file's metadata.

Any reader of safetensors opens it (`safetensors.numpy.load_file`, `safetensors.torch.load_file`); of a network the
arrays bear the names of its state dict. The metadata are texts: `kind`, `schema`, `digest`, `details` (JSON).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from runtime.canonical import parse_json
from runtime.errors import PlatformError
from storage.errors import Damaged
from storage.models.model import ARRAYS_FILE, Model
from storage.models.store import ModelInfo, ModelStore
from storage.place import Place
from storage.refs import OutputRef

CHUNK_BYTES = 1 << 20
_LENGTH_BYTES = 8  # of the header, at the beginning of every safetensors file, little-endian


@dataclass(frozen=True)
class ModelFile:
    """A model's file on its way out: what it is, its size in bytes, and its bytes in order."""

    info: ModelInfo
    size: int
    pieces: Iterator[bytes]


def exported_model(models: ModelStore, ref: str | OutputRef, role: str | None = None) -> ModelFile:
    """The file of a party's part of a model, one array in memory at a time. Raises ModelNotFound, Damaged."""
    info = models.info(ref, role)
    place, details = models.place_of(info), models.checked(info)
    with place.open(ARRAYS_FILE) as stored:
        length = int.from_bytes(stored.read(_LENGTH_BYTES), "little")
        header = json.loads(stored.read(length))
        body = stored.size() - _LENGTH_BYTES - length
    metadata = {"kind": info.kind, "schema": str(details.kind_schema), "digest": info.digest}
    header["__metadata__"] = metadata | {"details": json.dumps(details.details, sort_keys=True)}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # arrays stay aligned
    start = len(text).to_bytes(_LENGTH_BYTES, "little") + text
    return ModelFile(info, len(start) + body, _pieces(place, start, _LENGTH_BYTES + length))


def read_model_file(path: Path) -> Model:
    """The model in an exported file. Raises Damaged unless it is whole and as its digest says."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        details = parse_json(metadata["details"].encode(), f"The details in {path}")
        model = Model(metadata["kind"], int(metadata["schema"]), arrays, _mapping(details))
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, PlatformError) as error:
        raise Damaged(f"{path} is not the file of a model: {error}.", hint="Export it again.") from None
    if model.digest() != metadata.get("digest"):
        raise Damaged(f"{path} does not hold the model that was exported: its digest differs.", hint="Export it again.")
    return model


def _mapping(details: object) -> dict[str, object]:
    if not isinstance(details, dict):
        raise ValueError("its details are not an object")  # noqa: TRY004 - one of those caught above
    return details


def _pieces(place: Place, start: bytes, after: int) -> Iterator[bytes]:
    yield start
    with place.open(ARRAYS_FILE) as stored:
        stored.seek(after)
        while piece := stored.read(CHUNK_BYTES):
            yield bytes(piece)
