# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from monai_ept.deploy import ship
from monai_ept.deploy.verification import Check, expected_of
from monai_ept.runs import FitResult


@pytest.fixture
def training(place):
    return FitResult.load(place / "run")


def test_images_are_spread_over_the_evaluation_which_says_what_is_expected(training, tested):
    net, data = training.network(), training.data()
    everything = expected_of(training, net, data, None)
    assert (
        everything.total == len(tested) == len(everything.records) and "the training's evaluation" in everything.source
    )
    rows = [[float(row[f"probability_{name}"]) for name in "ab"] for _, row in tested]
    assert everything.probabilities.tolist() == rows
    some = expected_of(training, net, data, 3)
    ids = [record["id"] for record in everything.records]
    places = [ids.index(record["id"]) for record in some.records]
    assert places == [0, round((len(ids) - 1) / 2), len(ids) - 1] and some.total == len(ids)


def test_a_temperature_that_was_found_later_counts(training):
    net, data = training.network(), training.data()
    net.temperature = 1.7
    later, before = (expected_of(training, one, data, None).probabilities for one in (net, training.network()))
    power = before ** (1 / 1.7)
    np.testing.assert_allclose(later, power / power.sum(axis=1, keepdims=True), atol=1e-9)


def test_a_check_is_named_after_its_task_in_a_bank_alone(shipment):
    assert Check.of(shipment).task == "" and Check.of(shipment).folder == shipment.folder
    assert Check.of(replace(shipment, member="task1")).task == "bundle: "


@pytest.mark.slow
def test_what_differs_from_the_evaluation_is_not_shipped(place, tmp_path):
    shutil.copytree(place / "run", tmp_path / "run")
    path = tmp_path / "run" / "evaluation" / "predictions.csv"
    path.write_text(re.sub(r"0\.(\d\d)\d", r"0.\g<1>9", path.read_text()))
    with pytest.raises(ValueError, match=r"model\.ts differs from the training's evaluation by up to 0\.00"):
        ship(FitResult.load(tmp_path / "run"), tmp_path / "out")
    assert [one.name for one in tmp_path.iterdir()] == ["run"]
