"""What every registered component must be: `check_algorithm`, once for each of them and its main settings."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from algorithms.api.component import Component, Terms
from algorithms.api.conversation import Line
from algorithms.api.parameters import Parameters
from algorithms.api.ports import PortKind
from algorithms.local_run import LocalResult, run_local
from algorithms.protection import paillier
from algorithms.registry import component, components
from gateway.contract import ContractLine, JobContract, check_size, check_value
from party.ids import Role
from storage.client import Model, describe
from tests.fixtures.algorithms import (
    ARBITER,
    ENCRYPTED,
    FIXED_POINT,
    GUEST,
    HOST,
    RecordingExchange,
    Split,
    breast,
    digits,
    make_table,
)

CNN = {"net": {"name": "cnn", "input_shape": [1, 8, 8], "channels": [2, 3], "hidden": [8]}}
WHOLE: dict[str, Any] = {
    "local": {"batch_size": 10_000, "epochs": 1},
    "rounds": 2,
}  # whole batches: federated is pooled

NO_MOMENTUM = {"rounds": 2, "local": WHOLE["local"] | {"momentum": 0}}
COMPACT = ENCRYPTED | {"encoding": {"packing": "compact"}}


def weights_agree(tolerance: float) -> Callable[[LocalResult, LocalResult], None]:
    def compare(federated: LocalResult, pooled: LocalResult) -> None:
        for address in (GUEST, HOST):
            for name, array in pooled.model(GUEST).arrays.items():
                np.testing.assert_allclose(federated.model(address).arrays[name], array, rtol=0, atol=tolerance)

    return compare


def rows_agree(federated: LocalResult, pooled: LocalResult) -> None:
    """The output tables of the parties, one after the other, are the pooled one."""
    (name,) = [n for n, output in pooled.outputs[GUEST].items() if not isinstance(output, Model)]
    whole = pooled.outputs[GUEST][name]
    parts = [federated.outputs[address][name] for address in (GUEST, HOST)]
    for column in whole.column_names:
        found = np.concatenate([part.column(column).to_numpy() for part in parts])
        expected = whole.column(column).to_numpy()
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
        elif column != "id":
            np.testing.assert_array_equal(found, expected)


def scaler_agrees(federated: LocalResult, pooled: LocalResult) -> None:
    weights_agree(1e-12)(federated, pooled)
    rows_agree(federated, pooled)


def metrics_agree(federated: LocalResult, pooled: LocalResult) -> None:
    """Accuracy of the parts, weighted by rows, is the accuracy of the whole (rows: 200 and 100)."""
    parts = [federated.series(address, "accuracy")[0] for address in (GUEST, HOST)]
    assert (2 * parts[0] + parts[1]) / 3 == pytest.approx(pooled.series(GUEST, "accuracy")[0])


def nothing(federated: LocalResult, pooled: LocalResult) -> None:
    assert not federated.metrics
    assert not any(federated.outputs.values())


WHO = {Role.GUEST: "trainer", Role.HOST: "trainer"}


@dataclass(frozen=True)
class Case:
    name: str
    parameters: dict[str, Any] = field(default_factory=dict)
    table: str = ""
    agree: Callable[[LocalResult, LocalResult], None] = nothing
    data: Callable[[], Split] = breast
    arbiter: bool = True
    model: bool = False
    id: str = ""


def sums_agree(federated: LocalResult, _pooled: LocalResult) -> None:
    """The component checks its sums itself; it tells how long each round took."""
    for address in (GUEST, HOST, ARBITER):
        assert all(seconds > 0 for seconds in federated.series(address, "seconds"))
        assert len(federated.series(address, "seconds")) == 2


CASES = [
    Case("noop", {"rounds": 2}),
    Case("ballast", {"memory_mib": 1, "disk_mib": 1, "log_lines": 3, "seconds": 0.1}),
    Case("exchange", {"rounds": 2}, agree=sums_agree, id="plain"),
    Case("exchange", COMPACT | {"rounds": 2}, agree=sums_agree, id="paillier"),
    Case("homo_lr", WHOLE, "train", weights_agree(1e-12), id="plain"),
    Case("homo_lr", WHOLE | FIXED_POINT, "train", weights_agree(1e-7), id="fixed"),
    Case("homo_lr", WHOLE | ENCRYPTED, "train", weights_agree(1e-7), id="paillier"),
    Case(
        "homo_nn",
        CNN | NO_MOMENTUM,
        "train",
        weights_agree(1e-5),
        digits,
        id="plain",
    ),
    Case(
        "homo_nn",
        WHOLE | CNN | ENCRYPTED,
        "train",
        weights_agree(1e-5),
        digits,
        id="paillier",
    ),
    Case("scale", {}, "data", scaler_agrees, lambda: breast(scaled=False), id="plain"),
    Case(
        "scale",
        ENCRYPTED,
        "data",
        scaler_agrees,
        lambda: breast(scaled=False),
        id="paillier",
    ),
    Case("evaluate", {}, "data", metrics_agree, arbiter=False, model=True),
    Case("predict", {}, "data", rows_agree, arbiter=False, model=True),
]


def linear() -> Model:
    weights = np.random.default_rng(3).normal(size=30)
    details = {"features": [f"x{i:02}" for i in range(30)], "classes": [0, 1]}
    return Model(kind="linear", schema=1, arrays={"weights": weights, "bias": np.array([0.1])}, details=details)


def run(case: Case, folder: Path, cuts: list[int]) -> tuple[LocalResult, RecordingExchange]:
    """All roles in one process, on 300 rows cut between as many parties as there are pieces."""
    data = case.data()
    pieces = zip(np.split(data.x[:300], cuts), np.split(data.y[:300], cuts), (GUEST, HOST), strict=False)
    parties: dict[Any, dict[str, Any]] = {ARBITER: {}} if case.arbiter else {}
    for x, y, address in pieces:
        parties[address] = {case.table: make_table(folder, f"{address.party}{len(cuts)}", x, y)} if case.table else {}
        parties[address] |= {"model": linear()} if case.model else {}
    exchange = RecordingExchange()
    return run_local(component(case.name), case.parameters, parties, exchange), exchange


def check_table(made: Component, terms: Terms[Any]) -> None:
    """The conversation is in the docstring or those it names, with its source; every line is bounded and explained."""
    module = made.parameters.__module__
    text = sys.modules[module].__doc__ or ""
    assert "Source" in text
    assert "Conversation" in text
    rows = rows_of_tables(module)
    for line in made.conversation(terms):
        assert row(line) in rows
        assert line.purpose.endswith(".")
        assert 0 < line.max_bytes <= 1 << 33
        assert line.frm | line.to | line.key_roles <= made.roles.keys()
    for port in made.outputs.values():
        source = made.inputs[port.rows_of] if port.rows_of else None
        assert source is None or (source.kind is port.kind is PortKind.TABLE and source.roles >= port.roles)


def row(line: Line) -> tuple[str, ...]:
    """A line as a docstring writes it: tag, from, to."""
    frm, to = ({WHO.get(role, role) for role in roles} for roles in (line.frm, line.to))
    return line.tag, ", ".join(sorted(frm)), ", ".join(sorted(to))


def rows_of_tables(module: str) -> set[tuple[str, ...]]:
    """The first three columns of the table in a module's docstring, and of those in the modules that it names there."""
    table = (importlib.import_module(module).__doc__ or "").partition("Conversation")[2]
    cells = [re.split(r"  +", line.strip()) for line in table.splitlines() if line.startswith("    ")]
    rows = {(tag, one(frm), one(to)) for tag, frm, to, _step, *_ in (row for row in cells if len(row) > 3)}
    return rows.union(*map(rows_of_tables, re.findall(r"`(algorithms(?:\.\w+)+)`", table)))


def one(roles: str) -> str:
    """Roles in order, in the singular."""
    return ", ".join(sorted(role.removesuffix("s") for role in roles.split(", ")))


def check_messages(made: Component, terms: Terms[Any], exchange: RecordingExchange) -> None:
    """Every message has a line, and is of its kind, size and protection; no line is there for nothing."""
    lines = tuple(
        ContractLine(
            line.tag,
            frozenset(str(a) for a in (GUEST, HOST, ARBITER) if a.role in line.frm),
            frozenset(str(a) for a in (GUEST, HOST, ARBITER) if a.role in line.to),
            line.kind,
            line.max_bytes,
            line.protection,
        )
        for line in made.conversation(terms)
    )
    contract = JobContract("job", "digest", {"task": lines})
    for message in exchange.sent:
        line = contract.line("task", message.tag, str(message.frm), str(message.to))
        check_size(line, len(message.body))
        check_value(line, describe(message.body))
    assert {message.tag for message in exchange.sent} == {line.tag for line in lines}


def check_parameters(model: type[Parameters]) -> None:
    assert model.model_config["extra"] == "forbid"
    assert model.model_config["frozen"]
    assert all(info.description for info in model.model_fields.values())
    model()  # every parameter has a default


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-{case.id}".rstrip("-"))
def test_check_algorithm(case, tmp_path, monkeypatch):
    monkeypatch.setattr(paillier, "SHARED_FROM", 1)  # so that small sums are decrypted in shares, too
    made = component(case.name)
    parameters = made.parameters.model_validate(case.parameters)
    check_parameters(made.parameters)
    terms = Terms(parameters)
    check_table(made, terms)
    federated, exchange = run(case, tmp_path, [200])
    check_messages(made, terms, exchange)
    for address, outputs in federated.outputs.items():
        assert {name for name, port in made.outputs.items() if address.role in port.roles} >= outputs.keys()
    pooled, _ = run(case, tmp_path, [])
    case.agree(federated, pooled)


def test_every_registered_component_is_checked_here():
    assert {case.name for case in CASES} == {made.name for made in components()}


def test_no_component_needs_torch_to_be_imported():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from algorithms.registry import components\n"
        "assert len(components()) >= 6\n"
        "assert 'sklearn' not in sys.modules and 'scipy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_under_paillier_nothing_but_keys_scores_and_ciphertexts_is_said(tmp_path):
    case = next(case for case in CASES if case.name == "homo_lr" and case.id == "paillier")
    result, exchange = run(case, tmp_path, [200])
    weights = result.model(GUEST).arrays["weights"]
    for message in exchange.sent:
        assert "float" not in {str(f.dtype)[:5] for f in describe(message.body).fields}
        for number in weights:
            assert np.float64(number).tobytes() not in message.body
    assert not [m for m in exchange.sent if m.tag == "private-key" and m.to.role == Role.ARBITER]
