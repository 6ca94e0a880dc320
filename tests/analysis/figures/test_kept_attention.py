# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np

from monai_ept.analysis.figures.kept_attention import (
    draw_kept_classes,
    draw_kept_examples,
    draw_kept_layers,
    draw_kept_maps,
)
from tests.analysis.sections.test_attention import maps_of


def titles(figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]


def test_the_range_of_a_map_says_where_it_ends():
    kept = np.full((2, 3, 4, 4), 0.9)
    kept[:, 0, 0, 0] = 0.1
    kept[:, 1, 0, 0] = 0.8999
    figure = draw_kept_maps(maps_of(kept))
    notes = [axes.get_xlabel().split("\n")[0] for axes in figure.axes]
    assert notes == ["0.10–0.90", "0.8999–0.9000", "0.9000–0.9000"]
    assert titles(figure) == ["layer 1", "layer 2", "layer 3"]


def test_classes_without_images_have_no_panel():
    maps = maps_of(np.random.default_rng(0).uniform(size=(3, 2, 4, 4)))
    maps.counts[1] = 0
    figure = draw_kept_classes(maps, ["one", "two", "three"])
    assert titles(figure) == ["all images", "one (1)", "three (1)"]
    heat = draw_kept_layers(maps, ["one", "two", "three"]).axes[1]
    assert [tick.get_text() for tick in heat.get_yticklabels()] == ["one", "three"]


def test_an_example_shows_the_first_the_middle_and_the_last_layer():
    kept = np.random.default_rng(0).uniform(size=(2, 5, 4, 4))
    maps = maps_of(kept)
    maps.examples["id"] = maps.class_totals[0]
    figure = draw_kept_examples(maps, {"id": ("melanoma", np.zeros((32, 32, 3)))})
    assert [title.split(":")[0] for title in titles(figure)] == [
        *("melanoma", "layer 1", "layer 3", "layer 5", "mean of layers")
    ]
    np.testing.assert_array_equal(figure.axes[2].images[1].get_array(), kept[0, 2])
