# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np

from monai_ept.analysis import ScalingMaps
from monai_ept.analysis.sections.attention import (
    about_kept,
    draw_kept_classes,
    draw_kept_examples,
    draw_kept_layers,
    draw_kept_maps,
)


def maps_of(tokens: np.ndarray, prefix: float = 0.5) -> ScalingMaps:
    """Maps of two classes with one image each: ``tokens`` (images, layers, rows, columns), behind a class token."""
    images, layers, *grid = tokens.shape
    flat = np.concatenate([np.full((images, layers, 1), prefix), tokens.reshape(images, layers, -1)], axis=-1)
    return ScalingMaps(list(range(layers)), 1, tuple(grid), flat, np.eye(images, dtype=bool))


def test_what_is_said_of_attention_follows_from_the_numbers():
    kept = np.full((2, 2, 4, 4), 0.8)
    kept[:, 1] = 0.6
    kept[1] += 0.1
    said = about_kept(maps_of(kept), ["one", "two"])
    assert "Patches keep 75 %" in said[0] and "the class token 50 %" in said[0]
    assert "Layer 2 damps them most (65 % kept), layer 1 least (85 %)" in said[1]
    assert "damped alike (75.0 % and 75.0 % kept)" in said[2]
    assert "at most 10.00 percentage points" in said[3] and "two keeps most (80.0 %), one least (70.0 %)" in said[3]


def test_the_middle_is_the_central_half_of_each_side():
    kept = np.full((2, 1, 4, 4), 0.8)
    kept[..., 1:3, 1:3] = 0.4
    said = about_kept(maps_of(kept), ["one", "two"])
    assert "The middle of the image is damped more than the rim: 40.0 % kept in the middle, 80.0 % at the" in said[1]
    assert "The rim of the image is damped more than the middle" in about_kept(maps_of(1 - kept), ["one", "two"])[1]


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
    maps.member[1] = False
    figure = draw_kept_classes(maps, ["one", "two", "three"])
    assert titles(figure) == ["all images", "one (1)", "three (1)"]
    heat = draw_kept_layers(maps, ["one", "two", "three"]).axes[1]
    assert [tick.get_text() for tick in heat.get_yticklabels()] == ["one", "three"]


def test_an_example_shows_the_first_the_middle_and_the_last_layer():
    kept = np.random.default_rng(0).uniform(size=(2, 5, 4, 4))
    maps = maps_of(kept)
    figure = draw_kept_examples(maps, {0: ("melanoma", np.zeros((32, 32, 3)))})
    assert [title.split(":")[0] for title in titles(figure)] == [
        *("melanoma", "layer 1", "layer 3", "layer 5", "mean of layers")
    ]
    np.testing.assert_array_equal(figure.axes[2].images[1].get_array(), kept[0, 2])
