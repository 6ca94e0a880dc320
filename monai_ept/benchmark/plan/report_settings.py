# SPDX-License-Identifier: Apache-2.0

"""What a sweep file says of its report, understood in one way before the first cell and after the last."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from monai_ept.benchmark.plan.cell import Cell
from monai_ept.benchmark.plan.sweep_file import Sweep
from monai_ept.checks import check_choice, did_you_mean
from monai_ept.metrics.classification import METRICS

__all__ = ["asked_metrics", "check_report_settings", "find_reference", "short_label"]


def check_report_settings(
    sweep: Sweep, cells: Sequence[Cell], metrics: Mapping[str, Sequence[str]] | None = None
) -> None:
    """
    See that a sweep's report will find its reference and its metrics.

    Args:
        sweep: with ``reference`` and ``metric``.
        cells: its cells.
        metrics: those that each source can have, where it is known already; all metrics there are by default.

    Raises:
        ValueError: for a method or a metric that there will not be.
    """
    methods = {cell.label: cell.name for cell in cells}
    # The default stands in every sweep's folder, also in that of a sweep that has no such method.
    if sweep.reference != "linear" and not find_reference(sweep.reference, methods):
        raise ValueError(
            f"reference {sweep.reference!r} is no method of this sweep: {did_you_mean(sweep.reference, methods)}"
        )
    sources = [source["label"] for source in sweep.sources]
    for source, metric in asked_metrics(sweep.metric or (), sources).items():
        check_choice(f"metric of {source!r}", metric, (metrics or {}).get(source, METRICS))


def find_reference(name: str, methods: Mapping[str, str]) -> str:
    """
    The label that is meant by a label, in capitals or not, or by the name of a method that only one label has.

    Args:
        name: what somebody has written.
        methods: names of methods by label.

    Returns:
        the label; empty when there is none.
    """
    label_of = {short_label(label): label for label in methods}
    alike = [label for label in methods if label.casefold() == name.casefold()]
    named = [label for label in methods if methods[label] == name]
    for same in ([name] if name in methods else [], [label_of.get(short_label(name))], alike, named):
        if len(same) == 1 and same[0]:
            return same[0]
    return ""


def asked_metrics(wanted: Any, sources: Sequence[str]) -> dict[str, str]:
    """
    Metrics by source.

    Args:
        wanted: one name for all, a mapping, or texts such as ``"chest=map"``.
        sources: labels of all sources.

    Raises:
        ValueError: for a source that there is not, or what is neither.
    """
    if not isinstance(wanted, Mapping):
        texts = [wanted] if isinstance(wanted, str) else wanted
        if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"metric must be a name, or a mapping from sources to names, got {wanted!r}.")
        plain = [text for text in texts if "=" not in text]
        named = dict(text.split("=", 1) for text in texts if "=" in text)
        if len(plain) > 1:
            raise ValueError(f"metric names {' and '.join(plain)} for all sources: name one, or write SOURCE=METRIC.")
        wanted = {**dict.fromkeys(sources if plain else (), *plain), **named}
    for source in wanted:
        if source not in sources:
            raise ValueError(
                f"metric is given for {source!r}, which the sweep has not: {did_you_mean(source, sources)}"
            )
    return {str(source): str(name) for source, name in wanted.items()}


def short_label(label: str) -> str:
    """Layers that follow each other are named by the first and the last: ``[0,1,2,3]`` becomes ``[0…3]``."""

    def ends(match: re.Match[str]) -> str:
        numbers = [int(text) for text in match.group(1).split(",")]
        run = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        return f"[{numbers[0]}…{numbers[-1]}]" if run and len(numbers) > 2 else match.group(0)

    return re.sub(r"\[(-?\d+(?:, ?-?\d+)+)\]", ends, label)
