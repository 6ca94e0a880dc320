# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from monai_ept.analysis import LayerSinks
from monai_ept.analysis.sections.output import Output
from monai_ept.analysis.sections.prompts import about_sinks, draw_prompt_values, prompts_section


def sinks(values: np.ndarray, scatter: float = 0.01, trains: bool = True, start: float | None = 4.6) -> LayerSinks:
    return LayerSinks(3, values[:1], values[1:], start, scatter, trains)


def test_what_is_said_of_prompts_follows_from_the_numbers():
    assert about_sinks([sinks(np.full(9, 4.6), scatter=0.0)]) == [
        "Training left c where it started: 4.600. What acts is the start value."
    ]
    draws = 4.6 + 0.01 * np.random.default_rng(0).normal(size=200)
    assert "left c where it started" in about_sinks([sinks(draws)])[0]
    said = about_sinks([sinks(draws - 0.5)])[0]
    assert "moved c away" in said and "keep more of their attention" in said and "Layer 4 moved farthest" in said
    assert "keep less" in about_sinks([sinks(draws + 0.5)])[0]
    assert "fixed at 4.6" in about_sinks([sinks(draws, trains=False)])[0]
    assert "not known" in about_sinks([sinks(draws, start=None)])[0]


@pytest.mark.parametrize("scatter", [0.0, 4e-8, 1e-4, 0.01])
def test_the_legend_names_what_is_drawn_once(scatter):
    layers = [LayerSinks(k, np.zeros(1), np.full(16, 0.1 * k), 0.0, scatter, True) for k in range(3)]
    figure = draw_prompt_values(layers)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    band = ["start, 95 % of draws"] if scatter == 0.01 else []
    assert names == [*band, "start", "patches", "class token"]
    # Every patch of every layer is seen at its value.
    assert [np.unique(points.get_offsets()[:, 1]).tolist() for points in figure.axes[0].collections
            if len(points.get_offsets()) == 16] == [[0.0], [0.1], [0.2]]  # fmt: skip


def test_a_band_that_the_line_in_its_middle_would_hide_is_not_spoken_of(tmp_path):
    """Start values within four thousandths, prompts a hundred times as far apart; and prompts that stayed."""
    for values, speaks in ((np.linspace(0, 4, 9), False), (np.linspace(-0.002, 0.002, 9), True)):
        section = prompts_section(Output(tmp_path), [sinks(values, scatter=0.001, start=0.0)])
        assert any("grey band" in note for note in section.notes) == speaks


def test_prompts_that_stayed_look_like_it():
    low, high = draw_prompt_values([sinks(np.full(9, 1e-8), scatter=0.0, start=0.0)]).axes[0].get_ylim()
    assert high - low == pytest.approx(0.1) and low < 0 < high


def test_where_the_start_is_not_known_none_is_drawn():
    figure = draw_prompt_values([LayerSinks(2, np.zeros(0), np.ones(3), None, 0.0, True, "head")])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["heads"]
    assert figure.axes[0].get_ylabel() == "c of a head"
