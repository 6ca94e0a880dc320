# SPDX-License-Identifier: Apache-2.0

"""Prediction sets of an evaluation: their columns, how often they hold the truth, what is said of it, and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monai_ept.handlers.collect_predictions import PredictionTable
from monai_ept.metrics import percentile_interval
from monai_ept.metrics.bootstrap import rows_of_groups
from monai_ept.metrics.conformal import PredictionSets, coverage_range, fewest_groups
from monai_ept.reporting.axes import short, tidy
from monai_ept.reporting.figure import BLUE, INK, RED, Picture, figure_of
from monai_ept.reporting.numbers import decimal, many, percent
from monai_ept.reporting.page import Section

__all__ = ["about_sets", "draw_sets", "measure_sets", "prediction_sets_section", "set_columns"]

NONE = (
    "No prediction sets: the network carries no threshold; a training with validation images, or with a solved head, "
    "finds one."
)
IMAGES = {
    "validation": "validation images",
    "selection": "validation images, which chose an epoch or a temperature too, so that the promise is approximate",
    "left out": "training images, each left out once, so that the promise is approximate",
}
PARTS = {
    "sure_right": ("sure and right", BLUE),
    "held": ("not sure, right class in the set", "#b9cfe2"),
    "missed": ("not sure, right class not in it", "#eec3c6"),
    "sure_wrong": ("sure and wrong", RED),
}

ALL = "all images"


def set_columns(
    sets: PredictionSets, probabilities: np.ndarray, class_names: Sequence[str], task: str
) -> dict[str, list[str]]:
    """Columns of ``predictions.csv`` by name, a cell for each image; see ``write_predictions``."""
    held, sure = sets.decide(probabilities, task)

    def named(rows: Any) -> list[str]:
        return [";".join(name for name, there in zip(class_names, row, strict=True) if there) for row in rows]

    whole: Any = sure.reshape(len(sure), -1).all(axis=1)
    columns = {"set": named(held), "sure": ["yes" if one else "not sure" for one in whole]}
    return columns if task == "multiclass" else {**columns, "not_sure": named(~sure)}


def measure_sets(
    sets: PredictionSets,
    table: PredictionTable,
    class_names: Sequence[str],
    task: str,
    groups: Mapping[str, Any] | None = None,
    weights: np.ndarray | None = None,
) -> dict[str, Any]:
    """
    How often the sets hold the truth on labelled images, as ``metrics.json`` has it.

    Args:
        weights: how often each image is in each resample, ``(resamples, images)``; without them there are no intervals.

    Returns:
        "calibration", what the sets come from; "coverage" (each group counts once, as in what is promised), "set_size",
        "not_sure" (share of images) and "accuracy_sure", each with its interval; and "per_class" counts of images. With
        several labels they are means over labels, and "set_size" counts those that cannot be ruled out.
    """
    assert table.labels is not None
    held, sure = sets.decide(table.probabilities, task)
    if task == "multiclass":
        classes = np.eye(held.shape[1], dtype=bool)[table.labels.astype(int)]
        covered = (held & classes).any(axis=1)
        outcomes = [(covered[own], sure[own]) for own in classes.T]
    else:
        covered = ~sure | (held == table.labels.astype(bool))
        outcomes = list(zip(covered.T, sure.T, strict=True))
    share = np.ones(len(held))  # of its group
    for own in rows_of_groups(table.ids if groups is None else [groups[one] for one in table.ids]).values():
        share[own] = 1 / len(own)
    # Of each image, with several labels the mean of their decisions.
    is_covered, is_sure, is_right = (one.reshape(len(held), -1).mean(axis=1) for one in (covered, sure, covered & sure))
    every = np.ones(len(held))
    shares = {
        "coverage": (share * is_covered, share),
        "set_size": (held.sum(axis=1), every),
        "not_sure": (1 - is_sure, every),
        "accuracy_sure": (is_right, is_sure),
    }
    found: dict[str, Any] = {"calibration": sets.record}
    for name, (part, whole) in shares.items():
        with np.errstate(invalid="ignore"):  # nothing may be sure
            found[name] = {"value": float(np.divide(part.sum(), whole.sum()))}
            if weights is not None:
                interval = percentile_interval(found[name]["value"], (weights @ part) / (weights @ whole))
                found[name].update(low=interval.low, high=interval.high)
    found["per_class"] = {
        name: {
            "sure_right": int((is_sure & is_held).sum()),
            "held": int((~is_sure & is_held).sum()),
            "missed": int((~is_sure & ~is_held).sum()),
            "sure_wrong": int((is_sure & ~is_held).sum()),
        }
        for name, (is_held, is_sure) in zip(class_names, outcomes, strict=True)
    }
    return found


def about_sets(found: Mapping[str, Any] | None, task: str, why: str = "") -> list[str]:
    """
    What there is to say of prediction sets, in sentences.

    Args:
        found: of ``measure_sets``, or the same read from ``metrics.json``; None where there are no sets.
        why: there are none.
    """
    if found is None:
        return [why or NONE]
    sets = PredictionSets.from_record(found["calibration"], len(found["per_class"]))
    assert sets is not None
    promised, of_groups = percent(sets.coverage, 0), many(sets.groups, "group")
    if sets.threshold is None:
        everything = "every set holds all classes" if task == "multiclass" else "no label is decided"
        return [
            f"No guarantee can be given: to promise {promised} takes images of at least {fewest_groups(sets.coverage)} "
            f"patients (or other groups) to calibrate on, and there were {sets.groups}; {everything}."
        ]
    what = "the set holds the right class" if task == "multiclass" else "yes, no or not sure is true of a label"
    low, high = coverage_range(sets.coverage, sets.groups)
    said = [
        f"Promised: for {promised} of new patients' images {what}. Here: {_with_interval(found['coverage'])}.",
        f"Calibrated on {many(sets.images, 'image')} of {of_groups} ({IMAGES[sets.source]}); with that many, it comes "
        f"out between {percent(low, 0)} and {percent(high, 0)}, depending on which they are.",
    ]
    least, most = found["coverage"].get("low"), found["coverage"].get("high")
    if most is not None and most < low:
        said.append("It is less than that explains: these images differ from those, or mix the classes otherwise.")
    if least is not None and least > high:
        said.append("It is more than that explains: the sets are larger than they need to be for these images.")
    unsure, right = _with_interval(found["not_sure"]), _with_interval(found["accuracy_sure"])
    if task == "multiclass":
        size = f"; sets hold {decimal(found['set_size']['value'], 1)} classes on average"
        of = "images"
    else:
        size, of = "", "decisions about a label"
    said.append(f"Not sure: {unsure} of the {of}{size}. Where it is sure, it is right: {right}.")
    return said


def _with_interval(found: Mapping[str, float | None]) -> str:
    """In hundredths; what is not defined is NaN, or null in JSON."""
    value, *ends = (None if one is None or np.isnan(one) else percent(one, 0) for one in found.values())
    return "–" if value is None else value if None in ends or not ends else f"{value} ({' to '.join(map(str, ends))})"


def prediction_sets_section(found: Mapping[str, Any] | None, task: str, why: str = "") -> Section:
    """Prediction sets as a part of a page, also where there are none."""
    said = about_sets(found, task, why)
    if found is None or found["calibration"]["threshold"] is None:
        return Section("Prediction sets", sentences=said)
    caption = (
        "What comes of all images and of those of each class; the numbers are the share of sets that hold the right "
        "class. The promise is for all images together, and not for each class."
        if task == "multiclass"
        else "What comes of all images for each label; the numbers are the share that is not wrong for sure, and the "
        "line is what is promised for each label."
    )
    return Section(
        "Prediction sets",
        sentences=said,
        pictures=[Picture.drawn(["prediction-sets"], "", caption, draw_sets(found, task), png=False)],
        notes=[
            "The promise is for images like those of calibration, from the same place and with the classes in the same "
            "shares: not for another hospital, not for a class that was never seen, and not for the images of one "
            f"{'class' if task == 'multiclass' else 'label'} by themselves."
        ],
    )


def draw_sets(found: Mapping[str, Any], task: str) -> Any:
    """A bar for each class: how many of its images are decided for sure, or left in a set, rightly and wrongly."""
    per_class = {name: counts for name, counts in found["per_class"].items() if sum(counts.values())}
    if task == "multiclass":
        per_class = {ALL: {key: sum(counts[key] for counts in per_class.values()) for key in PARTS}, **per_class}
    looks = PARTS if task == "multiclass" else {**PARTS, "held": ("not sure", PARTS["held"][1])}
    figure = figure_of(5.4, 0.3 * len(per_class) + 1.35)
    axes = figure.add_subplot()
    rows, left = np.arange(len(per_class)), np.zeros(len(per_class))
    totals = np.asarray([sum(counts.values()) for counts in per_class.values()])
    for key, (what, colour) in looks.items():
        values = 100 * np.asarray([counts[key] for counts in per_class.values()]) / totals
        if values.any():
            axes.barh(rows, values, left=left, color=colour, height=0.74, label=what)
        left += values
    for row, (counts, total) in enumerate(zip(per_class.values(), totals, strict=True)):
        text = percent((counts["sure_right"] + counts["held"]) / total, 0)
        axes.text(101.2, row, text, va="center", fontsize=9, color=INK)
    promised = found["calibration"]["coverage"]
    ends = (-0.5, 0.5 if task == "multiclass" else len(per_class) - 0.5)
    line = {"color": INK, "linewidth": 1.6, "linestyle": (0, (3, 2)), "label": f"{percent(promised, 0)} promised"}
    axes.plot([100 * promised] * 2, ends, **line)
    axes.set_yticks(rows, [f"{short(name)} ({total})" for name, total in zip(per_class, totals, strict=True)])
    axes.set(xlim=(0, 100), ylim=(len(per_class) - 0.5, -0.5), xlabel="% of the images")
    tidy(axes, labelsize=9)
    (first, *handles), (name, *names) = axes.get_legend_handles_labels()
    figure.legend([*handles, first], [*names, name], loc="outside upper center", ncols=2, frameon=False, fontsize=8.5)
    return figure
