# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json

import pytest

from monai_ept.runs.choice_record import read_choice, write_choice
from tests.runs.test_training_record import written


def test_a_choice_stands_beside_what_was_told(tmp_path):
    record = written(tmp_path)
    assert read_choice(tmp_path) == {}
    write_choice(tmp_path, {"penalty": 0.3, "methods": ({"name": "ept"},)})
    assert read_choice(tmp_path) == {"penalty": 0.3, "methods": [{"name": "ept"}]}
    content = json.loads((tmp_path / "training.json").read_text())
    assert content.pop("chosen") == read_choice(tmp_path) and content == record
    write_choice(tmp_path, {"penalty": 1.0})
    assert read_choice(tmp_path) == {"penalty": 1.0}


@pytest.mark.parametrize("folder", [None, "nothing"])
def test_without_a_record_nothing_is_written(folder, tmp_path):
    where = None if folder is None else tmp_path
    write_choice(where, {"penalty": 1.0})
    assert read_choice(where) == {} and not list(tmp_path.iterdir())
