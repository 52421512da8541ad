"""A toy of vertical learning: which column of which host tells most about the guest's label; neither is shown.

Source: the root of a tree of SecureBoost (Cheng et al. 2021), with the median as the only threshold.
Conversation of `toy_split@1`:

    tag       from    to      step        what
    key       guest   hosts   0           the public half of the guest's key
    labels    guest   hosts   0           the labels, a ciphertext each, under the guest's key
    columns   host    guest   0           how many columns it has
    sums      host    guest   (column)    the sum of the labels of the rows above a column's median
    choice    guest   hosts   0           whose column it is and which

Conversation of `toy_predict@1`, of a model of `toy_split`; one that each party can apply alone is applied in silence:

    side      host    guest   0           for each row, whether it is above the median
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from algorithms.api.component import Component, RoleSpec, Terms
from algorithms.api.context import Context, Rows
from algorithms.api.conversation import TRAINERS, Line, Protection
from algorithms.api.errors import ParametersDiffer
from algorithms.api.parameters import Parameters
from algorithms.api.ports import Columns, ModelUse, Need, Port, PortKind
from algorithms.crypto.packing import FixedPointLayout
from algorithms.crypto.paillier import PrivateKey, PublicKey, generate
from algorithms.crypto.vectors import VectorPaillier, slice_of
from algorithms.evaluation.predict import predict as predict_alone
from algorithms.kit.feature_matrix import binary_labels, feature_names, features, require_kind
from party.ids import Address, Role
from storage.client import NO_ROLES, Kind, Model

KIND, BITS, ROOM, GUEST, HOST = "toy_split", 1024, 1 << 12, frozenset({Role.GUEST}), frozenset({Role.HOST})
LABELLED, UNLABELLED = Columns(id=Need.MUST, label=Need.MUST), Columns(id=Need.MUST, label=Need.NO)


def conversation(_terms: Terms[Parameters]) -> tuple[Line, ...]:
    scalar, encrypted = Protection.PLAIN_SCALAR, Protection.ENCRYPTED
    return (
        Line("key", GUEST, HOST, Kind.RECORD, ROOM, Protection.PLAIN, "The guest's public key.", of_rows=False),
        Line("labels", GUEST, HOST, Kind.CIPHERTEXTS, room, encrypted, "The labels.", key_of=Role.GUEST),
        Line("columns", HOST, GUEST, Kind.INT, ROOM, scalar, "How many columns the host has.", of_rows=False),
        Line("sums", HOST, GUEST, Kind.CIPHERTEXTS, ROOM, encrypted, "A sum of labels.", key_of=Role.GUEST),
        Line("choice", GUEST, HOST, Kind.RECORD, ROOM, scalar, "Whose column splits best, and which."),
    )


def room(rows: Rows) -> int:
    return max(rows["data"].values()) * BITS // 4 + ROOM


def guest(ctx: Context, _parameters: Parameters) -> None:
    y = binary_labels(ctx.required_table("data")).astype(np.int64)
    if set(ctx.rows["data"].values()) != {len(y)}:
        raise ParametersDiffer("The parties' tables have different numbers of rows.")
    key, hosts = PrivateKey.from_record(ctx.once("key", lambda: generate(BITS).record())), ctx.peers(Role.HOST)
    engine, layout = VectorPaillier(key, len(y), ctx.compute, ctx.address), FixedPointLayout(2, 0, len(y), 1)
    ctx.channel.broadcast(hosts, "key", 0, key.public.record())
    ctx.channel.broadcast(hosts, "labels", 0, engine.encrypt(layout, y))
    found: dict[tuple[Address, int], tuple[float, float]] = {}
    for host, columns in zip(hosts, ctx.channel.gather(hosts, "columns", 0), strict=True):
        for column in range(columns):
            (above,), rows = engine.decrypt(layout, ctx.channel.recv(host, "sums", column))
            found[host, column] = ((y.sum() - above) / (len(y) - rows), above / rows)
    best, column = max(found, key=lambda place: abs(found[place][1] - found[place][0]))
    ctx.channel.broadcast(hosts, "choice", 0, {"host": str(best), "column": column})
    ctx.outputs.save_model("model", Model(KIND, 1, {"rates": np.array(found[best, column])}, {"host": str(best)}))


def host(ctx: Context, _parameters: Parameters) -> None:
    table, (owner,) = ctx.required_table("data"), ctx.peers(Role.GUEST)
    x = features(table, names := feature_names(table))
    median = np.median(x, axis=0)
    key = PublicKey.from_record(ctx.channel.recv(owner, "key", 0))
    engine, labels = VectorPaillier(key, len(names), ctx.compute, owner), ctx.channel.recv(owner, "labels", 0)
    ctx.channel.send(owner, "columns", 0, len(names))
    for column in range(len(names)):
        above = [slice_of(labels, row, row + 1) for row in np.flatnonzero(x[:, column] > median[column])]
        ctx.channel.send(owner, "sums", column, engine.rerandomise(engine.add(above)))
    choice = ctx.channel.recv(owner, "choice", 0)
    name = names[choice["column"]] if choice["host"] == str(ctx.address) else ""
    ctx.outputs.save_model("model", Model(KIND, 1, {"median": median[[choice["column"]]]}, {"column": name}))


def said_to_predict(terms: Terms[Parameters]) -> tuple[Line, ...]:
    side = Line("side", HOST, GUEST, Kind.ARRAY, room, Protection.PLAIN, "On which side of the split each row is.")
    return (side,) if terms.models.get("model") in ("", KIND) else ()


def predict(ctx: Context, parameters: Parameters) -> None:
    model, table = require_kind(ctx.required_model("model"), KIND, "linear"), ctx.required_table("data")
    if model.kind != KIND:
        predict_alone(ctx, parameters)
    elif ctx.address.role is Role.GUEST:
        side = ctx.channel.recv(Address.parse(model.details["host"]), "side", 0)
        rows = pa.table({"id": table.to_arrow().column("id"), "probability": model.arrays["rates"][side.astype(int)]})
        ctx.outputs.save_table("predictions", rows, NO_ROLES)
    elif name := model.details["column"]:
        side = features(table, [name])[:, 0] > model.arrays["median"][0]
        ctx.channel.send(ctx.peers(Role.GUEST)[0], "side", 0, side)


DATA = Port(PortKind.TABLE, TRAINERS, columns={Role.GUEST: LABELLED, Role.HOST: UNLABELLED}, tells_rows=True)
SPLIT = Component(
    "toy_split", 1, Parameters, {"data": DATA}, {"model": Port(PortKind.MODEL, TRAINERS, models=(KIND,))},
    {Role.GUEST: RoleSpec(guest, 1, 1, learns="Sums of labels above medians."), Role.HOST: RoleSpec(host, 1)},
    conversation,
)  # fmt: skip
MODEL = Port(PortKind.MODEL, TRAINERS, use=ModelUse.APPLY, models=(KIND, "linear"))
PREDICT = Component(
    "toy_predict", 1, Parameters, {"model": MODEL, "data": DATA},
    {"predictions": Port(PortKind.TABLE, TRAINERS, rows_of="data")},
    {Role.GUEST: RoleSpec(predict, 1, 1), Role.HOST: RoleSpec(predict, 1)}, said_to_predict,
)  # fmt: skip
