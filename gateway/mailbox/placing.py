"""Where a body lies once it is stored: small ones in the row, larger ones in a file of their own."""

from __future__ import annotations

from contextlib import ExitStack

from gateway.mailbox.spool import FileSpool, SpoolFolder
from gateway.mailbox.store import INLINE_BYTES, Body
from runtime.disk.files import sync_folder
from runtime.disk.room import require_room


class Placed:
    """Gives a body its place before the transaction, and takes it back if the transaction does not want it.

    Raises DiskFull where the disk has no room for what may wait.
    """

    def __init__(self, spools: SpoolFolder, body: Body, *, sync: bool) -> None:
        self._spools = spools
        self._body = body
        self._sync = sync
        self._undo = ExitStack()

    def __enter__(self) -> tuple[bytes | None, str | None, ExitStack]:
        body = self._body
        size = len(body) if isinstance(body, bytes) else body.size
        if size <= INLINE_BYTES:
            if isinstance(body, bytes):
                require_room(self._spools.bodies, size)
                return body, None, self._undo
            data = body.buffer().to_pybytes()
            body.abandon()
            return data, None, self._undo
        target = self._spools.fresh_body()
        self._undo.callback(target.unlink, missing_ok=True)
        if isinstance(body, bytes):
            spool = self._spools.open()
            try:
                spool.write(body)
            except BaseException:
                spool.abandon()
                raise
        elif isinstance(body, FileSpool):
            spool = body
        else:
            raise TypeError("a disk mailbox takes only its own spools")
        spool.move(target, sync=self._sync)
        if self._sync:
            sync_folder(self._spools.bodies)
        return None, target.name, self._undo

    def __exit__(self, *_: object) -> None:
        self._undo.close()
