from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from gateway.contract import check_size, check_value, contract_from_json, contract_to_json, named_keys, seen_keys
from gateway.errors import BadContract, ContractViolation, KeyChanged
from runtime.canonical import canonical_json
from storage.client import Ciphertexts, Kind, Value, describe, encode
from tests.fakes.gateway_parties import GUEST, HOST, TASK, line, make_contract


def ciphertexts(owner: str = "", key: str = "ab" * 32) -> Ciphertexts:
    return Ciphertexts(key, "{}", 2, pa.array([b"12345678", b"12345678"], pa.binary(8)), owner)


def check(protection: str, kind: Kind, value: Value) -> None:
    check_value(line("t", kind, protection), describe(encode(value)))


def test_a_contract_survives_its_json() -> None:
    contract = make_contract()
    again = contract_from_json(canonical_json(contract_to_json(contract)))
    assert again == contract
    assert again.digest == contract.digest


@pytest.mark.parametrize("change", [{"schema": 2}, {"tasks": 3}, {"tasks": {"train": [{}]}}])
def test_a_contract_that_cannot_be_read_is_named(change: dict[str, object]) -> None:
    with pytest.raises(BadContract):
        contract_from_json(canonical_json(contract_to_json(make_contract()) | change))


@pytest.mark.parametrize("job", ["", "../x", "-a", "a.b", "a/b", "a" * 65, "a\n", 7])
def test_a_job_id_that_cannot_be_part_of_a_file_name_is_refused(job: object) -> None:
    with pytest.raises(BadContract, match="is not a job id"):
        contract_from_json(canonical_json(contract_to_json(make_contract()) | {"job": job}))


def test_an_unknown_protection_is_refused() -> None:
    contract = make_contract("J", (line("t", "float", "plain"),))
    values = contract_to_json(contract)
    values["tasks"][TASK][0]["protection"] = "none"  # type: ignore[index]
    with pytest.raises(BadContract, match="'none' is not a protection"):
        contract_from_json(canonical_json(values))


@pytest.mark.parametrize(
    ("task", "tag", "frm", "to", "says"),
    [
        ("other", "loss", GUEST, HOST, "task 'other'"),
        (TASK, "lost", GUEST, HOST, "tag 'lost'"),
        (TASK, "one-way", HOST, GUEST, "host:beta may not send tag 'one-way' to guest:alpha"),
        (TASK, "loss", GUEST, "arbiter:gamma", "may not send tag 'loss' to arbiter:gamma"),
    ],
)
def test_what_no_line_allows_is_refused_by_name(task: str, tag: str, frm: object, to: object, says: str) -> None:
    with pytest.raises(ContractViolation, match=says):
        make_contract().line(task, tag, str(frm), str(to))


def test_a_value_above_the_size_bound_is_refused() -> None:
    check_size(line("t", "array", max_bytes=10), 10)
    with pytest.raises(ContractViolation, match="'t': 11 bytes"):
        check_size(line("t", "array", max_bytes=10), 11)


def test_another_kind_is_refused() -> None:
    with pytest.raises(ContractViolation, match="kind float instead of array"):
        check("plain", Kind.ARRAY, 1.0)


def test_a_scalar_line_takes_scalars_and_records_of_scalars_only() -> None:
    check("plain-scalar", Kind.FLOAT, 1.0)
    check("plain-scalar", Kind.RECORD, {"a": 1, "b": "x", "c": None})
    with pytest.raises(ContractViolation, match="plain-scalar, and the value holds array"):
        check("plain-scalar", Kind.RECORD, {"a": 1, "b": np.zeros(3)})


def test_an_encrypted_line_takes_ciphertexts_and_scalars_only() -> None:
    check("encrypted", Kind.CIPHERTEXTS, ciphertexts())
    check("encrypted", Kind.RECORD, {"sum": ciphertexts(), "rows": 3})
    for smuggled in (np.zeros(3), np.zeros(3, np.int64), b"0000"):
        with pytest.raises(ContractViolation, match="encrypted, and the value holds"):
            check("encrypted", Kind.RECORD, {"sum": ciphertexts(), "more": smuggled})
    with pytest.raises(ContractViolation, match="holds no ciphertexts"):
        check("encrypted", Kind.RECORD, {"rows": 3})


def test_a_line_that_says_whose_key_takes_ciphertexts_under_that_alone() -> None:
    owned = replace(line("sums", Kind.RECORD, "encrypted"), key_owners=frozenset({str(GUEST)}))

    def named(**fields: Value) -> frozenset[tuple[str, str]]:
        value = describe(encode(fields))
        check_value(owned, value)
        return named_keys(owned, value)

    assert named(sum=ciphertexts(str(GUEST)), rows=3) == {(str(GUEST), "ab" * 32)}
    for owner, whose in ((str(HOST), str(HOST)), ("", "several"), ("\x1b[2J", "\N{REPLACEMENT CHARACTER}")):
        with pytest.raises(ContractViolation, match=f"'sums': ciphertexts under the key of {whose}.* instead of g"):
            named(one=ciphertexts(str(GUEST)), other=ciphertexts(owner))
    with pytest.raises(ContractViolation, match="the key of guest:alpha has no fingerprint"):
        named(sum=ciphertexts(str(GUEST), key="x" * 1_000))
    anybody = replace(owned, key_owners=None)
    with pytest.raises(ContractViolation, match="instead of nobody"):
        check_value(replace(owned, key_owners=frozenset()), describe(encode({"sum": ciphertexts(str(GUEST))})))
    assert not named_keys(anybody, describe(encode(ciphertexts(str(GUEST)))))
    contract = make_contract(lines=(owned, anybody))
    assert contract_from_json(canonical_json(contract_to_json(contract))) == contract


def test_an_owner_has_one_key_in_an_attempt() -> None:
    seen = seen_keys({}, [("guest:a", "1" * 64), ("host:b", "2" * 64)])
    assert seen_keys(seen, [("guest:a", "1" * 64)]) == seen == {"guest:a": "1" * 64, "host:b": "2" * 64}
    with pytest.raises(KeyChanged, match="under key 222222222222 of guest:a, others of this attempt under 1111"):
        seen_keys(seen, [("guest:a", "2" * 64)])


def test_a_masked_line_takes_integers_but_no_floats_and_no_tables() -> None:
    check("masked", Kind.ARRAY, np.zeros(3, np.uint64))
    with pytest.raises(ContractViolation, match="float64"):
        check("masked", Kind.ARRAY, np.zeros(3))
    with pytest.raises(ContractViolation, match="table"):
        check("masked", Kind.TABLE, pa.table({"a": [1]}))


def test_a_plain_line_takes_a_table() -> None:
    check("plain", Kind.TABLE, pa.table({"a": [1.0]}))
