"""How a task over split rows begins: the trainers say what they bring, the arbiter sees that it fits together.

Conversation, once:

    tag     from      to         step   what
    join    trainer   arbiter    0      rows, classes seen, digests of columns, settings and start model
    start   arbiter   trainers   0      rows in all, all classes

Column names themselves do not leave a party.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.api.context import Context
from algorithms.api.conversation import ARBITER, TRAINERS, Line, Protection
from algorithms.api.errors import FeaturesDiffer, FeaturesReordered, ParametersDiffer, SumNotWhole, WrongModel
from algorithms.kit.side_block import Word
from party.ids import Address, Role
from runtime.errors import PlatformError
from storage.client import Kind, Value

Classes = NDArray[np.int64]
JOIN_BYTES = 1 << 18
ROWS_BITS = 40
MOST_ROWS = (1 << ROWS_BITS) - 1
MOST_CLASSES_TOLD = JOIN_BYTES // 8
DIGEST = "[0-9a-f]{0,64}"
_START: dict[str, type] = {"rows": int, "classes": np.ndarray}
_JOIN = _START | {"columns": int, "names": str, "features": str, "settings": str, "warm_start": str}


@dataclass(frozen=True)
class Joining:
    """What one trainer brings.

    Attributes:
        rows: How many rows.
        features: The names of the columns, in order.
        classes: The set of class labels that occur, or of those that say how labels are written; never one a row.
        warm_start: Digest of the model training starts from, empty for a fresh one.
    """

    rows: int
    features: tuple[str, ...]
    classes: Classes = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    warm_start: str = ""


@dataclass(frozen=True, eq=False)
class Joined:
    """What all trainers have together.

    Attributes:
        rows: How many rows in all.
        classes: All class labels.
        common: Digest of what every trainer must have been told, or have, alike.
    """

    rows: int
    classes: Classes
    common: bytes


def conversation() -> tuple[Line, ...]:
    """The table above as data."""
    join = "Rows, class labels that occur, digests of column names, settings and start model."
    start = "Rows in all, all class labels."
    return (
        Line("join", TRAINERS, ARBITER, Kind.RECORD, JOIN_BYTES, Protection.PLAIN, join, of_rows=False),
        Line("start", ARBITER, TRAINERS, Kind.RECORD, JOIN_BYTES, Protection.PLAIN, start, of_rows=False),
    )


def join(ctx: Context, joining: Joining, shared: Mapping[str, object]) -> Joined:
    """A trainer's side. `shared` are the settings all parties must have alike. Raises ParametersDiffer."""
    arbiter = ctx.peers(Role.ARBITER)[0]
    brought: dict[str, Any] = {
        "rows": joining.rows,
        "classes": joining.classes,
        "columns": len(joining.features),
        "names": _digest(sorted(joining.features)),
        "features": _digest(joining.features),
        "settings": _digest(shared),
        "warm_start": joining.warm_start,
    }
    ctx.channel.send(arbiter, "join", 0, brought)
    start: Any = ctx.once("start", lambda: _record(ctx.channel.recv(arbiter, "start", 0), _START, arbiter))
    if start["rows"] < joining.rows:
        raise ParametersDiffer(f"{arbiter} counts {start['rows']} rows in all; {ctx.address} has {joining.rows}.")
    told = [start["rows"], start["classes"].tolist(), joining.features, shared, joining.warm_start]
    return Joined(start["rows"], start["classes"], bytes.fromhex(_digest(told)))


def admit(ctx: Context, shared: Mapping[str, object]) -> None:
    """The arbiter's side. Raises FeaturesDiffer, FeaturesReordered, ParametersDiffer, WrongModel naming the parties."""
    ctx.once("join", lambda: _admit(ctx, shared))


def _admit(ctx: Context, shared: Mapping[str, object]) -> Value:
    trainers = ctx.peers(*TRAINERS)
    found = dict(zip(trainers, ctx.channel.gather(trainers, "join", 0), strict=True))
    joined = {trainer: _record(value, _JOIN, trainer) for trainer, value in found.items()}
    _require_same_features(joined)
    settings = {ctx.address: _digest(shared)} | {a: join["settings"] for a, join in joined.items()}
    if odd := _odd_ones(settings):
        other_settings = ParametersDiffer(
            f"{odd} has other settings than the rest.",
            hint="Only what concerns a party's own training, as learning rate or batch size, may differ.",
        )
        raise _naming_parties(other_settings, settings)
    models = {trainer: join["warm_start"] for trainer, join in joined.items()}
    if odd := _odd_ones(models):
        model = WrongModel(
            f"{odd} starts from another model than the rest.", hint="Name the same model for all trainers."
        )
        raise _naming_parties(model, models)
    classes = np.unique(np.concatenate([join["classes"] for join in joined.values()]))
    start: dict[str, Any] = {"rows": sum(join["rows"] for join in joined.values()), "classes": classes}
    ctx.channel.broadcast(trainers, "start", 0, start)
    return start


def _require_same_features(joined: Mapping[Address, Mapping[str, Any]]) -> None:
    """Raises FeaturesDiffer, or FeaturesReordered where the names are everybody's."""
    names = {trainer: join["names"] for trainer, join in joined.items()}
    if odd := _odd_ones(names):
        counts = ", ".join(f"{trainer} has {join['columns']}" for trainer, join in joined.items())
        columns = FeaturesDiffer(
            f"The feature columns of {odd} are not those of the other trainers (columns: {counts}).",
            hint="All trainers need the same feature names in the same order.",
        )
        raise _naming_parties(columns, names)
    orders = {trainer: join["features"] for trainer, join in joined.items()}
    if odd := _odd_ones(orders):
        order = FeaturesReordered(
            f"The feature columns of {odd} are those of the other trainers in another order.",
            hint="Upload the table again with `--features A,B,…`, which sets their order.",
        )
        raise _naming_parties(order, orders)


def rows_word(rows: int) -> Word:
    """The own number of rows, to be added up beside the first vector that is weighted with what the arbiter said."""
    return Word(rows, ROWS_BITS)


def require_rows(joined: Joined, rows: int) -> None:
    """Raises SumNotWhole unless the trainers' rows add up to what the arbiter said."""
    if rows != joined.rows:
        raise SumNotWhole(
            f"The trainers have {rows} rows together; the arbiter said {joined.rows}.",
            hint="Each trainer weights its numbers with what the arbiter said. Ask the arbiter's party why.",
        )


def _record(value: Value, fields: Mapping[str, type], sender: Address) -> dict[str, Any]:
    """What the sender says. Raises ParametersDiffer unless it has these fields, of these types."""
    found: dict[str, Any] = dict(value) if isinstance(value, Mapping) else {}
    is_whole = {name: type(field) for name, field in found.items()} == fields
    if not is_whole or not _is_sound(found):
        raise ParametersDiffer(
            f"{sender} does not say how a training begins in the form that this version knows.",
            hint="Bring all parties to the same release.",
        )
    return found


def _is_sound(found: Mapping[str, Any]) -> bool:
    """Whether counts, classes and digests are what they can be; what follows adds counts up and shows digests."""
    classes: Classes = found["classes"]
    texts = [found.get(name, "") for name in ("names", "features", "settings", "warm_start")]
    return (
        1 <= found["rows"] <= MOST_ROWS
        and 0 <= found.get("columns", 0) <= MOST_ROWS
        and (classes.ndim, classes.dtype) == (1, np.dtype(np.int64))
        and len(classes) <= MOST_CLASSES_TOLD
        and all(re.fullmatch(DIGEST, text) for text in texts)
    )


def _digest(value: object) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _odd_ones(found: Mapping[Address, Any]) -> str:
    """Who differs from the most common value, as text; empty if nobody does."""
    usual = Counter(found.values()).most_common(1)[0][0]
    return ", ".join(str(address) for address, value in found.items() if value != usual)


def _naming_parties(error: PlatformError, found: Mapping[Address, Any]) -> PlatformError:
    """The error, with the parties by what they brought."""
    groups: dict[Any, set[str]] = {}
    for address, value in found.items():
        groups.setdefault(value, set()).add(str(address.party))
    error.alike = tuple(tuple(sorted(group)) for group in groups.values())
    return error
