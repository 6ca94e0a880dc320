# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monai_ept.data import DataError, FewShotSplit, few_shot_split
from tests.data.conftest import toy


def test_saved_split_comes_back_byte_for_byte(tmp_path: Path) -> None:
    data = toy(task="multilabel")
    split = few_shot_split(data, 2, seed=3, val="shots")
    path = split.save(tmp_path / "new" / "split.json")
    again = FewShotSplit.load(path, data)
    assert again == split
    assert again.to_json().encode() == path.read_bytes()
    assert again.hash == split.hash and len(split.hash) == 12
    assert json.loads(path.read_text())["train"] == [record["id"] for record in split.train]


def test_other_data_is_refused() -> None:
    text = few_shot_split(toy(), 2).to_json()
    with pytest.raises(DataError, match="made from other data"):
        FewShotSplit.from_json(text, toy(groups=7))
    for broken in ("{", "[]", "{}", '{"train": []}'):
        with pytest.raises(DataError, match="not a saved split"):
            FewShotSplit.from_json(broken, toy())


def test_check_finds_every_kind_of_leak() -> None:
    data = toy()
    a, b, c, d = data.records[:4]  # a, b are one group, c, d another
    with pytest.raises(DataError) as caught:
        FewShotSplit([a, a, c], [a, d], [b], "toy", data.source_hash, {}).check()
    text = str(caught.value)
    assert "1 of 3 train rows repeat" in text
    assert "1 of 2 train images are also in val" in text
    assert "2 of 2 train groups are also in val" in text
    assert "1 of 2 train groups are also in test" in text
    assert "1 of 2 val groups are also in test" in text
    assert len(caught.value.problems) == 5
    FewShotSplit([a, b], [], [c, d], "toy", data.source_hash, {}).check()
