# SPDX-License-Identifier: Apache-2.0

"""Is the network as sure as it is right? ``calibration.csv`` and ``reliability.png``."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from monai_ept.analysis.sections.output import Output
from monai_ept.analysis.temperature import TemperatureFit, fit_temperature, sureness
from monai_ept.data.records import Record
from monai_ept.evaluation.reliability import legend_below, plot_reliability
from monai_ept.metrics import Interval, compare_models, group_weights, percentile_interval, probabilities_of
from monai_ept.metrics.checked_batch import Task
from monai_ept.reporting.figure import figure_of
from monai_ept.reporting.numbers import measured
from monai_ept.reporting.page import Cell, Section, Table
from monai_ept.reporting.prose import sentences

__all__ = ["Calibration", "about_calibration", "calibration_section", "draw_reliability", "measure_calibration"]

WORDS = Path(__file__).with_suffix(".jinja")
RESAMPLES = 1000

MEASURES = {
    "ece": ("Expected calibration error", "mean gap between how sure and how often right, good when low"),
    "brier": ("Brier score", "squared error of the probabilities, good when low"),
    "nll": ("Negative log-likelihood", "what the temperature is chosen to lower, on validation images"),
}


@dataclass(frozen=True)
class Calibration:
    """How sure a network is on labelled images."""

    before: dict[str, float]  # measures as it was trained, see ``sureness``
    gap: Interval  # how much surer it is than right, with a 95 % interval
    temperature: float = 1.0  # what its logits are divided by, found here or stored before
    after: dict[str, float] | None = None  # the same measures at the temperature; None when there is none
    fit: TemperatureFit | None = None  # how the temperature was found; None when it was not found here
    change: Interval | None = None  # of the calibration error by that temperature, with a 95 % interval
    mix: float | None = None  # how far the shares of classes in the validation images are from those here


def measure_calibration(
    logits: np.ndarray,
    labels: np.ndarray,
    task: str,
    *,
    stored: float = 1.0,
    val_logits: np.ndarray | None = None,
    val: Sequence[Record] = (),
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> Calibration:
    """
    Measure it, and find a temperature on validation images.

    Args:
        logits: ``(images, classes)``, before any temperature.
        stored: the temperature that counts where there are no validation images; 1 is none.
        groups: patient, study or lesion of each image, drawn whole for the interval of ``gap``.
    """
    before = sureness(logits, labels, 1.0, task)
    gap = _gap(logits, labels, task, range(len(labels)) if groups is None else groups, seed)
    if val_logits is None:
        return Calibration(before, gap, stored, sureness(logits, labels, stored, task) if stored != 1 else None)
    val_labels = np.asarray([record["label"] for record in val], dtype=np.int64)
    fit = fit_temperature(val_logits, val_labels, task, [str(record["group"]) for record in val], seed=seed)
    apart = _shares(val_labels, logits.shape[1]) - _shares(labels, logits.shape[1])
    after = sureness(logits, labels, fit.temperature, task)
    change = _change(logits, fit.temperature, labels, task, groups, seed)
    mix = float(np.abs(apart).sum() / 2)  # total variation
    return Calibration(before, gap, fit.temperature, after, fit, change, mix)


def _change(
    logits: np.ndarray, temperature: float, labels: np.ndarray, task: str, groups: Sequence[str] | None, seed: int
) -> Interval:
    """By how much a temperature changes the calibration error."""
    before, after = (probabilities_of(logits / divisor, task) for divisor in (1.0, temperature))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # absent classes are named where the network is evaluated
        found = compare_models(before, after, labels, task=cast(Task, task), metrics="ece", groups=groups, seed=seed)
    return found["ece"].difference


def _gap(logits: np.ndarray, labels: np.ndarray, task: str, groups: Sequence[Any], seed: int) -> Interval:
    """Confidence less the share that is right, as ``sureness`` has them."""
    probabilities = probabilities_of(logits, task)
    if task == "multiclass":
        one = probabilities.max(axis=1) - (probabilities.argmax(axis=1) == labels)
    else:
        one = (probabilities - labels).mean(axis=1)
    # Of a single group every resample would be the same.
    weights = group_weights(groups, RESAMPLES, seed) if len(set(groups)) > 1 else np.zeros((0, len(one)))
    return percentile_interval(float(one.mean()), (weights @ one / weights.sum(axis=1)).tolist())


def _shares(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """How the labels are shared out among the classes."""
    counts = labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels, minlength=num_classes)
    return np.asarray(counts / max(counts.sum(), 1))


def calibration_section(
    out: Output, found: Calibration, logits: np.ndarray, labels: np.ndarray, *, task: str, part: str
) -> Section:
    """Show how sure the network is on images of this part, and what a temperature does for it."""
    before, after, fit = found.before, found.after, found.fit
    rows: list[Sequence[str | float]] = [[name, value, after[name] if after else ""] for name, value in before.items()]
    if fit is not None:
        ends = {"temperature": fit.temperature, "temperature_low": fit.low, "temperature_high": fit.high}
        rows += [[name, "", value] for name, value in {**ends, "validation_images": fit.num_images}.items()]
    out.csv("calibration", ["measure", "before", "after"], rows)

    probabilities = {"as trained": probabilities_of(logits, task)}
    if after is not None:
        title = f"temperature {found.temperature:.3g}"
        probabilities[title] = probabilities_of(logits / found.temperature, task)
    pictures = []
    if out.draws:
        pictures.append(out.picture(WORDS, "reliability", draw_reliability(probabilities, labels, task)))
    table: list[list[str | Cell]] = [
        [Cell(title, below=[what]), measured(before[name]), measured(after[name]) if after else "–"]
        for name, (title, what) in MEASURES.items()
    ]
    return Section(
        "Probabilities: is it as sure as it is right?",
        sentences=about_calibration(found, task, part),
        tables=[Table(["measure", "as trained", "with the temperature"], table, numbers=(1, 2))],
        pictures=pictures,
        notes=sentences(WORDS, "notes", fitted=fit is not None, task=task),
    )


def about_calibration(found: Calibration, task: str, part: str) -> list[str]:
    """How sure the network is on images of this part, and what a temperature does for it."""
    return sentences(WORDS, "about_calibration", found=found, task=task, part=part)


def draw_reliability(probabilities: Mapping[str, np.ndarray], labels: np.ndarray, task: str) -> Any:
    """Reliability diagrams beside each other, of probabilities ``(images, classes)`` by their title."""
    figure = figure_of(4.4 * len(probabilities), 4.9)
    grid = figure.subplots(2, len(probabilities), sharex=True, sharey="row", squeeze=False, height_ratios=(3.2, 1))
    for column, (title, values) in zip(grid.T, probabilities.items(), strict=True):
        error = plot_reliability(column[0], column[1], values, labels, task)
        column[0].set_title(f"{title}: error {error:.3f}", fontsize=10, loc="left")
    legend_below(figure, grid[0, 0])
    for axes in grid[:, 1:].reshape(-1):
        axes.set_ylabel("")
    return figure
