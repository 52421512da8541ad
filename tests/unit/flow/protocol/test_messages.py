"""Names that another party sends become paths here: nothing but a ULID is a job."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from flow.protocol.messages import JobOrder
from party.ids import new_job_id


@pytest.mark.parametrize("name", ["../../keys", "..", "", "/etc", "JOB1", "01M8DPA9QMJ7543YEFXHBZRSBR\n", "a" * 26])
def test_a_job_id_that_is_no_ulid_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="job"):
        JobOrder(job=name)


def test_a_ulid_is_a_job_id() -> None:
    name = new_job_id()
    assert JobOrder(job=name).job == name
