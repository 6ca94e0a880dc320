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


def test_what_spans_less_than_two_points_is_no_pattern():
    """Layers, places and classes that differ by 1.9 points in all; and a hundredth more."""
    kept = np.full((2, 2, 4, 4), 0.98)
    kept[:, 1, 0, 0] = 0.961
    said = " ".join(about_kept(maps_of(kept), ["one", "two"]))
    assert "All layers damp them alike (97.9 % to 98.0 % kept)" in said
    assert "No pattern in the image: the mean maps of all layers together span 1.90 percentage points" in said
    assert "No pattern by class: " in said and "no more than 0.00 percentage points" in said and "rim" not in said
    kept[:, 1, 0, 0] = 0.959
    said = " ".join(about_kept(maps_of(kept), ["one", "two"]))
    assert "No pattern in the image" not in said and "damped alike" in said


def titles(figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]


def scales(figure) -> set[tuple[float, float]]:
    """Ends of the colours of all images that are factors and not photographs."""
    images = [image for axes in figure.axes for image in axes.images if image.get_cmap().name != "gray"]
    return {image.get_clim() for image in images}


def bars(figure) -> list[str]:
    return [axes.get_ylabel() for axes in figure.axes if axes.get_label() == "<colorbar>"]


def test_all_maps_of_a_figure_have_one_scale_and_one_bar():
    kept = np.random.default_rng(0).uniform(0.2, 0.9, size=(2, 3, 4, 4))
    kept[:, 0] = 0.9
    maps = maps_of(kept)
    figure = draw_kept_maps(maps)
    notes = [axes.get_xlabel().split("\n")[0] for axes in figure.axes]
    assert notes[0] == "0.900–0.900" and len(scales(figure)) == 1 and bars(figure) == ["share of attention kept, g"]
    assert titles(figure) == ["layer 1", "layer 2", "layer 3", "mean of layers"] and figure.get_suptitle() == ""
    classes = draw_kept_classes(maps, ["one", "two"])
    assert len(scales(classes)) == 1 and bars(classes) == ["percentage points"]
    examples = draw_kept_examples(maps, {0: ("one", np.zeros((8, 8, 3))), 1: ("two", np.zeros((8, 8, 3)))})
    assert len(scales(examples)) == 1 and len(bars(examples)) == 1


def test_figures_without_a_pattern_are_grey_and_say_so():
    kept = np.random.default_rng(0).uniform(0.981, 0.999, size=(2, 3, 4, 4))
    maps = maps_of(kept)
    pictures = {0: ("one", np.zeros((8, 8, 3)))}
    for figure in (draw_kept_maps(maps), draw_kept_classes(maps, ["one", "two"]), draw_kept_examples(maps, pictures)):
        assert figure.get_suptitle().startswith("no pattern: all maps together span ") and bars(figure) == []
        colours = {tuple(image.cmap(value)) for axes in figure.axes for image in axes.images for value in (0.0, 1.0)
                   if image.get_cmap().name != "gray"}  # fmt: skip
        assert len(colours) == 1
    heat = draw_kept_layers(maps, ["one", "two"])
    assert "classes: no pattern" in titles(heat)[1] and bars(heat) == []


def test_layers_are_shown_by_what_they_lose():
    kept = np.full((2, 2, 4, 4), 0.99)
    kept[:, 1] = 0.97
    left = draw_kept_layers(maps_of(kept, prefix=0.98), ["one", "two"]).axes[0]
    lines = {line.get_label(): line.get_ydata() for line in left.lines}
    np.testing.assert_allclose(lines["patches"], [0.01, 0.03])
    np.testing.assert_allclose(lines["class token"], [0.02, 0.02])
    assert left.get_yscale() == "linear" and left.get_ylim()[0] == 0 and 0.03 < left.get_ylim()[1] < 0.035
    assert left.get_title(loc="left") == "attention lost by layer, 1 − g (from 0 to 3.0 %)"
    left = draw_kept_layers(maps_of(kept, prefix=0.5), ["one", "two"]).axes[0]
    assert left.get_yscale() == "log" and left.get_title(loc="left").endswith("(logarithmic)")
    low, high = left.get_ylim()
    assert low < 0.01 and high > 0.5
    left = draw_kept_layers(maps_of(np.ones((2, 2, 4, 4)), prefix=1.0), ["one", "two"]).axes[0]
    assert left.get_yscale() == "linear" and left.get_ylim()[1] > 0  # nothing is lost


def test_classes_without_images_have_no_panel():
    maps = maps_of(np.random.default_rng(0).uniform(size=(3, 2, 4, 4)))
    maps.member[1] = False
    figure = draw_kept_classes(maps, ["one", "two", "three"])
    assert titles(figure) == ["one (1)", "three (1)"]
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
