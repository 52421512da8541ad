"""Whether what a party stands on works: tried, in time, and seldom."""

from __future__ import annotations

import shutil
import threading
from collections import namedtuple
from datetime import timedelta
from threading import Event

import pytest

from flow.errors import StoreUnavailable
from flow.rest import vitals
from flow.rest.vital_checks import card_text
from flow.rest.vitals import DiskFull, Vitals, disk
from party.errors import CardExpired
from party.home_init import create_home

Usage = namedtuple("Usage", "total used free")


def test_each_check_is_told_with_its_own_words():
    def down():
        raise StoreUnavailable("The database does not answer.")

    found = Vitals({"database": down, "storage": lambda: "3 GiB free"}).now()
    assert [(v.room, v.ok, v.text) for v in found] == [
        ("database", False, "The database does not answer."),
        ("storage", True, "3 GiB free"),
    ]


def test_an_answer_is_kept_for_a_while_and_then_asked_for_again():
    now, asked = [0.0], []
    watched = Vitals({"one": lambda: asked.append(1) or ""}, monotonic=lambda: now[0])
    watched.now()
    now[0] = vitals.KEPT_S / 2
    watched.now()
    assert len(asked) == 1
    now[0] = vitals.KEPT_S + 1
    watched.now()
    assert len(asked) == 2


def test_a_check_that_hangs_is_not_started_again_and_heals_by_itself():
    goes_on, asked = Event(), []

    def hangs():
        asked.append(1)
        goes_on.wait(30)
        return ""

    watched = Vitals({"database": hangs}, kept_s=0.0, limit_s=0.05)
    assert not watched.now()[0].ok
    assert "did not answer" in watched.now()[0].text
    assert len(asked) == 1
    goes_on.set()
    while not watched.now()[0].ok:
        pass
    assert len(asked) <= 2


def test_who_asks_while_the_answer_is_renewed_gets_the_last_one_and_does_not_wait():
    now, goes_on, hangs = [0.0], Event(), Event()

    def check():
        if now[0]:
            hangs.set()
            goes_on.wait(60)
        return f"at {now[0]:g}"

    watched = Vitals({"database": check}, monotonic=lambda: now[0])
    assert watched.now()[0].text == "at 0"
    now[0] = vitals.KEPT_S
    renewing = threading.Thread(target=watched.now)
    renewing.start()
    assert hangs.wait(60)
    assert [watched.now()[0].text for _ in range(100)] == ["at 0"] * 100
    goes_on.set()
    renewing.join(60)
    assert watched.now()[0].text == "at 2"


def test_a_full_disk_is_named_and_a_free_one_says_how_much(tmp_path, monkeypatch):
    assert "free" in disk(lambda: [tmp_path])()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(24 << 20, 24 << 20, 0))
    monkeypatch.setattr(vitals, "lacks_room", lambda _: True)
    with pytest.raises(DiskFull, match=r"is full: 0 B of 24\.0 MiB free"):
        disk(lambda: [tmp_path])()


def test_a_card_that_ends_soon_warns_and_one_that_has_ended_fails(tmp_path):
    home = create_home(tmp_path / "home", "north")
    from datetime import datetime

    until = datetime.fromisoformat(home.card.valid_until)
    assert card_text(home, until - timedelta(days=60)) == ""
    assert "--renew" in card_text(home, until - timedelta(days=10))
    with pytest.raises(CardExpired):
        card_text(home, until + timedelta(days=1))


@pytest.mark.parametrize("problem", [TimeoutError(110, "Connection timed out"), ValueError("a defect")])
def test_whatever_a_check_raises_is_not_ok_and_is_tried_again(problem, monkeypatch):
    now, tries = [0.0], []
    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # a defect ends its thread, which tells of it

    def raises():
        tries.append(threading.current_thread())
        raise problem

    watched = Vitals({"storage": raises}, monotonic=lambda: now[0])
    assert not watched.now()[0].ok
    now[0] = vitals.KEPT_S + 1
    assert not watched.now()[0].ok
    assert len(tries) == 2
    for thread in tries:
        thread.join(30)
