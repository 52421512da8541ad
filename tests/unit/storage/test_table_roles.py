"""Which columns of a table play a role: what is checked, what is kept, and what follows a table around."""

from __future__ import annotations

import io
import json

import pyarrow as pa
import pytest
from pyarrow import parquet

from party.ids import Address, AttemptId, JobId, TaskName
from storage.client import (
    Alignment,
    BadSource,
    BadWeight,
    ColumnNotFound,
    ColumnTypeRefused,
    Damaged,
    DuplicateIds,
    OutputKind,
    OutputRefused,
    SourceOptions,
    Store,
    TableManifest,
    TableRoles,
    check_roles,
)

ALL = TableRoles(
    id="visit",
    label="y",
    weight="w",
    match_id="patient",
    alignment=Alignment(result="01M84NKVCS9025W7T6P1XBY3P8/match.data", order_digest="a" * 64),
)
ROWS = "visit,patient,x,y,w\n1,007,0.5,1,2\n2,007,1.5,0,0\n3,,2.5,1,0.25\n"
ATTEMPT, GUEST = AttemptId(JobId("01M84NKVCS9025W7T6P1XBY3P8"), TaskName("train"), 1), Address.parse("guest:bank")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def upload(store, tmp_path):
    def call(content, roles, name="t.csv", **options):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        store.tables.upload(tmp_path / name, "ns/name", options=SourceOptions(roles=roles, **options))
        return store.tables.open("ns/name")

    return call


def parquet_bytes(**columns):
    sink = io.BytesIO()
    parquet.write_table(pa.table(columns), sink)
    return sink.getvalue()


def test_columns_without_a_role_are_features_and_the_roles_stay_with_the_table(upload):
    table = upload(ROWS, ALL)
    assert table.features == ["x"]
    assert table.manifest.roles == ALL
    assert TableManifest.from_json(table.manifest.to_json(), "m") == table.manifest
    assert upload("x,y\n1,2\n", TableRoles()).features == ["x", "y"]


def test_ids_of_both_kinds_are_kept_to_the_letter_and_rows_may_share_or_lack_what_they_are_matched_by(upload):
    table = upload(ROWS, ALL)
    assert table.ids().to_pylist() == [1, 2, 3]
    assert table.column("patient").tolist() == ["007", "007", ""]
    long = upload("visit,patient\n1,89860012345678901234\n2,5\n", TableRoles(id="visit", match_id="patient"))
    assert long.column("patient").tolist() == ["89860012345678901234", "5"]
    assert upload("patient\n7\n7\n", TableRoles(match_id="patient")).column("patient").tolist() == [7, 7]
    with pytest.raises(DuplicateIds, match="both have the id 7 in column 'patient'"):
        upload("patient\n7\n7\n", TableRoles(id="patient"))


@pytest.mark.parametrize("role", ["id", "label", "weight", "match_id"])
def test_a_column_that_is_not_there_is_named_with_its_role(upload, role):
    with pytest.raises(ColumnNotFound, match=rf"'pation' \(the {role.replace('_', ' ')} column\)\. Did you mean"):
        upload(ROWS, TableRoles(**{role: "pation"}))


@pytest.mark.parametrize(("one", "other"), [("id", "label"), ("id", "match_id"), ("label", "weight")])
def test_a_column_plays_one_role(upload, one, other):
    said = f"'visit' cannot be both the {one} and the {other.replace('_', ' ')}"
    with pytest.raises(BadSource, match=said):
        upload(ROWS, TableRoles(**{one: "visit", other: "visit"}))


@pytest.mark.parametrize(
    ("roles", "says"),
    [
        (TableRoles(match_id="x"), "An id column holds text or whole numbers; 'x' holds double"),
        (TableRoles(weight="word"), "A weight column holds numbers; 'word' holds string"),
        (TableRoles(weight="flag"), "A weight column holds numbers; 'flag' holds bool"),
    ],
)
def test_a_column_of_a_type_that_does_not_suit_its_role_is_refused(upload, roles, says):
    with pytest.raises(ColumnTypeRefused, match=says):
        upload("x,word,flag\n0.5,a,true\n", roles)
    with pytest.raises(ColumnTypeRefused, match=says):
        check_roles(roles, pa.schema({"x": pa.float64(), "word": pa.large_string(), "flag": pa.bool_()}))


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ("1\n-0.5\n", r"'w' has -0\.5 in line 3 of t\.csv"),
        ('1\n2\n""\n', r"'w' has no value in line 4 of t\.csv"),
        ("1\n" * 5000 + "-1\n", r"'w' has -1 in line 5002 of t\.csv"),
    ],
)
def test_a_row_without_a_weight_that_counts_is_refused_by_its_line(upload, store, weights, says):
    with pytest.raises(BadWeight, match=f"{says}, which is no weight. Nothing was stored") as refused:
        upload(f"w\n{weights}", TableRoles(weight="w"))
    assert refused.value.code == "storage.bad_weight"
    assert store.tables.list() == []


def test_weights_that_no_text_tells_are_looked_at_too(store):
    for weights in ([1.0, float("nan")], [1, None], [1, -(2**62)]):
        rows = pa.table({"w": weights})
        with (
            pytest.raises(BadWeight, match="in row 2, which"),
            store.tables.writer("ns/name", rows.schema, TableRoles(weight="w")) as writer,
        ):
            writer.write(rows)


def test_roles_are_known_to_the_process_that_reads_other_formats(upload):
    found = upload(parquet_bytes(w=[0, 2**62], x=[1, 2]), TableRoles(weight="w"), "t.parquet", features=("w",))
    assert found.column("w").tolist() == [0, 2**62]
    with pytest.raises(BadSource, match="'w' cannot be dropped: it is the weight"):
        upload(parquet_bytes(w=[1]), TableRoles(weight="w"), "t.parquet", drop=("w",))


@pytest.mark.parametrize(
    "roles", [{"why": "x"}, {"id": 7}, {"alignment": {"result": "x", "order_digest": "a" * 64}}, {"alignment": {}}]
)
def test_roles_of_another_form_in_a_manifest_are_damage(upload, roles):
    document = json.loads(upload(ROWS, ALL).manifest.to_json())
    document["roles"] |= roles
    with pytest.raises(Damaged, match="m is not a table manifest: roles"):
        TableManifest.from_json(json.dumps(document).encode(), "m")


def test_an_output_keeps_its_roles_and_weights_are_looked_at_when_it_is_published(store, tmp_path):
    rows = pa.table({"visit": [1, 2], "patient": ["a", "b"], "y": [0, 1], "w": [1.0, 0.0], "x": [1.0, -1.0]})
    outputs = store.staging.outputs(ATTEMPT, GUEST)
    declared = {str(GUEST): {"data": OutputKind.TABLE}}
    with (
        pytest.raises(BadWeight, match=r"'x' has -1\.0 in row 2"),
        outputs.table_writer("data", rows.schema, TableRoles(weight="x")) as writer,
    ):
        writer.write(rows)
    with outputs.table_writer("data", rows.schema, ALL) as writer:
        writer.write(rows)
    (manifest,) = (tmp_path / "store/staging").rglob("manifest.json")
    honest = manifest.read_text()
    document = json.loads(honest)
    manifest.write_text(json.dumps(document | {"roles": {"weight": "x"}}))
    with pytest.raises(OutputRefused, match=r"'x' has -1\.0 in row 2, which is no weight"):
        store.staging.publish(ATTEMPT.job, ATTEMPT.task, 1, declared)
    manifest.write_text(honest)
    (made,) = store.staging.publish(ATTEMPT.job, ATTEMPT.task, 1, declared)
    assert store.tables.manifest(made.reference).roles == ALL
