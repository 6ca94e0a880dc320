# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from monai_ept.analysis import TemperatureFit
from monai_ept.analysis.sections.calibration import (
    Calibration,
    about_calibration,
    draw_reliability,
    measure_calibration,
)
from monai_ept.metrics import Interval

GAP = Interval(0.2, 0.1, 0.3)
BEFORE = {"ece": 0.2, "confidence": 0.7, "right": 0.5, "brier": 0.4, "nll": 1.0}


def said_of(
    fit: TemperatureFit | None = None,
    after: float | None = None,
    mix: float | None = None,
    gap=GAP,
    change=None,
    **before,
):
    """Sentences on a network that is too sure of itself, with some of its measures changed."""
    measured = {**BEFORE, **before}
    found = Calibration(
        measured, gap, after=None if after is None else {**measured, "ece": after}, fit=fit, change=change, mix=mix
    )
    return about_calibration(found, "multiclass", "test")


def test_what_is_said_of_certainty_follows_from_the_numbers():
    said = said_of()
    assert "too sure" in said[0] and "no validation images" in said[1] and len(said) == 2
    assert "(difference +20 points, 95 % interval +10 to +30)" in said[0]
    assert "not sure enough" in said_of(right=0.9, gap=Interval(-0.2, -0.3, -0.1))[0]
    said = said_of(gap=Interval(0.2, -0.1, 0.5))[0]
    assert "the two are not told apart" in said and "too sure" not in said
    assert "labels get 70.0 %" in about_calibration(Calibration(BEFORE, GAP), "multilabel", "test")[0]
    assert "in the delta file" in said_of(after=0.2)[1]


def test_what_is_said_of_a_temperature_follows_from_the_numbers():
    lower, higher, unclear = Interval(-0.1, -0.2, -0.05), Interval(0.1, 0.05, 0.2), Interval(-0.1, -0.3, 0.02)
    said = said_of(TemperatureFit(2.0, 1.5, 3.0, 35), after=0.1, mix=0.05, change=lower)
    assert "lowered the error: 0.200 before, 0.100 after (difference −0.100, 95 % interval −0.200 to" in said[1]
    assert len(said) == 2
    said = said_of(TemperatureFit(2.0, 1.5, 3.0, 35), after=0.1, mix=0.05, change=unclear)
    assert "leaves an error that is not told apart: 0.200 before" in said[1] and "lowered" not in said[1]
    said = said_of(TemperatureFit(2.0, 0.5, 3, 35), after=0.3, mix=0.4, change=higher)
    assert "raised" in said[1] and "too few to tell" in said[2] and "40 % of them" in said[3]
    edge = said_of(TemperatureFit(0.0501, 0.05, 1, 4), after=0.2, mix=0.0, change=Interval(0.0, 0.0, 0.0))
    assert "not told apart" in edge[1] and "cannot determine" in edge[2]


def test_the_mixture_of_classes_is_compared():
    """A third of the validation images would have to change class, and nothing is fitted without any."""
    logits, labels = np.eye(3)[[0, 1, 2]], np.array([0, 1, 2])
    val = [{"label": k, "group": str(k)} for k in (0, 0, 1)]
    found = measure_calibration(logits, labels, "multiclass", val_logits=np.eye(3)[[0, 1, 1]], val=val)
    assert found.mix == pytest.approx(1 / 3) and found.fit.num_images == 3
    assert found.temperature == found.fit.temperature and found.after != found.before
    stored = measure_calibration(logits, labels, "multiclass", stored=2.0)
    assert stored.fit is None and stored.after["nll"] > stored.before["nll"]
    assert measure_calibration(logits, labels, "multiclass").after is None


def test_how_much_surer_it_is_than_right_is_worked_by_hand():
    """Sure by 0.9, right in every other image: 0.4 too much. Two patients, all right and all wrong, tell nothing."""
    logits, labels = np.log(np.tile([[0.9, 0.1]], (100, 1))), np.arange(100) % 2
    gap = measure_calibration(logits, labels, "multiclass").gap
    assert gap.value == pytest.approx(0.4) and gap.excludes_zero
    assert gap.high - gap.low == pytest.approx(2 * 1.96 * 0.05, rel=0.15)  # the scatter of a share of a hundred images
    gap = measure_calibration(logits, labels, "multiclass", groups=[str(label) for label in labels]).gap
    assert (gap.low, gap.high) == pytest.approx((-0.1, 0.9))
    alone = measure_calibration(logits, labels, "multiclass", groups=["one"] * 100).gap
    assert alone.value == pytest.approx(0.4) and not alone.known and not alone.excludes_zero
    assert "the two are not told apart (difference +40 points, too few groups for an interval)" in said_of(gap=alone)[0]
    both = measure_calibration(np.zeros((4, 2)), np.array([[0, 0], [1, 0], [0, 1], [0, 0]]), "multilabel").gap
    assert both.value == pytest.approx(0.25)  # half each, and a quarter of the labels are there


def test_what_a_temperature_changes_has_an_interval_over_the_same_images():
    """Twice as sure as it should be: logits of 0.75 to 0.25 that were doubled, and validation images that tell so."""
    labels = np.repeat([0, 0, 0, 1], 40)
    logits = np.tile(2 * np.log([[0.75, 0.25]]), (160, 1))
    val = [{"label": int(label), "group": str(index)} for index, label in enumerate(labels)]
    found = measure_calibration(logits, labels, "multiclass", val_logits=logits, val=val)
    assert found.temperature == pytest.approx(2, rel=1e-3)
    assert found.before["ece"] == pytest.approx(0.15, abs=1e-5) and found.after["ece"] == pytest.approx(0, abs=1e-3)
    assert found.change.value == pytest.approx(-0.15, abs=1e-3) and found.change.excludes_zero
    same = measure_calibration(logits / 2, labels, "multiclass", val_logits=logits / 2, val=val)
    assert not same.change.excludes_zero


def test_each_title_says_the_error_of_its_own_probabilities():
    sure, half = np.tile([1.0, 0.0], (8, 1)), np.tile([0.5, 0.5], (8, 1))
    labels = np.array([0, 1] * 4)
    figure = draw_reliability({"as trained": sure, "temperature 9": half}, labels, "multiclass")
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert titles == ["as trained: error 0.500", "temperature 9: error 0.000"]
    assert len(figure.axes) == 4 and len(figure.legends) == 1
