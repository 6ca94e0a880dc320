# SPDX-License-Identifier: Apache-2.0

"""The numbers of an analysis as CSV."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_ept.analysis.distances import Change, ClassDistances
from monai_ept.analysis.kept_attention import ScalingMaps
from monai_ept.analysis.prompt_sinks import LayerSinks
from monai_ept.analysis.temperature import TemperatureFit
from monai_ept.reporting.csv_file import write_csv

__all__ = [
    "write_calibration",
    "write_distances",
    "write_kept",
    "write_kept_tokens",
    "write_per_class",
    "write_points",
    "write_prompts",
]


def write_distances(folder: Path, changes: Mapping[str, Change]) -> Path:
    """``distances.csv``: each measure of pretrained and tuned features, and the interval of the difference."""
    rows = [[name, *map(_cell, (*one[:2], one.difference, one.low, one.high))] for name, one in changes.items()]
    return write_csv(
        folder / "distances.csv",
        ["measure", "pretrained", "tuned", "difference", "difference_low", "difference_high"],
        rows,
    )


def write_per_class(
    folder: Path, class_names: Sequence[str], counts: Sequence[int], both: Sequence[ClassDistances]
) -> Path:
    """``per_class.csv``: images, and the spread of each class, raw and as a share of the whole spread."""
    rows = []
    for k, (name, count) in enumerate(zip(class_names, counts, strict=True)):
        spreads = [one.per_class[k] for one in both]
        shares = [one.per_class[k] / one.total if one.total else math.nan for one in both]
        rows.append([name, str(count), *map(_cell, (*spreads, *shares))])
    header = ["class", "images", "within_pretrained", "within_tuned", "within_share_pretrained", "within_share_tuned"]
    return write_csv(folder / "per_class.csv", header, rows)


def write_kept(folder: Path, maps: ScalingMaps, class_names: Sequence[str]) -> Path:
    """``kept.csv``: g of each layer, of all images and of each class; patches and prefix tokens in rows apart."""
    rows = []
    for index, layer in enumerate(maps.layers):
        for name, where in _tokens(maps):
            per_class = maps.class_means[:, index, where].mean(axis=1)
            rows.append([str(layer), name, *map(_cell, (maps.mean[index, where].mean(), *per_class))])
    return write_csv(folder / "kept.csv", ["layer", "token", "all", *class_names], rows)


def write_kept_tokens(folder: Path, maps: ScalingMaps, class_names: Sequence[str]) -> Path:
    """``kept_tokens.csv``: g of each layer and token with its place in the grid of patches."""
    axes = [f"place_{axis}" for axis in range(len(maps.grid))]
    rows = []
    means = maps.class_means
    for index, layer in enumerate(maps.layers):
        for token in range(maps.mean.shape[1]):
            place: Sequence[Any] = [""] * len(axes)
            if token >= maps.num_prefix:
                place = np.unravel_index(token - maps.num_prefix, maps.grid)
            values = (maps.mean[index, token], *means[:, index, token])
            rows.append([str(layer), str(token), *map(str, place), *map(_cell, values)])
    return write_csv(folder / "kept_tokens.csv", ["layer", "token", *axes, "all", *class_names], rows)


def _tokens(maps: ScalingMaps) -> Iterator[tuple[str, slice]]:
    for token in range(maps.num_prefix):
        yield f"prefix_{token}", slice(token, token + 1)
    yield "patches", slice(maps.num_prefix, None)


def write_prompts(folder: Path, sinks: Sequence[LayerSinks]) -> Path:
    """``prompts.csv``: c of each layer against its start."""
    rows = []
    for one in sinks:
        start = math.nan if one.start is None else one.start
        parts = [(f"prefix_{token}", one.prefix[token : token + 1]) for token in range(len(one.prefix))]
        others = "patches" if one.per == "token" else "heads"
        for name, values in (*parts, (others, one.patches)):
            numbers = (start, one.scatter, values.mean(), values.min(), values.max())
            rows.append([str(one.layer), name, str(one.trains).lower(), *map(_cell, numbers)])
    return write_csv(
        folder / "prompts.csv", ["layer", "token", "trained", "start", "start_scatter", "mean", "min", "max"], rows
    )


def write_calibration(
    folder: Path, before: Mapping[str, float], after: Mapping[str, float] | None, fit: TemperatureFit | None
) -> Path:
    """``calibration.csv``: measures before and after temperature scaling, and the temperature with its interval."""
    rows = [[name, _cell(value), _cell(after[name] if after else math.nan)] for name, value in before.items()]
    if fit is not None:
        found = {"temperature": fit.temperature, "temperature_low": fit.low, "temperature_high": fit.high}
        rows += [[name, "", _cell(value)] for name, value in found.items()]
        rows.append(["validation_images", "", str(fit.num_images)])
    return write_csv(folder / "calibration.csv", ["measure", "before", "after"], rows)


def write_points(
    folder: Path,
    ids: Sequence[str],
    classes: np.ndarray,
    class_names: Sequence[str],
    projections: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> Path:
    """``points.csv``: where each image lies in each projection."""
    header = ["id", "class"]
    for name in projections:
        header += [f"{name}_{side}_{axis}" for side in ("pretrained", "tuned") for axis in ("x", "y")]
    rows = []
    for index, identity in enumerate(ids):
        places = [value for pair in projections.values() for points in pair for value in points[index]]
        rows.append([identity, class_names[classes[index]] if classes[index] >= 0 else "", *map(_cell, places)])
    return write_csv(folder / "points.csv", header, rows)


def _cell(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.8g}"
