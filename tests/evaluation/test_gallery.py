# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from monai_ept.engines import draw_gallery
from monai_ept.handlers import PredictionTable
from tests.evaluation.predictions import NAMES, table_of


@pytest.mark.parametrize("kind", ["multiclass", "multilabel", "volume", "unlabelled"])
def test_gallery(tmp_path, kind):
    rng = np.random.default_rng(0)
    table = table_of(30, "multilabel" if kind == "multilabel" else "multiclass")
    if kind == "unlabelled":
        table = PredictionTable(table.ids, table.probabilities)
    shape = (1, 8, 9, 10) if kind == "volume" else (3, 8, 8)
    records = [{"image": rng.random(shape, dtype=np.float32), "id": identity} for identity in table.ids]
    task = "multilabel" if kind == "multilabel" else "multiclass"
    options = {"class_names": NAMES, "task": task, "transform": dict}
    assert draw_gallery(tmp_path, records, table, **options).stat().st_size > 5000
    with pytest.raises(ValueError, match=r"no prediction for 'stranger' \(1 of 1 records\)"):
        draw_gallery(tmp_path, [{"image": records[0]["image"], "id": "stranger"}], table, **options)
