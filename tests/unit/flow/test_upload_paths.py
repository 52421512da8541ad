"""Which requests may be longer than the limit on bodies."""

import pytest

from flow.rest.routes.tables import is_upload


def test_only_a_put_to_exactly_a_table_streams() -> None:
    assert is_upload("PUT", "/v1/tables/bank/loans")
    assert not is_upload("POST", "/v1/tables/bank/loans")


@pytest.mark.parametrize("path", ["/v1/tables/bank/loans/policy", "/v1/tables/bank", "/v1/tables/", "/v1/tables//x"])
def test_a_path_beside_a_table_keeps_the_limit_on_bodies(path: str) -> None:
    assert not is_upload("PUT", path)
