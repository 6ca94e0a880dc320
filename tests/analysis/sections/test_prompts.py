# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np

from monai_ept.analysis import LayerSinks
from monai_ept.analysis.sections.prompts import about_sinks


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
