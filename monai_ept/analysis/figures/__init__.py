# Copyright (c) The monai_ept developers
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#     http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The pictures of an analysis: functions from numbers to a figure."""

from __future__ import annotations

from .calibration import draw_calibration
from .features import count_narrower, draw_components, draw_densities, draw_neighbours
from .kept import draw_class_maps, draw_examples, draw_layer_maps, draw_layers
from .sinks import draw_sinks

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
