from __future__ import annotations

from pathlib import Path

import pytest

from flow.messages import Decision
from flow.policy_book import PolicyBook
from party.home import create_home
from party.home_folder import SETTINGS_FILE


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return create_home(tmp_path / "home", "a").root / SETTINGS_FILE


def written(file: Path, text: str) -> None:
    """Replace the file as an editor does, with a time of its own."""
    beside = file.with_suffix(".new")
    beside.write_text(text)
    beside.replace(file)


def test_a_new_home_asks_and_leaves_nothing_open(file: Path) -> None:
    book = PolicyBook(file)
    assert book.policy().accept is Decision.ASK
    assert book.notes() == ()


def test_a_home_whose_settings_do_not_say_what_to_accept_opens_asks_and_says_so(file: Path) -> None:
    lines = file.read_text().splitlines()
    kept = [line for line in lines if not line.startswith(("accept =", "min_protection ="))]
    written(file, "\n".join(kept))
    book = PolicyBook(file)
    assert book.policy().accept is Decision.ASK
    asked, hidden = book.notes()
    assert "policy.accept is not in party.toml" in asked
    assert "policy.min_protection is not in party.toml" in hidden


def test_a_home_that_says_agree_goes_on_agreeing(file: Path) -> None:
    written(file, file.read_text().replace('accept = "ask"', 'accept = "agree"'))
    assert PolicyBook(file).policy().accept is Decision.AGREE


def test_a_change_of_the_file_is_taken_up_at_once_and_a_broken_one_changes_nothing(file: Path) -> None:
    book, text = PolicyBook(file), file.read_text()
    written(file, text.replace('accept = "ask"', 'accept = "refuse"'))
    assert book.policy().accept is Decision.REFUSE
    written(file, "this is not TOML")
    assert book.policy().accept is Decision.REFUSE
    [note] = book.notes()
    assert "stays in force" in note
    written(file, text)
    assert book.policy().accept is Decision.ASK
    assert book.notes() == ()
