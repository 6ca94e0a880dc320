# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_ept.engines import Training
from monai_ept.engines.before_training import adapt_and_solve
from monai_ept.runs.training_record import read_choice
from tests.engines.scenes import pictures, small_net, small_split


def training_of(folder, recipe, **options):
    data = pictures()
    settings = {"data": data, "folder": folder, "progress": False, **options}
    return Training(small_net(), small_split(data, val="none"), recipe, **settings)


def test_what_solving_has_chosen_comes_back_and_is_written_down(tmp_path):
    training = training_of(tmp_path / "run", {"name": "solve", "readout": 1})
    training.begin()
    solution = adapt_and_solve(training, False)
    choice = read_choice(training.work)
    assert (choice["penalty"], choice["folds"]) == (solution.strength, solution.folds) and solution.folds > 0
    assert choice["sharpness"] == pytest.approx(solution.sharpness)
    assert [method["name"] for method in choice["methods"]] == ["ept"] and "adapted" not in choice


@pytest.mark.parametrize(("recipe", "going_on"), [("train", False), ("tune", True)])
def test_nothing_is_solved_where_nobody_wants_it_or_it_was_before(recipe, going_on):
    training = training_of(None, {"name": recipe, "epochs": 1})
    before = {name: tensor.clone() for name, tensor in training.net.delta_tensors().items()}
    assert adapt_and_solve(training, going_on) is None
    assert all(tensor.equal(before[name]) for name, tensor in training.net.delta_tensors().items())
