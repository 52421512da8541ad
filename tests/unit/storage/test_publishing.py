"""What an executor left as outputs is copied, measured and looked at before anybody sees it, and stays as it was."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from party.ids import Address, AttemptId, JobId, TaskName
from storage.client import (
    ColumnNotFound,
    Damaged,
    ExportFormat,
    Model,
    ModelNotFound,
    OutputKind,
    OutputRefused,
    Store,
    TableRoles,
    UndeclaredOutput,
    UnsupportedValue,
    UsePolicy,
    exported,
    exported_model,
)
from tests.fakes.clock import FakeClock

ATTEMPT = AttemptId(JobId("01JD0000000000000000000000"), TaskName("task"), 1)
GUEST = Address.parse("guest:bank")
DECLARED = {str(GUEST): {"m": OutputKind.MODEL, "t": OutputKind.TABLE, "r": OutputKind.REPORT}}
MODEL = Model("linear", 1, {"w": np.arange(4.0)}, {"features": ["a"]})
TABLE = f"job-{ATTEMPT.job.lower()}/task-t"
REF = f"{ATTEMPT.job}/task"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store", clock=FakeClock())


@pytest.fixture
def staged(store, tmp_path):
    """All three outputs, staged; the folder in which the executor has put them."""
    outputs = store.staging.outputs(ATTEMPT, GUEST)
    outputs.save_model("m", MODEL)
    outputs.save_report("r", "roc", 1, {"auc": 1})
    with outputs.table_writer("t", pa.schema([("id", pa.int64()), ("x", pa.float64())]), TableRoles(id="id")) as writer:
        writer.write(pa.table({"id": [1, 2, 3], "x": [0.1, 0.2, 0.3]}))
    return tmp_path / f"store/staging/{ATTEMPT}/guest-bank"


def publish(store, declared=None):
    return {p.output: p for p in store.staging.publish(ATTEMPT.job, "task", 1, declared or DECLARED)}


def changed(file, **fields):
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def nothing_is_visible(store):
    assert store.tables.list() == store.models.list() == []
    assert store.staging._published.of(ATTEMPT.job, "task") is None
    assert not list(store.models.listing()[1])
    return True


FORGED = {
    "models/m/model.json": [
        ("not JSON", lambda file: file.write_text("{")),
        ("model.json", lambda file: file.write_text('{"schema":1,"kind":"spy"}')),
        ("kind", lambda file: changed(file, kind="\x1b[2J")),
        ("kind", lambda file: changed(file, kind="k" * 201)),
        ("kind_schema", lambda file: changed(file, kind_schema=10**400)),
        ("details", lambda file: changed(file, details=[])),
        ("nested more", lambda file: file.write_text('{"details":' + "[" * 100000 + "]" * 100000 + "}")),
        ("more than", lambda file: os.truncate(file, 33 << 20)),
    ],
    "models/m/model.safetensors": [
        ("arrays", lambda file: file.write_bytes(b"\xff" * 100)),
        ("missing", lambda file: file.unlink()),
        ("not a file that can be read", lambda file: (file.unlink(), file.mkdir())),
        ("not a file that can be read", lambda file: (file.unlink(), file.symlink_to("/etc/passwd"))),
        ("not a file that can be read", lambda file: (file.unlink(), os.mkfifo(file))),
    ],
    "tables/t/manifest.json": [
        ("partitions.0", lambda file: changed(file, partitions=[["data/x/part-00000.arrow", 1, 10**400, "0" * 64]])),
        ("partitions.0", lambda file: changed(file, partitions=[["data/x/part-00000.arrow", -5, 1, "0" * 64]])),
        ("no partitions", lambda file: changed(file, partitions=[["../../../../keys/party.key", 1, 1, "0" * 64]])),
        ("missing", lambda file: changed(file, partitions=[["data/x/part-00000.arrow", 1, 1, "0" * 64]])),
        ("no partitions", lambda file: changed(file, partitions=json.loads(file.read_text())["partitions"] * 2)),
        ("no column", lambda file: changed(file, roles={"id": "\x1b[31mX"})),
        ("control character", lambda file: changed(file, columns=[["\u202eevil\x1b[2J", "int64"]])),
        ("type of a column", lambda file: changed(file, columns=[["a", "\x1b[2J"]])),
        ("columns of its manifest", lambda file: changed(file, columns=[["id", "int64"]])),
    ],
    "reports/r.json": [
        ("kind", lambda file: changed(file, kind="<\x1b>")),
        ("schema", lambda file: changed(file, schema=-1)),
        ("Extra", lambda file: changed(file, more=1)),
        ("nested more", lambda file: file.write_text('{"kind":"x","schema":1,"body":{"a":' + "[" * 99999 + "}")),
        ("more than", lambda file: os.truncate(file, 33 << 20)),
        ("not a file that can be read", lambda file: (file.unlink(), file.symlink_to("/etc/hostname"))),
    ],
}


@pytest.mark.parametrize(("path", "forge"), [(path, each) for path, cases in FORGED.items() for each in cases])
def test_a_forged_output_is_refused_by_name_and_nothing_becomes_visible(store, staged, path, forge):
    says, spoil = forge
    spoil(staged / path)
    with pytest.raises(OutputRefused) as caught:
        publish(store)
    assert caught.value.code == "storage.output_refused"
    assert f"'{Path(path).parts[1].removesuffix('.json')}'" in caught.value.message
    assert says in caught.value.message or says == "model.json"
    assert str(staged)[:20] not in caught.value.message
    assert "\x1b" not in caught.value.message
    assert nothing_is_visible(store)


@pytest.mark.parametrize("folder", ["models/Bad Name!", "models/other", "tables/m", "models/\x1b[2J"])
def test_an_output_that_the_component_does_not_declare_is_refused_by_name(store, staged, folder):
    (staged / folder).mkdir(parents=True)
    for kind in ("model.json", "manifest.json"):
        (staged / folder / kind).write_text("{}")
    with pytest.raises(UndeclaredOutput, match="It declares m, r, t for that role") as caught:
        publish(store)
    assert Path(folder).name.replace("\x1b", "\ufffd") in caught.value.message
    assert nothing_is_visible(store)


def test_a_role_that_declares_nothing_publishes_nothing(store, staged):
    with pytest.raises(UndeclaredOutput, match="none for that role"):
        publish(store, {str(GUEST): {}})
    assert store.staging.publish(ATTEMPT.job, "task", 1, {}) == []


def test_what_the_service_knows_itself_is_not_taken_from_the_executor(store, staged):
    changed(
        staged / "tables/t/manifest.json",
        rows=10**400,
        owner="bob",
        origin="<script>",
        created_at="9999-12-31T23:59:59-23:00",
        use={"users": ["*"]},
        version=7,
        digest="f" * 64,
        name="bob/t",
        roles={"label": "x"},
    )
    changed(staged / "models/m/model.json", digest="f" * 64, bytes=10**400)
    published = publish(store)
    made = store.tables.manifest(TABLE)
    assert (made.rows, made.owner, made.origin, made.version, made.name) == (3, "", f"{ATTEMPT}/{GUEST}", 1, TABLE)
    assert (made.created_at, made.roles) == (FakeClock().now(), TableRoles(label="x"))
    assert store.use.of_table(TABLE) == UsePolicy()
    assert published["t"].digest == made.digest != "f" * 64
    info = store.models.info(f"{REF}.m")
    assert published["m"].digest == info.digest == MODEL.digest()
    assert 0 < info.bytes < 1000


def test_a_handle_that_an_executor_keeps_open_changes_nothing_that_is_published(store, staged):
    handles = [os.open(file, os.O_RDWR) for file in staged.rglob("*") if file.is_file()]
    published = publish(store)
    for handle in handles:
        os.pwrite(handle, b"\0" * os.fstat(handle).st_size, 0)
        os.close(handle)
    assert store.models.load(f"{REF}.m").digest() == published["m"].digest == MODEL.digest()
    table = store.tables.open(TABLE)
    table.verify()
    assert table.column("x").tolist() == [0.1, 0.2, 0.3]
    assert store.report(f"{REF}.r").body == {"auc": 1}


def test_what_an_executor_closes_to_all_is_published_or_refused_and_can_be_removed(store, staged):
    (staged / "models/m").chmod(0)
    (staged / "tables").chmod(0)
    assert set(publish(store)) == {"m", "r", "t"}
    outputs = store.staging.outputs(AttemptId(ATTEMPT.job, TaskName("other"), 1), GUEST)
    outputs.save_model("m", MODEL)
    (staged.parents[2] / "other/1/guest-bank/models").chmod(0)
    store.staging.discard(ATTEMPT.job)
    assert not (staged.parents[2]).exists()


def test_a_model_that_is_not_what_was_published_is_not_used(store, staged):
    publish(store)
    store.models.save(f"{REF}.m", Model("linear", 1, {"w": np.ones(4)}), "guest")  # whole in itself
    for use in (store.models.load, lambda ref: exported_model(store.models, ref)):
        with pytest.raises(Damaged, match=r"not what was published.*Do not use it"):
            use(f"{REF}.m")


def test_arrays_that_were_changed_are_not_exported(store, staged, tmp_path):
    publish(store)
    (file,) = (tmp_path / "store/models").rglob("model.safetensors")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(Damaged, match="digest differs"):
        exported_model(store.models, f"{REF}.m")


def test_a_report_that_is_not_what_was_published_is_not_shown(store, staged, tmp_path):
    publish(store)
    (file,) = (tmp_path / "store/reports").rglob("guest.json")
    changed(file, body={"auc": 0})
    with pytest.raises(Damaged, match="not what was published"):
        store.report(f"{REF}.r")


def test_a_table_that_was_changed_is_not_read_and_one_that_was_not_is_hashed_once(store, staged, tmp_path, monkeypatch):
    publish(store)
    table, hashed = store.tables.open(TABLE), []
    monkeypatch.setattr(type(table), "_verify", lambda _, part: hashed.append(part))
    assert table.to_arrow().num_rows == 3
    assert hashed == []
    list(exported(table, ExportFormat.CSV))
    assert len(hashed) == 1
    monkeypatch.undo()
    (file,) = (tmp_path / "store/tables").rglob("*.arrow")
    data = file.read_bytes()
    with file.open("r+b") as changing:
        changing.write(data.replace(np.float64(0.2).tobytes(), np.float64(0.9).tobytes()))
    for use in (lambda: store.tables.head(TABLE), lambda: list(exported(store.tables.open(TABLE), ExportFormat.CSV))):
        with pytest.raises(Damaged, match=r"another digest.*run the job again"):
            use()
    file.write_bytes(data)  # back from a backup: another stamp, the same digest
    assert store.tables.head(TABLE).num_rows == 3


def test_a_manifest_that_is_not_the_published_one_is_not_opened(store, staged, tmp_path):
    publish(store)
    changed(tmp_path / f"store/tables/{TABLE}/1.json", digest="e" * 64)
    with pytest.raises(Damaged, match="not what was published"):
        store.tables.open(TABLE)


def test_lists_name_what_is_damaged_and_show_the_rest(store, staged, tmp_path):
    publish(store)
    models = tmp_path / f"store/models/{ATTEMPT.job}"
    for name, text in (("task.cut/guest", '{"schema":1,"kind":"spy"}'), ("task.new/host", '{"schema":7}')):
        (models / name).mkdir(parents=True)
        (models / name / "model.json").write_text(text)
    (models / "Bad Name!").mkdir()
    (tmp_path / f"store/tables/{TABLE}/2.json").write_text("{}")
    assert [info.reference for info in store.models.list()] == [f"{REF}.m"]
    damaged = store.models.listing()[1] + store.tables.listing()[1]
    assert [entry.reference for entry in damaged] == [
        f"{ATTEMPT.job}/Bad Name!", f"{REF}.cut", f"{REF}.new", f"{TABLE}@2"
    ]  # fmt: skip
    assert not any(str(tmp_path) in entry.problem for entry in damaged)
    assert [table.reference for table in store.tables.list()] == [f"{TABLE}@1"]
    with pytest.raises(Damaged, match=r"Delete the model"):
        store.models.load(f"{REF}.cut")
    store.models.delete(f"{REF}.cut")
    with pytest.raises(ModelNotFound):
        store.models.info(f"{REF}.cut")
    assert [str(ref) for ref in store.tables.delete(f"{TABLE}@2")] == [f"{TABLE}@2"]
    assert store.tables.listing()[1] == []


def test_files_of_holes_are_refused_before_a_byte_of_them_is_copied(store, staged):
    os.truncate(staged / "models/m/model.safetensors", 1 << 42)
    with pytest.raises(OutputRefused, match="task as guest:bank left files of 4398"):
        publish(store)
    assert nothing_is_visible(store)


def test_a_report_too_large_to_be_published_is_refused_where_it_is_made(store):
    with pytest.raises(UnsupportedValue, match="Save what is large as a table"):
        store.staging.outputs(ATTEMPT, GUEST).save_report("r", "roc", 1, {"a": "x" * (32 << 20)})
    with pytest.raises(UnsupportedValue, match="Save what is large as arrays"):
        store.staging.outputs(ATTEMPT, GUEST).save_model("m", Model("x", 1, {}, {"a": "x" * (32 << 20)}))


def test_names_that_an_executor_left_among_checkpoints_are_nobodys(store, tmp_path):
    checkpoints = store.checkpoints(bytes(32))
    checkpoints.save(ATTEMPT, GUEST, 4, {"w": 1})
    folder = tmp_path / f"store/checkpoints/{ATTEMPT}/guest-bank"
    for name in ("evil.ckpt", "9" * 200 + ".ckpt", "\u0663.ckpt", "-00000000001.ckpt"):
        (folder / name).write_text("")
    for name in ("9" * 200, "\u0663", "0", "10001"):
        (folder.parents[1] / name / "guest-bank").mkdir(parents=True)
        (folder.parents[1] / name / "guest-bank/000000000001.ckpt").write_text("")
    assert checkpoints.held(ATTEMPT.job, "task", GUEST) == {1: [4]}


def nested(folder, depth):
    """So many folders in one another, with a file in the last, made as an executor would: step by step."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", 0o500, dir_fd=here)
        os.chmod("d", 0o700, dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


@pytest.mark.parametrize(("where", "depth"), [("models/m", 2500), (".", 200)])
def test_folders_nested_beyond_every_path_are_refused_and_can_be_removed(store, staged, tmp_path, where, depth):
    nested(staged / where, depth)
    with pytest.raises(OutputRefused, match="cannot be published: More than 64 folders") as refused:
        publish(store)
    assert refused.value.code == "storage.output_refused"
    store.staging.discard(ATTEMPT.job)
    assert not (tmp_path / f"store/staging/{ATTEMPT.job}").exists()


def test_names_that_are_too_long_together_are_refused(store, staged, tmp_path):
    here = os.open(staged, os.O_RDONLY)
    for _ in range(30):
        os.mkdir("n" * 250, dir_fd=here)
        here = os.open("n" * 250, os.O_RDONLY, dir_fd=here)
    with pytest.raises(OutputRefused, match="too long together"):
        publish(store)
    store.staging.discard(ATTEMPT.job)
    assert not (tmp_path / f"store/staging/{ATTEMPT.job}").exists()


def test_a_table_bound_to_a_task_is_called_as_its_job_names_it(store, staged):
    publish(store)
    store.tables.writer("own/rows", pa.schema([("x", pa.int64())])).close()
    own, other = ATTEMPT.job, "01JE0000000000000000000000"
    assert store.tables.open(TABLE).title == f"'{TABLE}@1'"
    for reference, job, said in (
        (TABLE, own, "task.t"),
        (TABLE, other, f"job:{own}/task.t"),
        ("own/rows", own, "own/rows@1"),
    ):
        bound = store.tables.open(reference).as_input(job, "train", "rows")
        assert bound.title == f"'{said}' (input 'rows' of task 'train')"
        with pytest.raises(ColumnNotFound, match=r"There is no column 'z' \(of '"):
            bound.column("z")
