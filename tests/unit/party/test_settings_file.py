from __future__ import annotations

import errno
import tomllib
from pathlib import Path

import pytest

from party.errors import BadSettings
from party.settings import load_settings
from party.settings_file import change_policy
from runtime.errors import FileFault

HEAD = """# ours
schema = 1
party = "a"  # our name
[gateway]
listen = "127.0.0.1:1"
[flow]
listen = "127.0.0.1:2"
"""
TAIL = """
[board]
# seen by people
listen = "127.0.0.1:3"
"""
POLICY = """
[policy]
# whom we know
peers = [
    "b",  # the clinic
    "c",
]
accept = "agree"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "party.toml"
    path.write_text(HEAD + POLICY + TAIL)
    return path


def test_only_the_lines_of_the_changed_keys_change(file: Path) -> None:
    policy = change_policy(file, {"accept": "ask"})
    assert policy.accept == "ask"
    assert file.read_text() == (HEAD + POLICY + TAIL).replace('accept = "agree"', 'accept = "ask"')


def test_a_value_over_several_lines_is_replaced_whole_and_a_new_key_joins_its_section(file: Path) -> None:
    policy = change_policy(file, {"peers": ["d"], "min_rows": 50, "min_protection": {"homo_lr": "encrypted"}})
    assert (policy.peers, policy.min_rows, policy.accept) == (("d",), 50, "agree")
    assert policy.min_protection == {"homo_lr": "encrypted"}
    assert file.read_text().startswith(HEAD)
    assert file.read_text().endswith(TAIL)
    assert load_settings(file).policy == policy


@pytest.mark.parametrize("policy", ["", "\n[policy] # none yet"])
def test_a_section_that_is_empty_or_absent_is_made(file: Path, policy: str) -> None:
    file.write_text(HEAD + TAIL + policy)
    assert change_policy(file, {"accept": "refuse"}).accept == "refuse"
    assert tomllib.loads(file.read_text())["policy"] == {"accept": "refuse"}


def test_a_change_that_would_make_the_file_unreadable_is_refused(file: Path) -> None:
    before = file.read_text()
    with pytest.raises(BadSettings, match="has more than"):
        change_policy(file, {"components": ["x" * 1000] * 1100})
    assert file.read_text() == before


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"acept": "ask"}, r"policy\.acept: unknown key\. Did you mean 'accept'"),
        ({"accept": "maybe"}, r"policy\.accept: input should be 'agree', 'ask' or 'refuse'"),
        ({"min_trainers": 0}, r"policy\.min_trainers: "),
        ({"peers": ["Not A Party"]}, r"policy\.peers\.0: "),
        ({"min_protection": "strong"}, r"policy\.min_protection"),
    ],
)
def test_a_wrong_value_is_named_and_changes_nothing(file: Path, values: dict[str, object], says: str) -> None:
    before = file.read_text()
    with pytest.raises(BadSettings, match=says):
        change_policy(file, values)
    assert file.read_text() == before


def test_a_section_written_in_another_form_is_left_to_its_writer(file: Path) -> None:
    other = "# ours\npolicy.accept = 'agree'\n" + HEAD + TAIL
    file.write_text(other)
    with pytest.raises(BadSettings, match="cannot be changed by program"):
        change_policy(file, {"accept": "ask"})
    assert file.read_text() == other


def test_settings_that_cannot_be_written_are_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("runtime.disk.files.os.fsync", read_only)
    with pytest.raises(FileFault, match=r"party\.toml cannot be read or written: Read-only file system") as caught:
        change_policy(file, {"accept": "ask"})
    assert "on the host" in caught.value.hint
