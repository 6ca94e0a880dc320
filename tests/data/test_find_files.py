# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pathlib import Path

from monai_ept.data.find_files import FindFiles


def test_each_folder_is_visited_once(tmp_path: Path) -> None:
    for name in ("a/x.png", "a/deep/y.png", "b/z.png", ".hidden/h.png", "a/.i.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for where, what in (("a/loop", "."), ("a/deep/up", "../.."), ("b/second", "../a/deep")):
        (tmp_path / where).symlink_to(what)
    find = FindFiles()
    found = [path.relative_to(tmp_path).as_posix() for path in find.below(tmp_path)]
    assert found == ["a/x.png", "a/deep/y.png", "b/z.png"]
    again = {
        path.relative_to(tmp_path).as_posix(): first.relative_to(tmp_path).as_posix() for path, first in find.again
    }
    assert again == {"a/deep/up": ".", "a/loop": "a", "b/second": "a/deep"}
    assert find.problems == []


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    find = FindFiles()
    assert find.below(tmp_path / "none") == []
    assert "none' cannot be read (No such file or directory)" in find.problems[0]
