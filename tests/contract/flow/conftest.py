from __future__ import annotations

from tests.fixtures.mariadb import mariadb

__all__ = ["mariadb"]
