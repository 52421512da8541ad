"""What a place opens, whatever lies under the name."""

import os
import socket
from pathlib import Path

import pytest

from storage.errors import Damaged
from storage.place import Place


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["pipe", "folder", "socket"])
def test_only_a_file_is_opened_and_nothing_else_is_waited_for(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if kind == "pipe":
        os.mkfifo("model.json")
    elif kind == "folder":
        Path("model.json").mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as left:
            left.bind("model.json")
    place = Place.of(tmp_path)
    with pytest.raises(Damaged, match=r"model\.json"):
        place.read("model.json")
    with pytest.raises(Damaged, match=r"model\.json"):
        place.open("model.json")


def test_a_file_reads_the_same_both_ways(tmp_path: Path) -> None:
    place = Place.of(tmp_path)
    place.write("some/data", b"content")
    place.write("none", b"")
    assert place.read("some/data") == b"content"
    with place.open("some/data") as file:
        assert file.read() == b"content"
    assert place.read("none") == b""
    assert place.open("none").size() == 0
    with pytest.raises(FileNotFoundError):
        place.read("missing")
