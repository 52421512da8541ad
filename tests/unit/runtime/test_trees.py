"""A tree that somebody else made goes as a whole, and nothing outside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from node_manager.folders import forget_folder
from runtime.disk.trees import remove_tree, take_back


def test_a_tree_of_any_depth_of_closed_folders_and_links_is_removed_and_what_links_lead_to_stays(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    tree = tmp_path / "tree"
    tree.mkdir()
    here = os.open(tree, os.O_RDONLY)
    for level in range(1200):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        if level % 40 == 0:
            os.symlink(outside, "link", dir_fd=here)
            os.mkfifo("pipe", dir_fd=here)
            os.mkdir("empty", dir_fd=here)
            os.chmod("empty", 0, dir_fd=here)
            os.chmod("d", 0o300, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    handles = len(list(Path("/proc/self/fd").iterdir()))
    remove_tree(tree)
    remove_tree(tree)
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert (outside / "kept").read_text() == "x"
    assert len(list(Path("/proc/self/fd").iterdir())) == handles


def test_a_link_in_the_place_of_a_tree_is_neither_followed_nor_taken_back(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    (tmp_path / "tree").symlink_to(outside)
    with pytest.raises(OSError, match="tree"):
        remove_tree(tmp_path / "tree")
    forget_folder(tmp_path / "tree")
    with pytest.raises(OSError, match="tree"):
        take_back(tmp_path / "tree")
    assert outside.stat().st_mode & 0o777 == 0o500
