"""What a number from outside may be: types for every message, event and file that another process or party wrote.

Python's integers have no end, databases and dates do. A field of a message is one of these types, never a bare `int`
or `float`, so that what cannot be stored or shown is refused where it enters, with the name of the field.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

MAX_COUNT = (1 << 53) - 1  # what JSON, JavaScript and every database carry exactly
MAX_TIME_MS = 253_402_300_799_999  # the end of the year 9999
MAX_ATTEMPTS = 10_000

Count = Annotated[int, Field(strict=True, ge=0, le=MAX_COUNT)]
TimeMs = Annotated[int, Field(strict=True, ge=0, le=MAX_TIME_MS)]  # milliseconds since 1970, UTC
Attempt = Annotated[int, Field(strict=True, ge=1, le=MAX_ATTEMPTS)]
Incarnation = Attempt
Finite = Annotated[float, Field(allow_inf_nan=False)]
