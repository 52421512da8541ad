"""The inputs of an executor, as its component is given them."""

from __future__ import annotations

from types import SimpleNamespace

import pyarrow as pa

from node_manager.executor.context_adapters import StoreInputs
from storage.client import Store


def test_a_table_is_called_as_the_input_that_people_bound_it_to(tmp_path):
    store = Store(tmp_path)
    store.tables.writer("own/rows", pa.schema([("x", pa.int64())])).close()
    bound = SimpleNamespace(kind="table", reference="own/rows@1")
    order = SimpleNamespace(job="01JD0000000000000000000000", task="fit", component="a@1", inputs={"train": bound})
    component = SimpleNamespace(inputs={"train": None})
    inputs = StoreInputs(store, order, component, SimpleNamespace(log=lambda *_: None))
    assert inputs.table("train").title == "'own/rows@1' (input 'train' of task 'fit')"
    assert inputs.table("test") is None
