"""A gateway whose disk is full takes no more, and lets go of what it has."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.mailbox.disk import DiskMailbox
from gateway.mailbox.schema import open_database
from gateway.mailbox.store import INLINE_BYTES
from runtime.disk import room
from runtime.errors import DiskFull
from tests.contract.gateway.test_mailbox import envelope, spooled
from tests.fakes.gateway_parties import make_contract


def test_new_mail_waits_and_what_is_there_is_delivered_released_and_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailbox = DiskMailbox(tmp_path, open_database(tmp_path / "gateway.sqlite"))
    mailbox.open_job(make_contract("JOB"))
    came, goes = envelope(b"in", inward=True), envelope(b"out")
    assert mailbox.put_in(came, spooled(mailbox, b"in"))
    assert mailbox.put_out(goes, b"out", "b")
    monkeypatch.setattr(room, "lacks_room", lambda *_: True)
    for body in (b"next", bytes(INLINE_BYTES + 1)):
        with pytest.raises(DiskFull):
            mailbox.put_out(envelope(body, step=2), body, "b")
        assert [path for path in tmp_path.rglob("new.*") if path.is_file()] == []
    with pytest.raises(DiskFull):
        spooled(mailbox, b"next", name="JOB.b.x")
    mailbox.release(came.header.keys)
    (waiting,) = mailbox.queued("b", large=False, after=0, limit=9)
    mailbox.delivered([waiting.sequence])
    assert mailbox.backlog() == {}
    mailbox.close_job("JOB")
    assert mailbox.jobs() == []
    monkeypatch.undo()
    mailbox.close()
