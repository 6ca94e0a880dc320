# SPDX-License-Identifier: Apache-2.0

"""A figure of images with what the network said about them, and which of them it is most wrong about."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_ept.data.records import Record
from monai_ept.handlers.collect_predictions import PredictionTable
from monai_ept.reporting.axes import short
from monai_ept.reporting.figure import BLUE, INK, RED, figure_of, save_figure

__all__ = ["draw_gallery", "picture_of", "worst_mistakes"]


def draw_gallery(
    folder: str | Path,
    records: Sequence[Record],
    table: PredictionTable,
    *,
    class_names: Sequence[str],
    task: str,
    transform: Any,
    number: int = 24,
    threshold: float = 0.5,
    name: str = "images",
) -> Path:
    """
    Draw ``images.png``: images spread evenly over the records, each with its prediction; wrong ones in red, with what
    is right, and a legend that says so. Several labels stand in lines, wrong ones ("not …", "missed …") first; a volume
    shows its middle slice.

    Args:
        folder: where to.
        records: the records that were predicted.
        table: their predictions, by id.
        class_names: one name per class.
        task: "multiclass" or "multilabel".
        transform: makes an image in [0, 1] of a record, ``network_transforms(net, mean=0.0, std=1.0)``.
        number: of images, at most.
        threshold: for multi-label decisions.
        name: of the file, without its end.

    Raises:
        ValueError: when a record has no prediction.
    """
    rows = {identity: index for index, identity in enumerate(table.ids)}
    lost = [record["id"] for record in records if record["id"] not in rows]
    if lost:
        raise ValueError(f"there is no prediction for {lost[0]!r} ({len(lost)} of {len(records)} records).")
    shown = [records[i] for i in np.unique(np.linspace(0, len(records) - 1, min(number, len(records))).astype(int))]
    columns = min(6, len(shown))
    lines = math.ceil(len(shown) / columns)
    extra = 0.32 if task == "multiclass" else 0.5  # inches of caption
    width, line, top = max(1.75 * columns, 3.8), 1.65 + extra, 0.35 if columns > 4 else 0.75
    height = line * lines + top
    figure = figure_of(
        width, height, layout=None
    )  # all sizes are known, and finding a layout takes longer than drawing
    for place, record in enumerate(shown):
        left, bottom = 0.05 + 1.75 * (place % columns), height - top - line * (place // columns + 1) + 0.05
        axes = figure.add_axes((left / width, bottom / height, 1.65 / width, 1.55 / height))
        axes.axis("off")
        index = rows[record["id"]]
        image = picture_of(transform({"image": record["image"], "id": record["id"]})["image"])
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        label = None if table.labels is None else table.labels[index]
        said, right = _caption(table.probabilities[index], label, class_names, task, threshold)
        axes.set_title(said, fontsize=8, color=BLUE if right else RED, loc="left", pad=3)
    _legend(figure, task, threshold, labelled=table.labels is not None)
    return save_figure(figure, Path(folder) / f"{name}.png")


def _legend(figure: Any, task: str, threshold: float, *, labelled: bool) -> None:
    """What blue and red are, and what the number is, above all images."""
    from matplotlib.lines import Line2D

    look: dict[str, Any] = {"linestyle": "none", "marker": "s", "markersize": 7}
    right, wrong = "right", 'wrong ("is": its label)'
    if task == "multilabel":
        right, wrong = f"labels of probability {threshold:g} or more", 'wrong ("not": claimed, "missed": not found)'
        right += ", all right" if labelled else ""
    entries = [(right, {"color": BLUE, **look}), (wrong, {"color": RED, **look})][: 2 if labelled else 1]
    if task == "multiclass":
        number = {**look, "marker": "$0.87$", "markersize": 20, "color": INK, "markeredgewidth": 0}
        entries = [*(entries if labelled else []), ("probability of the predicted class", number)]
    handles = [Line2D([], [], label=label, **style) for label, style in entries]
    columns = len(handles) if figure.get_figwidth() > 7 else 1
    legend = {"frameon": False, "fontsize": 8.5, "handlelength": 2.2}
    figure.legend(handles=handles, loc="upper left", ncols=columns, **legend)


def picture_of(image: Any) -> np.ndarray:
    """Channels last, one or three of them; the middle slice of a volume."""
    array = np.asarray(image, dtype=np.float32)
    if array.ndim == 4:
        array = np.rot90(array[..., array.shape[-1] // 2], axes=(1, 2))
    return np.moveaxis(array, 0, -1).clip(0, 1) if array.shape[0] == 3 else array[0].clip(0, 1)


def _caption(
    probabilities: np.ndarray, label: Any, class_names: Sequence[str], task: str, threshold: float
) -> tuple[str, bool]:
    if task == "multiclass":
        decision = int(probabilities.argmax())
        right = label is None or decision == int(label)
        said = f"{short(class_names[decision], 15)} {probabilities[decision]:.2f}"
        return (said if right else f"{said}\nis {short(class_names[int(label)], 15)}"), right
    decisions = probabilities >= threshold
    truth = decisions if label is None else label.astype(bool)
    lines = [short(name, 15) for name, yes in zip(class_names, decisions & truth, strict=True) if yes]
    # What is wrong comes first: there is room for three lines.
    wrong = [f"not {short(name, 15)}" for name, yes in zip(class_names, decisions & ~truth, strict=True) if yes]
    wrong += [f"missed {short(name, 15)}" for name, yes in zip(class_names, ~decisions & truth, strict=True) if yes]
    lines = [*wrong, *lines] or ["nothing"]
    if len(lines) > 3:
        lines = [*lines[:2], f"… and {len(lines) - 2} more"]
    return "\n".join(lines), not wrong


def worst_mistakes(
    records: Sequence[Record], table: PredictionTable, task: str, *, number: int = 12, threshold: float = 0.5
) -> list[Record]:
    """
    The records that are decided wrongly, the surest decision first.

    Args:
        task: "multiclass" (how sure it is of the wrong class) or "multilabel" (how far its worst label is off).
    """
    labels, probabilities = np.asarray(table.labels), table.probabilities
    if task == "multiclass":
        wrong = probabilities.argmax(axis=1) != labels
        sure = probabilities.max(axis=1)
    else:
        missed = (probabilities >= threshold) != labels.astype(bool)
        wrong = missed.any(axis=1)
        sure = np.where(missed, np.abs(probabilities - labels), 0).max(axis=1)
    order = [row for row in np.argsort(-sure, kind="stable") if wrong[row]]
    by_id = {record["id"]: record for record in records}
    return [by_id[table.ids[row]] for row in order[:number]]
