"""Asking about tables: upload, look, delete."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from flow.rest_client.http import CONNECT_S, HttpCalls
from flow.rest_client.paths import table_at, table_path
from flow.views.party import HeadView, TableView
from storage.facts import NO_ROLES, TableRoles

UPLOAD_S = 24 * 3600.0  # the answer comes when the whole file is stored
CHUNK_BYTES = 1 << 20

Sent = Callable[[int, int], None]


class TableCalls(HttpCalls):
    """The tables of a party."""

    def upload(
        self,
        file: Path,
        table: str,
        *,
        roles: TableRoles = NO_ROLES,
        reading: Mapping[str, Any] | None = None,
        sent: Sent | None = None,
    ) -> TableView:
        """Store a CSV, Parquet or Arrow file as the next version of a table.

        Args:
            file: The file.
            table: `namespace/name`.
            roles: The columns that play a role.
            reading: How the file is to be read, under the names of the query: `format`, `type`, `encoding`,
                `delimiter`, `decimal`, `no_header`, `columns`, `null`, `features`, `drop`; a text, or a list of texts.
            sent: Told on the way: `sent(done, total)`.
        """
        params = roles.columns | {name: value for name, value in (reading or {}).items() if value}
        headers = {
            "File-Name": quote(file.name),
            "Content-Type": "application/octet-stream",
            "Content-Length": str(file.stat().st_size),  # so that one that cannot fit is refused at once
        }
        return self._ask(
            TableView,
            "PUT",
            table_path(table),
            content=_chunks(file, sent),
            params=params,
            headers=headers,
            timeout=httpx.Timeout(UPLOAD_S, connect=CONNECT_S),
        )

    def tables(self) -> list[TableView]:
        """The tables of this party."""
        return self._ask(list[TableView], "GET", "/tables")

    def table(self, reference: str) -> TableView:
        """One table."""
        return self._ask(TableView, "GET", *table_at(reference))

    def head(self, reference: str, rows: int = 10) -> HeadView:
        """The first rows of a table."""
        path, params = table_at(reference, "/head")
        return self._ask(HeadView, "GET", path, params | {"rows": rows})

    def delete(self, reference: str) -> None:
        """Delete a table, or one version of it."""
        path, params = table_at(reference)
        self._call("DELETE", path, params=params)


def _chunks(file: Path, sent: Sent | None) -> Iterator[bytes]:
    total = file.stat().st_size
    done = 0
    with file.open("rb") as source:
        while chunk := source.read(CHUNK_BYTES):
            yield chunk
            done += len(chunk)
            if sent is not None:
                sent(done, total)
