# SPDX-License-Identifier: Apache-2.0

"""``report.html``: all of a training, or of an evaluation, on one page that needs no network and runs no script."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_ept.data.split import FewShotSplit
from monai_ept.evaluation.evaluator import Evaluation
from monai_ept.evaluation.prediction_sets import about_sets, prediction_sets_section
from monai_ept.files import write_whole
from monai_ept.metrics.classification import KEY_METRIC, lower_is_better
from monai_ept.reporting.axes import tidy
from monai_ept.reporting.figure import BLUE, GREY, RED, Picture, figure_of
from monai_ept.reporting.metrics_table import interval_text, metric_rows, value_text
from monai_ept.reporting.numbers import decimal, many, measured, number, percent, signed
from monai_ept.reporting.page import Cell, Section, Table, build_page

__all__ = ["PAGE_FILE", "write_report_page"]

PAGE_FILE = "report.html"
FEW = 10
"""Test images of a class below which its numbers say little."""
PICTURES: Sequence[tuple[str, str, str, int | None]] = (
    (
        "confusion_figure",
        "Which classes are confused",
        "Rows are labels, columns what the network says; the colour is the share of the label's images.",
        560,
    ),
    (
        "curves_figure",
        "Ranking: ROC and precision-recall curves",
        "Each class against the rest, with 95 % bands over test images; dashed is guessing.",
        900,
    ),
    (
        "reliability_figure",
        "Calibration: can the probabilities be believed?",
        "How often the network is right, against how sure it is: on the diagonal it is as sure as it should be.",
        520,
    ),
    ("mistakes", "The worst mistakes", "Wrong decisions that the network is surest of, the surest first.", None),
    ("images", "A look at the test images", "Spread evenly over the test set, right and wrong.", None),
)


def write_report_page(
    folder: str | Path,
    evaluation: Evaluation,
    *,
    title: str,
    class_names: Sequence[str],
    task: str,
    training: Mapping[str, Any] | None = None,
    split: FewShotSplit | None = None,
    history: Sequence[Mapping[str, Any]] = (),
    no_sets: str = "",
    beside: Section | None = None,
    repeat: str = "",
) -> Path:
    """
    Write the page.

    Args:
        evaluation: what was found, with the figures that it wrote.
        training: its record, ``training.json``.
        no_sets: why there are no prediction sets, in a sentence.
        beside: another evaluation that these numbers stand beside.
        repeat: the command that makes the result again.
    """
    metrics = evaluation.metrics
    pictures = [
        (heading, Picture.from_file(path, caption, width))
        for name, heading, caption, width in PICTURES
        if (path := evaluation.paths.get(name)) is not None
    ]
    sections = [
        _numbers(evaluation),
        *([beside] if beside is not None else []),
        *([_positive(metrics["positive"])] if "positive" in metrics else []),
        _classes(metrics, class_names),
        *(Section(heading, pictures=[one]) for heading, one in pictures),
        prediction_sets_section(metrics.get("prediction_sets"), task, no_sets),
        *([_data(split, class_names)] if split is not None else []),
        *([_history(history, training, KEY_METRIC[task])] if training is not None else []),
        *([_settings(training, repeat)] if training is not None else []),
    ]
    page = build_page(title, _subtitle(metrics, training), _short(evaluation, task, no_sets), sections)
    return write_whole(Path(folder) / PAGE_FILE, page)


def _subtitle(metrics: Mapping[str, Any], training: Mapping[str, Any] | None) -> list[str]:
    said = [f"{metrics['num_images']:,} test images"]
    if training is None:
        return said
    params = _params(training)
    said.append(f"{params.get('train_images', '?')} images to train on")
    recipe = training.get("recipe") or {}
    if recipe:
        epochs = recipe.get("epochs")
        how = f"{epochs} epochs of {recipe['optimizer']}" if epochs else "the head solved, nothing trained"
        said.append(f"recipe {recipe['name']}: {how}")
    method, backbone = (params.get(key, "?") for key in ("method", "backbone"))
    return [*said, f"method {method}", f"backbone {backbone}", f"seed {training.get('seed', params.get('seed'))}"]


def _params(training: Mapping[str, Any]) -> Mapping[str, Any]:
    """What decides the result; release 0.1 wrote it in two places."""
    return training.get("params") or {**(training.get("network") or {}), **training.get("training", {})}


def _short(evaluation: Evaluation, task: str, no_sets: str) -> list[str]:
    """What somebody with ten seconds reads."""
    metrics, key = evaluation.metrics, KEY_METRIC[task]
    found = evaluation.intervals.get(key)
    ends = f" (95 % interval {number(found.low)} to {number(found.high)})" if found and found.known else ""
    guess = f"; guessing gives {number(1 / len(metrics['support']))}" if task == "multiclass" else ""
    name = "mean average precision" if key == "map" else key.replace("_", " ")
    said = [f"{name.capitalize()} {number(metrics[key])}{ends}{guess}."]
    baseline = metrics.get("baseline")
    if baseline is not None:
        rows = baseline["metrics"][key]
        behind = rows.get("high", 0) < 0
        verdict = "Ahead of" if baseline["ahead"] else "Behind" if behind else "Not ahead of"
        within = f" ({number(rows['low'])} to {number(rows['high'])})" if "low" in rows else ""
        said.append(f"{verdict} {baseline['name']}: {name} {signed(rows['difference'])}{within}.")
    positive = metrics.get("positive")
    if positive is not None:
        rows = positive["metrics"]
        said.append(
            f"{positive['class']}, claimed from a probability of {measured(positive['threshold'])} on "
            f"({positive['threshold_is']}): {_share(rows['sensitivity'])} of those that have it are found, and "
            f"{_share(rows['specificity'])} of those that do not are left alone."
        )
    if not math.isnan(metrics["ece"]):
        said.append(f"Probabilities are {percent(metrics['ece'])} off on average (expected calibration error).")
    said += about_sets(metrics.get("prediction_sets"), task, no_sets)[:1]
    rare = [f"{name} ({count})" for name, count in metrics["support"].items() if count < FEW]
    if rare:
        said.append(f"Fewer than {FEW} test images, so that their numbers say little: {', '.join(rare)}.")
    return said


def _share(row: Mapping[str, float]) -> str:
    if row["value"] is None or math.isnan(row["value"]):
        return "–"
    ends = f" ({percent(row['low'], 0)} to {percent(row['high'], 0)})" if "low" in row else ""
    return f"{percent(row['value'], 0)}{ends}"


def _numbers(evaluation: Evaluation) -> Section:
    metrics = evaluation.metrics
    baseline = metrics.get("baseline")
    head = ["metric", "value", "95 % interval"]
    groups: list[tuple[str, int]] = []
    if baseline is not None:
        head += ["value", "difference", "95 % interval"]
        groups = [("this network", 2), (baseline["name"], 1), ("this network − the other", 2)]
    rows: list[list[str | Cell]] = []
    alone = {name: value for name, value in metrics.items() if name != "positive"}
    for name, value, interval in metric_rows(alone, evaluation.intervals):
        row: list[str | Cell] = [name.strip().replace("_", " "), value, interval]
        if baseline is not None:
            beside = baseline["metrics"].get(name)
            row += ["", "", ""] if beside is None else _beside(name, beside)
        rows.append(row)
    notes = [
        "Intervals are a bootstrap over the test images (whole patients where they are known): how far a number would "
        "move with other test images of the same kind. They say nothing of other training images."
    ]
    if baseline is not None:
        notes.append(f"{baseline['said'].rstrip('.')}.")
    return Section("Numbers", tables=[Table(head, rows, numbers=range(1, len(head)), groups=groups)], notes=notes)


def _beside(name: str, row: Mapping[str, float]) -> list[str | Cell]:
    known = "low" in row
    better = (row["difference"] < 0) == lower_is_better(name)
    kind = "same" if not known or row["low"] <= 0 <= row["high"] else "good" if better else "bad"
    ends = f"{decimal(row['low'])} to {decimal(row['high'])}" if known else ""
    return [decimal(row["baseline"]), Cell(decimal(row["difference"], signed=True), kind=kind), ends]


def _positive(positive: Mapping[str, Any]) -> Section:
    name, share = positive["class"], positive["prevalence"]
    means = {
        "sensitivity": f"sensitivity: of images with {name}, the share that is claimed",
        "specificity": "specificity: of images without it, the share that is not claimed",
        "ppv": "PPV: of claimed images, the share that has it",
        "npv": "NPV: of images that are not claimed, the share that has it not",
        "ppv_at_prevalence": f"PPV where {100 * (share or 0):.3g} % of all have it",
        "npv_at_prevalence": f"NPV where {100 * (share or 0):.3g} % of all have it",
    }
    rows = [
        [means[key], value_text(row["value"]), interval_text(row.get("low", math.nan), row.get("high", math.nan))]
        for key, row in positive["metrics"].items()
    ]
    notes = [
        f"{positive['images']} of these {positive['of']} images have it: PPV and NPV are those of this share, of no "
        "other, unless a prevalence is given."
    ]
    small = f"claimed from a probability of {measured(positive['threshold'])} on ({positive['threshold_is']})"
    table = Table(["share", "value", "95 % interval"], rows, numbers=(1, 2))
    return Section(f"{name} against the rest", small=small, tables=[table], notes=notes)


def _classes(metrics: Mapping[str, Any], class_names: Sequence[str]) -> Section:
    per_class = metrics["per_class"]
    shown = [name for name in ("sensitivity", "specificity", "auc", "average_precision", "f1") if name in per_class]
    ends = metrics.get("sensitivity_intervals", {})
    rows: list[list[str | Cell]] = []
    for name in class_names:
        row: list[str | Cell] = [name, f"{metrics['support'][name]:,}"]
        for metric in shown:
            low, high = ends.get(name, (math.nan, math.nan)) if metric == "sensitivity" else (math.nan, math.nan)
            below = () if low is None or math.isnan(low) else (f"{number(low)} to {number(high)}",)
            value = per_class[metric][name]
            row.append(Cell(number(math.nan if value is None else value), below=below))
        rows.append(row)
    head = ["class", "test images", *(name.replace("_", " ").replace("auc", "AUC") for name in shown)]
    notes = ["Each class against the rest. Sensitivity is the share of the class's own images that are found."]
    return Section("Each class", tables=[Table(head, rows, numbers=range(1, len(head)))], notes=notes)


def _data(split: FewShotSplit, class_names: Sequence[str]) -> Section:
    summary, parts = split.summary, ("train", "val", "test")
    rows: list[list[str | Cell]] = []
    for name in class_names:
        counts = [summary.get(part, {}).get("images_by_class", {}).get(name, "–") for part in parts]
        groups = [summary.get(part, {}).get("groups_by_class", {}).get(name, "–") for part in parts]
        rows.append([name, *(f"{one:,}" if isinstance(one, int) else one for one in (*counts, *groups))])
    totals = [len(getattr(split, part)) for part in parts]
    patients = [len({record["group"] for record in getattr(split, part)}) for part in parts]
    rows.append(["all", *(f"{one:,}" for one in (*totals, *patients))])
    head = ["class", "train", "validate", "test", "train", "validate", "test"]
    table = Table(head, rows, numbers=range(1, 7), groups=(("images", 3), ("patients or other groups", 3)))
    warnings = [f"{one[0].upper()}{one[1:]}." for one in summary.get("warnings", ())]
    settings = ", ".join(f"{key} {value}" for key, value in split.settings.items() if value is not None)
    notes = [f"Split of {split.source}: {settings}; hash {split.hash}. No group is in two parts."]
    return Section("Data and split", tables=[table], sentences=warnings, notes=notes)


def _history(history: Sequence[Mapping[str, Any]], training: Mapping[str, Any], key: str) -> Section:
    if not history:
        chosen = training.get("chosen") or {}
        said = [
            f"The head was solved in closed form: penalty {chosen['penalty']:g}, chosen by leaving out whole groups in "
            f"{many(chosen['folds'], 'fold')}."
            if chosen.get("folds")
            else "The head was solved in closed form, with the usual penalty."
        ]
        return Section("Training", sentences=said)
    caption = "Loss and learning rate of each epoch, and what validation images said."
    return Section(
        "Training", pictures=[Picture.drawn(["training"], "", caption, _draw_history(history, key), png=False)]
    )


def _draw_history(history: Sequence[Mapping[str, Any]], key: str) -> Any:
    """Loss by epoch, the learning rate behind it, and a metric of validation images where there are some."""
    epochs = [row["epoch"] for row in history]
    validated = [row for row in history if row.get("val")]
    figure = figure_of(8.4 if validated else 5.2, 3.0)
    panels = figure.subplots(1, 2 if validated else 1, squeeze=False)[0]
    axes = panels[0]
    axes.plot(epochs, [row["loss"] for row in history], "o-", color=BLUE, markersize=3.5, label="loss")
    axes.set(xlabel="epoch", ylabel="mean loss of training images")
    axes.set_ylim(bottom=0)
    rate = axes.twinx()
    rate.plot(epochs, [row["lr"] for row in history], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    rate.set_ylabel("learning rate (dashed)", color=GREY, fontsize=9)
    rate.tick_params(labelsize=8, length=2, colors=GREY)
    rate.set_ylim(bottom=0)
    rate.spines[:].set_visible(False)
    tidy(axes, "y", labelsize=9)
    if validated:
        axes = panels[1]
        values = [row["val"][key] for row in validated]
        axes.plot([row["epoch"] for row in validated], values, "o-", color=RED, markersize=3.5)
        axes.set(xlabel="epoch", ylabel=f"{key.replace('_', ' ')} of validation images", ylim=(0, 1.02))
        tidy(axes, "y", labelsize=9)
    for one in panels:
        one.xaxis.get_major_locator().set_params(integer=True)
    return figure


def _settings(training: Mapping[str, Any], repeat: str) -> Section:
    rows = [[str(key), str(value)] for key, value in sorted(_params(training).items())]
    return Section(
        "Settings, and how to repeat it", code=repeat, tables=[Table(["setting", "value"], rows)], folded=True
    )
