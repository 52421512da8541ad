"""Golden bytes of version 1: the good ones decode for ever, each bad one is an error with a name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from storage.client import ValueDamaged, ValueKindUnknown, ValueVersionUnknown, decode, describe
from tests.vectors.value_v1.generate import BAD, GOOD

FOLDER = Path(__file__).parents[2] / "vectors" / "value_v1"
NOT_DAMAGED = {
    "version_2": ValueVersionUnknown,
    "kind_unknown": ValueKindUnknown,
    "kind_of_a_field_unknown": ValueKindUnknown,
    "dtype_unknown": ValueKindUnknown,
    "table_of_lists": ValueKindUnknown,
}


def test_every_file_is_in_the_list():
    here = {path.stem for path in FOLDER.glob("*.arrow")}
    assert here == set(GOOD) | {f"bad_{name}" for name in BAD}


@pytest.mark.parametrize("name", GOOD)
def test_a_golden_value_decodes(name):
    data = (FOLDER / f"{name}.arrow").read_bytes()
    same(decode(data), GOOD[name])
    assert describe(data).version == 1


@pytest.mark.parametrize("name", BAD)
def test_a_bad_value_is_refused_by_name(name):
    with pytest.raises(NOT_DAMAGED.get(name, ValueDamaged)):
        decode((FOLDER / f"bad_{name}.arrow").read_bytes())


def same(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        np.testing.assert_array_equal(found, expected)
    elif isinstance(expected, pa.Table):
        assert found.equals(expected)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for name, field in expected.items():
            same(found[name], field)
    else:
        assert found == expected
