"""Messages as they were stored: read under today's bounds, which an older release may not have known."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from flow.errors import UnreadableJob
from flow.problems import from_validation

M = TypeVar("M", bound=BaseModel)


def stored(kind: type[M], job: str, text: str) -> M:
    """What a text of a job holds. Raises UnreadableJob for what an older release took in and this one would not."""
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise UnreadableJob(
            f"Job {job} cannot be read: {from_validation(error, kind)[0].path}.", hint="Stop it; it does not run."
        ) from None
