# SPDX-License-Identifier: Apache-2.0

"""The pictures of an analysis: functions from numbers to a figure."""

from __future__ import annotations

from monai_ept.analysis.figures.calibration import draw_calibration
from monai_ept.analysis.figures.feature_plots import count_narrower, draw_components, draw_densities, draw_neighbours
from monai_ept.analysis.figures.kept_maps import draw_class_maps, draw_examples, draw_layer_maps, draw_layers
from monai_ept.analysis.figures.prompt_values import draw_sinks

__all__ = [
    "count_narrower",
    "draw_calibration",
    "draw_class_maps",
    "draw_components",
    "draw_densities",
    "draw_examples",
    "draw_layer_maps",
    "draw_layers",
    "draw_neighbours",
    "draw_sinks",
]
