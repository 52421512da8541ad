"""The table of encodings: a later one is a file and a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from algorithms.encoding import compact, exact, floats
from algorithms.encoding.encoder import Encoder, Kept
from algorithms.encoding.settings import EncodingSettings

SCHEMES: Mapping[str, Callable[[EncodingSettings, int, Kept], Encoder]] = {
    "floats": floats.encoder,
    "exact": exact.encoder,
    "compact": compact.encoder,
}
