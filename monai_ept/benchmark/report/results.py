# SPDX-License-Identifier: Apache-2.0

"""What a sweep has given so far: its cells, finished, failed and missing."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

__all__ = ["CellResult", "SweepResults", "plain", "with_own_labels", "with_plan"]

NOT_A_SETTING = (
    "id",
    "label",
    "group",
    "shots",
    "sampling",
    "seed",
    "grid",
    "factors",
    "source",
    "backbone",
    "methods",
)
"""What a cell is beside its settings: its place in the tables, which a difference in settings must not share."""


@dataclass(frozen=True)
class CellResult:
    """
    One training of a sweep.

    Args:
        about: what it is, as in ``cell.json``.
        result: what came out, as in ``result.json``; None when there is nothing yet.
        label: its name in tables, the one in ``about`` by default.
        link: where a page in the report's folder finds it, if it can.
    """

    about: Mapping[str, Any]
    result: Mapping[str, Any] | None = None
    label: str = ""
    link: str = ""

    def __post_init__(self) -> None:
        if not self.label:
            object.__setattr__(self, "label", str(self.about.get("label") or self.method))

    @property
    def id(self) -> str:
        return str(self.about["id"])

    @property
    def method(self) -> str:
        method = self.about.get("method", "?")
        return method if isinstance(method, str) else " + ".join(map(_name, method))

    @property
    def source(self) -> str:
        return _name(self.about.get("source", "?"))

    @property
    def backbone(self) -> str:
        return _name(self.about.get("backbone", "?"))

    @property
    def shots(self) -> str:
        return str(self.about.get("shots", "?"))

    @property
    def sampling(self) -> str:
        return str(self.about.get("sampling", 0))

    @property
    def seed(self) -> str:
        return str(self.about.get("seed", 0))

    @property
    def group(self) -> str | None:
        return self.about.get("group")

    @property
    def factors(self) -> Mapping[str, Any]:
        return self.about.get("factors") or {}

    @property
    def grid(self) -> str:
        """The values that come from a grid, as text; empty without one."""
        return ", ".join(f"{key}={plain(value)}" for key, value in sorted((self.about.get("grid") or {}).items()))

    @property
    def status(self) -> str:
        """ "finished", "failed" or "missing"."""
        return "missing" if self.result is None else str(self.result.get("status", "failed"))

    @property
    def place(self) -> tuple[str, str, str]:
        """Backbone, source and shots."""
        return self.backbone, self.source, self.shots

    @cached_property
    def signature(self) -> dict[str, str]:
        """All settings but those that make the cell's place in the tables, flat and as text."""
        flat: dict[str, str] = {}
        chosen = self.about.get("grid") or {}
        for key, value in self.about.items():
            if key not in NOT_A_SETTING:
                _flatten(key, value, flat)
        for key in chosen:  # a grid's values are settings too, but those are chosen among
            for name in [name for name in flat if name.rpartition(".")[2] == key]:
                del flat[name]
        return flat

    def metric(self, name: str, where: str = "metrics") -> float:
        """A test metric, or one of ``val_metrics``; NaN where there is none."""
        value = ((self.result or {}).get(where) or {}).get(name)
        return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else math.nan


@dataclass(frozen=True)
class SweepResults:
    """
    The cells of a sweep with what they gave.

    Args:
        name: its name.
        cells: all of them that are known.
        settings: the sweep file as run.
        where: the folder or store that it was read from.
        notes: sentences about what was left out while reading.
        same_test: for each source whether all cells were tested on the same images, where that is known.
    """

    name: str
    cells: Sequence[CellResult]
    settings: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""
    notes: Sequence[str] = ()
    same_test: Mapping[str, bool] = field(default_factory=dict)

    def with_status(self, status: str) -> list[CellResult]:
        return [cell for cell in self.cells if cell.status == status]

    @property
    def finished(self) -> list[CellResult]:
        return self.with_status("finished")

    @property
    def failed(self) -> list[CellResult]:
        return self.with_status("failed")

    @property
    def missing(self) -> list[CellResult]:
        return self.with_status("missing")


def with_own_labels(cells: Iterable[CellResult]) -> list[CellResult]:
    """
    Cells of different settings get different labels, so that they are never averaged.

    Grids are left alone. What differs becomes part of the label: ``"ept (recipe.epochs=5)"``.
    """
    cells = list(cells)
    by_label: dict[tuple[str, str, str], list[CellResult]] = defaultdict(list)
    for cell in cells:
        by_label[cell.backbone, cell.source, cell.label].append(cell)
    labels: dict[str, str] = {}
    for (_, _, label), group in by_label.items():
        # Of a run that failed before it began, a store does not know all settings.
        whole = [cell for cell in group if cell.status == "finished"] or group
        names = sorted({name for cell in whole for name in cell.signature})
        odd = [name for name in names if len({cell.signature.get(name) for cell in whole}) > 1]
        for cell in group:
            extra = ", ".join(f"{name}={cell.signature.get(name, '–')}" for name in odd)
            labels[cell.id] = _shorter(f"{label} ({extra})" if extra else label)
    return [replace(cell, label=labels[cell.id]) for cell in cells]


def with_plan(cells: Iterable[CellResult], settings: Mapping[str, Any]) -> tuple[list[CellResult], list[str]]:
    """
    Put the cells beside those that the sweep file asks for: what has not begun is missing, what it no longer asks for
    is left out.

    Args:
        cells: those that are there.
        settings: the sweep file; empty when there is none, and then the cells are taken as they are.

    Returns:
        the cells in the order of the file, and notes.
    """
    from monai_ept.benchmark.plan.expand import sweep_cells
    from monai_ept.benchmark.plan.sweep_file import sweep_from

    there = {cell.id: cell for cell in cells}
    if not settings:
        return list(there.values()), ["there is no sweep file: what has not begun is not known."]
    try:
        planned = {cell.id: cell.to_json() for cell in sweep_cells(sweep_from(settings))}
    except (ValueError, TypeError) as error:
        return list(there.values()), [f"the sweep file cannot be read ({error}) what has not begun is not known."]
    if there and not there.keys() & planned.keys():
        return list(there.values()), ["the sweep file names none of these cells: what has not begun is not known."]
    old = len(there.keys() - planned.keys())
    notes = [f"{old} cell{'' if old == 1 else 's'} left out that the sweep file no longer asks for."] if old else []
    # Labels, groups and factors are no part of an id: those of the file hold.
    names = ("label", "group", "factors", "grid", "source")
    kept = []
    for identity, about in planned.items():
        cell = there.get(identity, CellResult(about))
        kept.append(CellResult({**cell.about, **{key: about[key] for key in names}}, cell.result, link=cell.link))
    return kept, notes


def plain(value: Any) -> str:
    """A setting as text: numbers short, lists as they are."""
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _shorter(label: str) -> str:
    """Layers that follow each other are named by the first and the last: ``[0,1,2,3]`` becomes ``[0…3]``."""

    def ends(match: re.Match[str]) -> str:
        numbers = [int(text) for text in match.group(1).split(",")]
        run = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        return f"[{numbers[0]}…{numbers[-1]}]" if run and len(numbers) > 2 else match.group(0)

    return re.sub(r"\[(-?\d+(?:, ?-?\d+)+)\]", ends, label)


def _name(value: Any) -> str:
    if isinstance(value, Mapping):
        value = value.get("name") or value.get("method") or "?"
    text = str(value)
    return Path(text).name if "/" in text and Path(text).is_absolute() else text


def _flatten(key: str, value: Any, flat: dict[str, str]) -> None:
    if isinstance(value, Mapping) and value:
        for inner, item in value.items():
            _flatten(f"{key}.{inner}", item, flat)
    else:
        flat[key] = plain(value)
