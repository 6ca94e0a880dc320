# SPDX-License-Identifier: Apache-2.0

"""What a sweep has given so far, as a data frame with a row for each cell."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from monai_ept.benchmark.plan.report_settings import short_label

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Found", "SweepResults", "frame_of", "plain", "with_own_labels"]

NO_SETTING = {"id", "label", "group", "shots", "sampling", "seed", "grid", "factors", "source", "backbone", "methods"}
"""What a cell is beside its settings: its place in the tables, which a difference in settings must not share."""


@dataclass(frozen=True)
class SweepResults:
    """
    The cells of a sweep with what they gave.

    Args:
        name: its name.
        cells: all that are known, from :py:func:`frame_of`.
        settings: the sweep file as run.
        notes: sentences about what was left out while reading.
        same_test: for each source whether all cells were tested on the same images, where that is known.
    """

    name: str
    cells: pd.DataFrame
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    same_test: Mapping[str, bool] = field(default_factory=dict)

    @property
    def finished(self) -> pd.DataFrame:
        return self.cells[self.cells["status"] == "finished"]

    @property
    def failed(self) -> pd.DataFrame:
        return self.cells[self.cells["status"] == "failed"]

    @property
    def missing(self) -> pd.DataFrame:
        return self.cells[self.cells["status"] == "missing"]


class Found(NamedTuple):
    """A cell as it was found: what ``cell.json`` says, what ``result.json`` says if it is there, and its link."""

    about: Mapping[str, Any]
    result: Mapping[str, Any] | None = None
    link: str = ""


def frame_of(cells: Iterable[Found]) -> pd.DataFrame:
    """
    One row for each cell.

    Returns:
        text for what a cell is, numbers for what it measured (``test/…``, ``val/…``, ``moved/…``, perhaps NaN),
        and ``settings``, ``factors`` and ``grid_values`` as mappings.
    """
    import pandas as pd

    rows = [_row(*cell) for cell in cells]
    names = list(dict.fromkeys(name for row in rows or [_row({"id": ""}, None, "")] for name in row))
    frame = pd.DataFrame(rows, columns=names)
    counts = ["trained", "head"]
    return frame.astype(dict.fromkeys(counts, "Int64"))


def _row(about: Mapping[str, Any], result: Mapping[str, Any] | None, link: str) -> dict[str, Any]:
    grid = about.get("grid") or {}
    method = about.get("method", "?")
    method = method if isinstance(method, str) else " + ".join(map(_name, method))
    status = "missing" if result is None else str(result.get("status", "failed"))
    result = result or {}
    counts, spent = result.get("count") or {}, result.get("seconds") or {}
    versions = sorted((result.get("versions") or {}).items())
    row = {
        "id": str(about["id"]),
        "status": status,
        "backbone": _name(about.get("backbone", "?")),
        "source": _name(about.get("source", "?")),
        "method": method,
        "label": str(about.get("label") or method),
        "group": about.get("group") or "",
        "grid": ", ".join(f"{key}={plain(value)}" for key, value in sorted(grid.items())),
        "shots": str(about.get("shots", "?")),
        "sampling": str(about.get("sampling", 0)),
        "seed": str(about.get("seed", 0)),
        "trained": counts.get("delta"),
        "head": counts.get("head"),
        "train_seconds": _number(spent.get("train")),
        "test_seconds": _number(spent.get("test")),
        "peak_memory_mb": _number(result.get("peak_memory_mb")),
        **{name: str(result.get(name, "")) for name in ("num_train", "num_test")},
        **{name: str(result.get(name) or "") for name in ("split_hash", "fingerprint", "run_id", "finished", "error")},
        "pretrained": str(about.get("pretrained", "–")),
        "versions": ", ".join(f"{name} {text}" for name, text in versions),
        "grid_values": grid,
        "factors": about.get("factors") or {},
        "settings": _settings(about),
        "link": link,
    }
    for kind, values in (("test", "metrics"), ("val", "val_metrics"), ("moved", "moved")):
        found = result.get(values)
        row.update({f"{kind}/{name}": _number(one) for name, one in (found if isinstance(found, dict) else {}).items()})
    return row


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else math.nan


def _name(value: Any) -> str:
    if isinstance(value, Mapping):
        value = value.get("name") or value.get("method") or "?"
    text = str(value)
    return Path(text).name if "/" in text and Path(text).is_absolute() else text


def plain(value: Any) -> str:
    """A setting as text: numbers short, lists as they are."""
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _settings(about: Mapping[str, Any]) -> dict[str, str]:
    """All settings but those that make the cell's place in the tables, flat and as text."""
    flat: dict[str, str] = {}

    def flatten(key: str, value: Any) -> None:
        if isinstance(value, Mapping) and value:
            for inner, item in value.items():
                flatten(f"{key}.{inner}", item)
        else:
            flat[key] = plain(value)

    for key, value in about.items():
        if key not in NO_SETTING:
            flatten(key, value)
    chosen = about.get("grid") or {}  # a grid's values are settings too, but those are chosen among
    return {name: text for name, text in flat.items() if name.rpartition(".")[2] not in chosen}


def with_own_labels(cells: pd.DataFrame, *, whole_names: bool = True) -> pd.DataFrame:
    """Cells that differ in more than a grid get labels such as ``"ept (recipe.epochs=5)"``, and are never averaged."""
    labels = cells["label"].copy()
    for (_, _, label), group in cells.groupby(["backbone", "source", "label"], sort=False):
        # Of a run that failed before it began, a store does not know all settings.
        finished = group[group["status"] == "finished"]
        known = list((finished if len(finished) else group)["settings"])
        names = sorted({name for settings in known for name in settings})
        odd = [name for name in names if len({settings.get(name) for settings in known}) > 1]
        for index, settings in group["settings"].items() if odd else ():
            texts = (f"{name if whole_names else name.rpartition('.')[2]}={settings.get(name, '–')}" for name in odd)
            labels[index] = f"{label} ({', '.join(texts)})"
    return cells.assign(label=labels.map(short_label))
