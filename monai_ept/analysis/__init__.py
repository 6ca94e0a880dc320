# SPDX-License-Identifier: Apache-2.0

"""The paper's reading of tuning as calibration of features, computed and drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monai_ept._lazy import lazy_exports

if TYPE_CHECKING:
    from monai_ept.analysis.analysis import Analysis, analyze
    from monai_ept.analysis.collect import Features, collect_features
    from monai_ept.analysis.distances import Change, ClassDistances, class_distances, compare_features, separability
    from monai_ept.analysis.kept_attention import KeptAttention, ScalingMaps
    from monai_ept.analysis.prompt_sinks import LayerSinks, learned_sinks
    from monai_ept.analysis.temperature import TemperatureFit, fit_temperature

__all__ = [
    "Analysis",
    "Change",
    "ClassDistances",
    "Features",
    "KeptAttention",
    "LayerSinks",
    "ScalingMaps",
    "TemperatureFit",
    "analyze",
    "class_distances",
    "collect_features",
    "compare_features",
    "fit_temperature",
    "learned_sinks",
    "separability",
]

__getattr__ = lazy_exports(__name__)
