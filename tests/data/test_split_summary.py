# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import pickle

from monai_ept.data import few_shot_split
from monai_ept.data.split_summary import SplitSummary
from tests.data.conftest import toy


def test_it_prints_as_a_table() -> None:
    # 3 classes, 6 groups of 2 images each: 4 groups to train on, of which 1 each is used, and 2 in the official test
    summary = few_shot_split(toy(official=True), 1).summary
    assert str(summary) == "\n".join(
        [
            "       train           test",
            "class  images  groups  images  groups",
            "a           2       1       4       2",
            "b           2       1       4       2",
            "c           2       1       4       2",
            "all         6       3      12       6",
            "A group is a patient, a lesion or a study. 18 more images are used nowhere.",
        ]
    )
    alone = few_shot_split(toy(images=1), 2, val="shots").summary
    assert "  train           val             test\n" in str(alone) and str(alone).endswith("a group of its own.")


def test_it_is_a_dictionary_still() -> None:
    summary = few_shot_split(toy(), 2).summary
    assert json.loads(json.dumps(summary)) == summary == pickle.loads(pickle.dumps(summary))
    assert summary["train"]["groups_by_class"] == {"a": 2, "b": 2, "c": 2}
    assert str(SplitSummary()) == "{}"
