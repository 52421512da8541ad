"""Why the services did not start, out of what they wrote."""

from __future__ import annotations

import pytest

from runtime.processes import MAX_WORDS_BYTES, Death, death, how, last_words, printed

CRASH = """WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
F0000 00:00:1 1 server.cc:7] Check failed: ready
*** Check failure stack trace: ***
"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", ""),
        ("Traceback\nlauncher: port 9370 is in use.\n", "port 9370 is in use."),
        (CRASH, "F0000 00:00:1 1 server.cc:7] Check failed: ready"),
        ("launcher: port 9370 is in use.\n" + CRASH, "port 9370 is in use."),
        ("Segmentation fault\n", "Segmentation fault"),
    ],
    ids=["silent", "an error of ours", "a failed check", "a failed check on the way out", "something else"],
)
def test_the_reason_is_found(text, reason):
    assert last_words(text, "launcher") == reason


def test_a_fault_of_native_code_is_the_reason_and_not_the_last_module_that_is_listed():
    text = "Fatal Python error: Segmentation fault\n\nThread 0x1 [x]:\n  File x\n\nExtension modules: numpy\n"
    assert last_words(text, "gateway") == "Fatal Python error: Segmentation fault"


def test_how_a_process_died_is_kept_in_words_for_people(tmp_path):
    died = Death(1_767_225_600_000, how(-11), last_words("a \x1b[2J b", "gateway"))
    died.keep(tmp_path / "death.json")
    assert death(tmp_path / "death.json") == died
    assert str(died) == "It was ended by SIGSEGV at 2026-01-01 00:00:00 UTC and was started again: a \ufffd[2J b"
    (tmp_path / "death.json").write_text("{}")
    assert death(tmp_path / "death.json") is None
    assert how(3) == "ended with 3"


def test_what_a_process_printed_without_end_is_read_from_its_end_only(tmp_path):
    (tmp_path / "said").write_text("x" * 200_000 + "\nend\n")
    assert printed(tmp_path / "said").endswith("\nend\n")
    assert len(printed(tmp_path / "said")) == MAX_WORDS_BYTES
    assert printed(tmp_path / "absent") == ""
