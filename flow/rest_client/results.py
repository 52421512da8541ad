"""Asking for results: tables, models and reports as files and records."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from flow.rest_client.http import CONNECT_S, HttpCalls
from flow.rest_client.paths import output_path, table_at
from flow.rest_client.remote_errors import raise_refusal, wrapped
from flow.rest_client.tables import Sent
from flow.views.jobs import OutputRow
from flow.views.party import ModelView, ReportView
from flow.whole_file import whole_file

SILENCE_S = 60.0  # between two pieces of a file
CHUNK_BYTES = 1 << 20


class ResultCalls(HttpCalls):
    """What jobs have made, and tables, taken out of a party."""

    def export_table(
        self, reference: str, file: Path, form: str, *, overwrite: bool = False, got: Sent | None = None
    ) -> int:
        """Write all rows of a table to a file (`csv`, `parquet` or `arrow`); the bytes written. Raises FileThere."""
        path, params = table_at(reference, "/rows")
        return self._download(path, params | {"format": form}, file, overwrite=overwrite, got=got)

    def models(self) -> list[ModelView]:
        """The models of this party."""
        return self._ask(list[ModelView], "GET", "/models")

    def model(self, reference: str, role: str | None = None) -> ModelView:
        """One model: its details and the form of its arrays."""
        return self._ask(ModelView, "GET", output_path("models", reference), _of(role))

    def export_model(
        self, reference: str, file: Path, role: str | None = None, *, overwrite: bool = False, got: Sent | None = None
    ) -> int:
        """Write a model to a safetensors file; the bytes written. Raises FileThere."""
        path = output_path("models", reference) + "/file"
        return self._download(path, _of(role), file, overwrite=overwrite, got=got)

    def delete_model(self, reference: str) -> None:
        """Delete this party's part of a model."""
        self._call("DELETE", output_path("models", reference))

    def report(self, reference: str, role: str | None = None) -> ReportView:
        """One report."""
        return self._ask(ReportView, "GET", output_path("reports", reference), _of(role))

    def relay_output(self, output: OutputRow, form: str) -> Iterator[bytes]:
        """The bytes of a table (in a form), model or report of a job, for a page that passes them on."""
        if output.kind == "report":
            yield self.report(output.reference, output.role).model_dump_json(indent=1).encode()
            return
        if output.kind == "table":
            path, params = table_at(output.reference, "/rows")
            params |= {"format": form}
        else:
            path, params = output_path("models", output.reference) + "/file", _of(output.role)
        with self._pieces(path, params) as (_, pieces):
            yield from pieces

    def _download(self, path: str, params: dict[str, Any], file: Path, *, overwrite: bool, got: Sent | None) -> int:
        """The answer's body as a file, which appears whole or not at all; its bytes."""
        written = 0
        with (
            whole_file(file, overwrite=overwrite) as beside,
            beside.open("xb") as target,
            self._pieces(path, params) as (total, pieces),
        ):
            for piece in pieces:
                written += target.write(piece)
                if got is not None:
                    got(written, total)
        return written

    @contextmanager
    def _pieces(self, path: str, params: dict[str, Any]) -> Iterator[tuple[int, Iterator[bytes]]]:
        """The answer's size (0 if it is not told) and its bytes as they come."""
        timeout = httpx.Timeout(SILENCE_S, connect=CONNECT_S)
        how: dict[str, Any] = {"params": params, "headers": self._headers(), "timeout": timeout}
        with wrapped(self.url), self._http.stream("GET", f"{self.url}/v1{path}", **how) as response:
            if response.is_error:
                raise_refusal(response.status_code, response.read())
            yield int(response.headers.get("content-length", 0)), response.iter_bytes(CHUNK_BYTES)


def _of(role: str | None) -> dict[str, str]:
    return {"role": role} if role else {}
