"""Messages as they were stored: read under today's bounds, which an older release may not have known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from flow.errors import UnreadableJob
from flow.job.problems import from_validation

M = TypeVar("M", bound=BaseModel)


def stored(kind: type[M], job: str, found: str | Mapping[str, Any]) -> M:
    """What a text or the columns of a job hold.

    Raises:
        UnreadableJob: An older release took it in and this one would not.
    """
    try:
        return kind.model_validate_json(found) if isinstance(found, str) else kind.model_validate(found)
    except ValidationError as error:
        raise UnreadableJob(
            f"Job {job} cannot be read: {from_validation(error, kind)[0].path}.", hint="Stop it; it does not run."
        ) from None
