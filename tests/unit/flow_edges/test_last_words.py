"""Why the services did not start, out of what they wrote."""

from __future__ import annotations

import pytest

from party.processes import last_words

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
