from __future__ import annotations

import json
import logging
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from runtime import log
from runtime.text import is_printable


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Path]:
    hooks = sys.excepthook, threading.excepthook
    level = logging.getLogger().level
    log.configure("gateway", tmp_path / "logs" / "gateway.log", party="alice")
    yield tmp_path / "logs" / "gateway.log"
    log.close()
    sys.excepthook, threading.excepthook = hooks
    logging.getLogger().setLevel(level)


def _lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_is_one_json_object_with_room_party_and_time(logged: Path) -> None:
    log.get_logger("gateway").info("Peer connected", peer="bob", queued=3, ok=True, share=0.5)
    (line,) = _lines(logged)
    assert line.pop("timestamp").endswith("Z")  # type: ignore[attr-defined]
    assert line == {
        "event": "Peer connected",
        "level": "info",
        "logger": "archipelago.gateway",
        "room": "gateway",
        "party": "alice",
        "peer": "bob",
        "queued": 3,
        "ok": True,
        "share": 0.5,
    }


def test_ids_ride_along_inside_their_block_and_thread_only(logged: Path) -> None:
    logger = log.get_logger("gateway")
    with log.ids(job="01J", task="train", attempt=2, address="guest:alice"):
        logger.info("inside")
        other = threading.Thread(target=lambda: logger.info("elsewhere"))
        other.start()
        other.join()
    logger.info("outside")
    inside, elsewhere, outside = _lines(logged)
    assert (inside["job"], inside["task"], inside["attempt"], inside["address"]) == ("01J", "train", 2, "guest:alice")
    assert "job" not in elsewhere
    assert "job" not in outside


def test_values_and_secrets_do_not_get_into_the_log(logged: Path) -> None:
    log.get_logger("gateway").info(
        "Sent",
        weights=np.arange(3.0) + 0.123456,
        body=b"\x01secret-bytes",
        parts={"w": [1.5]},
        token="arch_abc",
        database_password="pw-1",
        number=np.float64(0.98765),
        file=Path("/a/b"),
        text="x" * 5000,
    )
    (line,) = _lines(logged)
    assert line["weights"] == "<ndarray>"
    assert line["body"] == "<bytes>"
    assert line["parts"] == "<dict>"
    assert line["token"] == line["database_password"] == "<hidden>"
    assert line["number"] == "<float64>"
    assert line["file"] == "/a/b"
    assert len(str(line["text"])) == 4001
    text = logged.read_text()
    for secret in ("0.123456", "secret-bytes", "arch_abc", "pw-1", "0.98765"):
        assert secret not in text


def test_lines_of_libraries_have_the_same_form(logged: Path) -> None:
    logging.getLogger("some.library").warning("disk %s is full", "sda")
    (line,) = _lines(logged)
    assert line["event"] == "disk sda is full"
    assert line["logger"] == "some.library"
    assert line["room"] == "gateway"


def test_an_exception_is_logged_with_its_trace(logged: Path) -> None:
    try:
        raise ValueError("the reason")
    except ValueError:
        log.get_logger("gateway").exception("Failed")
    (line,) = _lines(logged)
    assert "ValueError: the reason" in str(line["exception"])


def test_a_crashed_thread_is_logged(logged: Path) -> None:
    thread = threading.Thread(target=lambda: 1 // 0)
    thread.start()
    thread.join()
    (line,) = _lines(logged)
    assert line["event"] == "Thread crashed"
    assert "ZeroDivisionError" in str(line["exception"])


def test_lines_below_the_level_are_left_out(logged: Path) -> None:
    log.get_logger("gateway").debug("detail")
    assert _lines(logged) == []


def test_the_log_is_private_and_rotates(logged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MAX_LOG_BYTES", 2000)
    monkeypatch.setattr(log, "KEPT_LOGS", 2)
    log.configure("gateway", logged)
    for number in range(100):
        log.get_logger("gateway").info("line", number=number)
    names = sorted(path.name for path in logged.parent.iterdir())
    assert names == ["gateway.log", "gateway.log.1", "gateway.log.2"]
    assert _lines(logged)[-1]["number"] == 99
    for path in logged.parent.iterdir():
        assert path.stat().st_size <= 2000
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_configuring_again_replaces_the_file(logged: Path, tmp_path: Path) -> None:
    log.configure("flow", tmp_path / "flow.log")
    log.get_logger("flow").info("moved")
    assert logged.read_text() == ""
    assert _lines(tmp_path / "flow.log")[0]["room"] == "flow"


def test_without_a_file_the_log_goes_to_standard_error_and_a_crash_is_in_it() -> None:
    code = (
        "from runtime import log; "
        "log.configure('flow'); log.get_logger('flow').info('hello'); raise RuntimeError('boom')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert [line["event"] for line in lines] == ["hello", "Crashed"]
    assert "RuntimeError: boom" in lines[1]["exception"]


def test_a_logger_that_was_not_configured_prints_nothing_to_standard_output() -> None:
    code = "from runtime import log; log.get_logger('flow').info('quiet'); log.get_logger('flow').warning('loud')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == ""
    assert "quiet" not in done.stderr
    assert "loud" in done.stderr


def test_text_of_others_cannot_steer_the_terminal_that_shows_the_log(logged: Path) -> None:
    log.get_logger("flow").warning("job \x1b[2J", name="\x9b31m\u202eevil\x7f\nsecond line", job="01J")
    text = logged.read_text()
    assert all(is_printable(line) for line in text.splitlines())
    (line,) = _lines(logged)
    assert str(line["name"]).endswith("evil\N{REPLACEMENT CHARACTER}\nsecond line")
