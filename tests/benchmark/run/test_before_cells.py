# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_ept.benchmark.plan.expand import sweep_cells
from monai_ept.benchmark.plan.sweep_file import sweep_from
from monai_ept.benchmark.run.before_cells import check_sweep
from monai_ept.benchmark.run.sweep_folder import SweepFolder
from tests.benchmark.run.scenes import SWEEP

ELSEWHERE = {**SWEEP, "sources": [{"name": "folder", "dataset_dir": "nowhere"}]}


def test_what_a_sweep_needs_is_what_its_open_cells_need(tmp_path):
    """Results that are there can be recorded and counted on a machine that has no data."""
    sweep = sweep_from(ELSEWHERE)
    folder = SweepFolder(tmp_path)
    with pytest.raises(ValueError, match="the data of 'folder' cannot be used: .*nowhere"):
        check_sweep(sweep, tmp_path)
    assert not list(tmp_path.iterdir())
    folder.begin(sweep)
    cells = sweep_cells(sweep)
    for number, cell in enumerate(cells):
        folder.describe(cell)
        folder.write(cell, {"status": "failed" if number == 0 else "finished", "error": None}, None)
    assert check_sweep(sweep, tmp_path).cells == cells
    with pytest.raises(ValueError, match="the data of 'folder'"):
        check_sweep(sweep, tmp_path, again=True)


def test_what_lies_on_the_nodes_of_a_cluster_is_not_looked_for_here(tmp_path):
    assert len(check_sweep(sweep_from(ELSEWHERE), tmp_path, device="cuda:77", here=False).cells) == 10
    with pytest.raises(ValueError, match="device 'cuda:77' is not there"):
        check_sweep(sweep_from(SWEEP), tmp_path, device="cuda:77")


@pytest.mark.parametrize("left", [".lock", "images", "cells", "x.partial"])
def test_what_a_sweep_left_that_was_killed_at_once_is_no_other_thing(tmp_path, left):
    (tmp_path / left).mkdir()
    check_sweep(sweep_from(SWEEP), tmp_path, here=False)


def test_a_head_that_cannot_be_solved_is_said_before_the_first_cell(tmp_path):
    sweep = sweep_from({**SWEEP, "recipes": ["default", "solve"], "methods": ["linear", "mlp"]})
    with pytest.raises(ValueError, match="cell 'mlp, solve' on 'synthetic_derm' cannot be: method mlp has a head of 3"):
        check_sweep(sweep, tmp_path)
