# SPDX-License-Identifier: Apache-2.0

"""Which metric is compared on which data, and with which method."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from monai_ept.benchmark.report.results import CellResult, SweepResults
from monai_ept.checks import check_choice, did_you_mean

__all__ = ["metrics_of", "reference_of"]

SINGLE = ("balanced_accuracy", "auc", "accuracy", "map")
SEVERAL = ("map", "auc", "balanced_accuracy", "accuracy")
"""Metrics by preference, for one label per image and for several."""


def metrics_of(sweep: SweepResults, wanted: str | Sequence[str] | Mapping[str, str] | None = None) -> dict[str, str]:
    """
    The metric of each source.

    Args:
        sweep: its cells, and perhaps a ``metric`` in its settings.
        wanted: one for all, ``{"chest": "map"}``, or texts such as ``"chest=map"``; the sweep's own by default, and
            without one balanced accuracy, or mAP where images have several labels.

    Raises:
        ValueError: for a metric that no cell has, or a source that there is not.
    """
    sources = list(dict.fromkeys(cell.source for cell in sweep.cells))
    asked = _asked(wanted if wanted else sweep.settings.get("metric"), sources)
    found = {}
    for source in sources:
        cells = [cell for cell in sweep.finished if cell.source == source]
        known = {name for cell in cells for name in cell.result.get("metrics", {})} if cells else set()  # type: ignore[union-attr]
        if source in asked:
            found[source] = check_choice("metric", asked[source], sorted(known)) if known else asked[source]
            continue
        order = SEVERAL if "exact_match" in known else SINGLE
        counts = {name: sum(not math.isnan(cell.metric(name)) for cell in cells) for name in order}
        # Not the one that most cells have: a few that are not defined would change what is compared.
        usual = [name for name in order if 2 * counts[name] >= len(cells) > 0]
        found[source] = usual[0] if usual else max(order, key=lambda name: counts[name])
    return found


def _asked(wanted: Any, sources: Sequence[str]) -> dict[str, str]:
    if not wanted:
        return {}
    if isinstance(wanted, Mapping):
        asked = {str(source): str(name) for source, name in wanted.items()}
    else:
        texts = [wanted] if isinstance(wanted, str) else list(wanted)
        asked = dict(text.split("=", 1) for text in texts if "=" in text)
        for text in texts:
            if "=" not in text:
                asked = {**dict.fromkeys(sources, text), **asked}
    for source in asked:
        if source not in sources:
            raise ValueError(
                f"metric is given for {source!r}, which the sweep has not: {did_you_mean(source, sources)}"
            )
    return asked


def reference_of(sweep: SweepResults, cells: Sequence[CellResult], wanted: str | None = None) -> str:
    """
    The label of the method to compare with.

    Args:
        sweep: with a ``reference`` in its settings, perhaps.
        cells: finished cells.
        wanted: a label, or the name of a method that only one label has; the sweep's own by default, then "linear".

    Raises:
        ValueError: when it was asked for and no finished cell has it.
    """
    name = str(wanted or sweep.settings.get("reference") or "linear")
    labels = list(dict.fromkeys(cell.label for cell in cells))
    if name in labels:
        return name
    same = [label for label in labels if label.casefold() == name.casefold()]
    if len(same) == 1:
        return same[0]
    of_method = list(dict.fromkeys(cell.label for cell in cells if cell.method == name))
    if len(of_method) == 1:
        return of_method[0]
    if wanted is not None and labels:
        raise ValueError(f"reference {name!r} has no finished cell: {did_you_mean(name, labels)}")
    return ""
