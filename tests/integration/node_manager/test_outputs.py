"""Outputs of a component that writes past the door of outputs: what is published is measured, and stays as it is."""

from __future__ import annotations

import os

import pytest

from node_manager.client import Input
from node_manager.events import EventKind
from storage.client import OutputKind, OutputRefused, Store, UndeclaredOutput

DECLARED = {"guest:a": {"model": OutputKind.MODEL, "report": OutputKind.REPORT, "table": OutputKind.TABLE}}


@pytest.mark.parametrize(
    ("forged", "code"),
    [
        ('models/model/model.json={"schema":1,"kind":"spy"}', OutputRefused),
        ("models/Bad Name!/model.json={}", UndeclaredOutput),
        ("tables/table/manifest.json={", OutputRefused),
        ('reports/report.json={"kind":"\x1b[2J","schema":1,"body":{}}', OutputRefused),
        ("reports/other.json={}", UndeclaredOutput),
    ],
)
def test_what_a_component_forges_is_refused_and_leaves_the_lists_as_they_were(
    client, reader, order_of, tmp_path, forged, code
):
    order = order_of("forge", where=forged, store=str(tmp_path / "store"))
    client.start(order)
    assert reader.final(order).kind is EventKind.SUCCEEDED, reader.final(order)
    store = Store(order.store)
    with pytest.raises(code, match=forged.partition("=")[0].split("/")[1].removesuffix(".json")):
        store.staging.publish(order.job, "task", 1, DECLARED)
    assert store.models.listing() == store.tables.listing() == ([], [])


def test_what_is_published_is_out_of_reach_of_what_a_component_leaves_behind(client, reader, order_of, tmp_path):
    order = order_of("forge", store=str(tmp_path / "store"))
    client.start(order)
    assert reader.final(order).kind is EventKind.SUCCEEDED, reader.final(order)
    staged = tmp_path / f"store/staging/{order.job}/task/1/guest-a"
    handles = [os.open(file, os.O_RDWR) for file in staged.rglob("*") if file.is_file()]
    store = Store(order.store)
    made = {output.output: output for output in store.staging.publish(order.job, "task", 1, DECLARED)}
    for handle in handles:  # as a process would that has outlived its executor
        os.pwrite(handle, b"spoilt " * 8, 0)
        os.close(handle)
    assert len(handles) >= 5
    assert store.models.load(made["model"].reference).digest() == made["model"].digest
    store.tables.open(made["table"].reference).verify()
    using = order_of(
        "use",
        job=order.job.replace("01J", "01K"),
        store=order.store,
        inputs={
            "data": Input(kind="table", reference=made["table"].reference),
            "model": Input(kind="model", reference=made["model"].reference),
        },
    )
    client.start(using)
    assert reader.final(using).kind is EventKind.SUCCEEDED, reader.final(using)
    assert "[1, 2, 3] [0.0, 0.0, 0.0, 0.0]" in reader.texts(using)


def test_a_job_does_not_open_a_table_that_was_changed_after_it_was_published(client, reader, order_of, tmp_path):
    order = order_of("forge", store=str(tmp_path / "store"))
    client.start(order)
    assert reader.final(order).kind is EventKind.SUCCEEDED
    made = {o.output: o for o in Store(order.store).staging.publish(order.job, "task", 1, DECLARED)}
    (file,) = (tmp_path / "store/tables").rglob("*.arrow")
    data, one = file.read_bytes(), (1).to_bytes(8, "little")
    with file.open("r+b") as changing:
        changing.write(data.replace(one + (2).to_bytes(8, "little"), one + one))
    inputs = {"data": Input(kind="table", reference=made["table"].reference)}
    using = order_of("use", job=order.job.replace("01J", "01K"), store=order.store, inputs=inputs)
    client.start(using)
    final = reader.final(using)
    assert final.kind is EventKind.FAILED
    assert final.body["code"] == "storage.damaged"
