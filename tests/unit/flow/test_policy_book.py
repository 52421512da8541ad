from __future__ import annotations

from pathlib import Path

import pytest

from flow.policy_book import PolicyBook
from flow.protocol.messages import Decision
from party.errors import BadSettings
from party.home import SETTINGS_FILE
from party.home_init import create_home


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return create_home(tmp_path / "home", "a").root / SETTINGS_FILE


def written(file: Path, text: str) -> None:
    """Replace the file as an editor does, with a time of its own."""
    beside = file.with_suffix(".new")
    beside.write_text(text)
    beside.replace(file)


def test_a_new_home_asks_and_leaves_nothing_open(file: Path) -> None:
    book = PolicyBook(file, lambda: ("a", "b"))
    assert book.settings().accept == Decision.ASK
    assert book.notes() == ()


def test_a_home_whose_settings_do_not_say_what_to_accept_opens_asks_and_says_so(file: Path) -> None:
    lines = file.read_text().splitlines()
    kept = [line for line in lines if not line.startswith(("accept =", "min_protection ="))]
    written(file, "\n".join(kept))
    book = PolicyBook(file, lambda: ("a", "b"))
    assert book.settings().accept == Decision.ASK
    asked, hidden = book.notes()
    assert "policy.accept is not in party.toml" in asked
    assert "policy.min_protection is not in party.toml" in hidden


def test_a_home_that_says_agree_goes_on_agreeing(file: Path) -> None:
    written(file, file.read_text().replace('accept = "ask"', 'accept = "agree"'))
    assert PolicyBook(file, lambda: ("a", "b")).settings().accept == Decision.AGREE


def test_a_change_of_the_file_is_taken_up_at_once_and_a_broken_one_changes_nothing(file: Path) -> None:
    book, text = PolicyBook(file, lambda: ("a", "b")), file.read_text()
    written(file, text.replace('accept = "ask"', 'accept = "refuse"'))
    assert book.settings().accept == Decision.REFUSE
    written(file, "this is not TOML")
    assert book.settings().accept == Decision.REFUSE
    [note] = book.notes()
    assert "stays in force" in note
    written(file, text)
    assert book.settings().accept == Decision.ASK
    assert book.notes() == ()


def test_names_in_the_file_that_fit_nothing_here_are_noted_until_they_do(file: Path) -> None:
    parties = ["a"]
    book, text = PolicyBook(file, lambda: parties), file.read_text()
    changed = text.replace('components = ["*"]', 'components = ["homo_rl@1", "homo_*"]')
    changed = changed.replace('peers = ["*"]', 'peers = ["a", "b"]')
    written(file, changed.replace('min_protection = "masked"', 'min_protection = { "homo_rl" = "encrypted" }'))
    component, peer, least = book.notes()
    assert component == "policy.components: no component 'homo_rl@1' is installed here. Did you mean 'homo_lr@1'?"
    assert peer.startswith("policy.peers: 'b' is not a party that we trust.")
    assert least.startswith("policy.min_protection: no component 'homo_rl' is installed here.")
    assert book.view().notes == book.notes()
    parties.append("b")
    assert len(book.notes()) == 2


def test_what_stood_in_the_file_does_not_keep_another_key_from_being_changed(file: Path) -> None:
    written(file, file.read_text().replace('peers = ["*"]', 'peers = ["left-us"]'))
    book = PolicyBook(file, lambda: ("a",))
    assert book.change({"min_rows": 5}, "ann").min_rows == 5
    with pytest.raises(BadSettings, match="'left-too' is not a party that we trust"):
        book.change({"peers": ["left-us", "left-too"]}, "ann")
    assert book.settings().peers == ("left-us",)
