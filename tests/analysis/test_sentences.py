# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np

from monai_ept.analysis import Change, LayerSinks, TemperatureFit
from monai_ept.analysis.sentences import about_calibration, about_distances, about_sinks

CHANGES = {
    "within": Change(100.0, 88.0, -13.0, -10.0),
    "between": Change(20.0, 20.0, -1.0, 1.0),
    "total": Change(120.0, 108.0, -13.0, -10.0),
    "within_share": Change(0.833, 0.815, -0.03, -0.01),
    "silhouette": Change(0.1, 0.05, -0.1, 0.02),
    "separability": Change(0.5, 0.6, -0.01, 0.2),
}


def test_what_is_said_of_distances_follows_from_the_numbers():
    said = about_distances(CHANGES, 4)
    assert "fell by 12.0 %, from 100 to 88; the spread of all images together fell by 10.0 %" in said[0]
    assert "classes became tighter: 83.3 % of it lies within classes before, 81.5 % after" in said[1]
    assert "difference −1.8 points, 95 % interval −3.0 to −1.0" in said[1]
    assert "fell from 0.100 to 0.050" in said[2]
    assert "does as well as before, as far as" in said[3] and "guessing gives 0.250" in said[3]
    assert "no clear change" in said[2]
    assert "does better:" in about_distances({**CHANGES, "separability": Change(0.5, 0.6, 0.01, 0.2)}, 4)[3]
    other = {**CHANGES, "within": Change(100, 110), "within_share": Change(0.8, 0.81, -0.01, 0.02)}
    said = about_distances(other, 4)
    assert "rose by 10.0 %" in said[0] and "no clear change" in said[1] and "tighter" not in " ".join(said)
    assert "looser" in about_distances({**CHANGES, "within_share": Change(0.8, 0.9, 0.05, 0.12)}, 4)[1]
    same = {name: Change(1.0, 1.0, 0.0, 0.0) for name in CHANGES}
    said = about_distances(same, 4)
    assert "did not change" in said[0] and "does as well as before" in said[3] and "stayed" in said[2]


def sinks(values: np.ndarray, scatter: float = 0.01, trains: bool = True, start: float | None = 4.6) -> LayerSinks:
    return LayerSinks(3, values[:1], values[1:], start, scatter, trains)


def test_what_is_said_of_prompts_follows_from_the_numbers():
    draws = 4.6 + 0.01 * np.random.default_rng(0).normal(size=200)
    assert "left c where it started" in about_sinks([sinks(draws)])[0]
    said = about_sinks([sinks(draws - 0.5)])[0]
    assert "moved c away" in said and "keep more of their attention" in said and "Layer 4 moved farthest" in said
    assert "keep less" in about_sinks([sinks(draws + 0.5)])[0]
    assert "fixed at 4.6" in about_sinks([sinks(draws, trains=False)])[0]
    assert "not known" in about_sinks([sinks(draws, start=None)])[0]


def test_what_is_said_of_certainty_follows_from_the_numbers():
    before = {"ece": 0.2, "confidence": 0.7, "right": 0.5, "brier": 0.4, "nll": 1.0}
    said = about_calibration(before, None, None, "multiclass", "test", None)
    assert "too sure" in said[0] and "no validation images" in said[1] and len(said) == 2
    assert "not sure enough" in about_calibration({**before, "right": 0.9}, None, None, "multiclass", "test", None)[0]
    assert (
        "as sure as it is right" in about_calibration({**before, "right": 0.7}, None, None, "multiclass", "x", None)[0]
    )
    assert "labels get 70.0 %" in about_calibration(before, None, None, "multilabel", "test", None)[0]
    fit = TemperatureFit(2.0, 1.5, 3.0, 35)
    said = about_calibration(before, {**before, "ece": 0.1}, fit, "multiclass", "test", 0.05)
    assert "lowered the error: 0.200 before, 0.100 after" in said[1] and len(said) == 2
    said = about_calibration(before, {**before, "ece": 0.3}, TemperatureFit(2.0, 0.5, 3, 35), "multiclass", "test", 0.4)
    assert "raised" in said[1] and "too few to tell" in said[2] and "40 % of them" in said[3]
    edge = about_calibration(before, before, TemperatureFit(0.0501, 0.05, 1, 4), "multiclass", "test", 0.0)
    assert "hardly changed" in edge[1] and "cannot determine" in edge[2]
    assert "in the delta file" in about_calibration(before, before, None, "multiclass", "test", None)[1]
