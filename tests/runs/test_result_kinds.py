# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from monai_ept.runs.result_kinds import KINDS, what_is_in


def test_every_kind_is_told_by_its_marks(tmp_path):
    assert what_is_in(tmp_path) is None and what_is_in(tmp_path / "nothing") is None
    for number, (name, kind) in enumerate(KINDS.items()):
        for count, mark in enumerate(kind.marks):
            folder = tmp_path / f"{number} {count}"
            for file in mark.split(" & "):
                assert what_is_in(folder) is None
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).touch()
            assert what_is_in(folder) == name
