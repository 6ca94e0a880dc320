# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json

import numpy as np
import pytest

from monai_ept.benchmark.plan.expand import sweep_cells
from monai_ept.benchmark.plan.sweep_file import sweep_from
from monai_ept.benchmark.run.sweep_folder import SweepFolder
from tests.benchmark.run.scenes import SWEEP


def test_changed_defaults_are_noticed(tmp_path):
    (cell,) = sweep_cells(sweep_from({**SWEEP, "samplings": 1, "methods": ["ept"]}))
    folder = SweepFolder(tmp_path)
    folder.describe(cell)
    folder.check_defaults(cell)
    path = folder.cell(cell) / "cell.json"
    about = json.loads(path.read_text())
    about["methods"][0]["prompt_length"] = 50
    about["methods"][0]["gone"] = 1  # a setting that there is no more says nothing
    path.write_text(json.dumps(about))
    with pytest.raises(ValueError, match="prompt_length=50, and that default is 100 now"):
        folder.check_defaults(cell)


def test_numbers_that_are_none_become_null(tmp_path):
    (cell,) = sweep_cells(sweep_from({**SWEEP, "samplings": 1, "methods": ["ept"]}))
    folder = SweepFolder(tmp_path)
    folder.describe(cell)
    folder.write(cell, {"status": "finished", "metrics": {"auc": float("nan"), "map": np.float32(0.5)}}, None)
    assert folder.result(cell)["metrics"] == {"auc": None, "map": 0.5}
