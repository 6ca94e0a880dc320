# SPDX-License-Identifier: Apache-2.0

"""The results of a sweep from its folder."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from monai_ept.benchmark.report.results import Found, SweepResults, frame_of, with_own_labels
from monai_ept.reporting.numbers import many
from monai_ept.yaml_file import load_yaml

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["common_folder", "read_folder", "read_folders"]

MAPPINGS = ("metrics", "val_metrics", "moved", "count", "seconds", "versions", "grid", "factors")


def read_folder(folder: str | os.PathLike) -> SweepResults:
    """
    Read what a sweep has written so far, while it runs or after.

    Args:
        folder: where ``sweep.yaml`` and ``cells/`` are.

    Raises:
        FileNotFoundError: when it is not the folder of a sweep.

    Example::

        >>> len(read_folder("runs/quick").finished)
        54
    """
    folder = Path(folder)
    if not (folder / "cells").is_dir():
        raise FileNotFoundError(
            f"{folder} is not the folder of a sweep (it has no cells/): pass what 'benchmark run --out' was given."
        )
    settings = _mapping(folder / "sweep.yaml", load_yaml) or {}
    cells: dict[str, Found] = {}
    notes = []
    for path in sorted((folder / "cells").glob("*/cell.json")):
        about = _mapping(path, _json)
        if about is None or "id" not in about:
            notes.append(f"{path.relative_to(folder)} cannot be read and is left out.")
            continue
        result_path = path.with_name("result.json")
        result = _mapping(result_path, _json) if result_path.exists() else None
        if result is None and result_path.exists():
            notes.append(f"{result_path.relative_to(folder)} cannot be read: its cell counts as missing.")
        cells[str(about["id"])] = Found(about, result, f"cells/{quote(path.parent.name)}/")
    kept, more = _with_plan(cells, settings)
    frame = with_own_labels(frame_of(kept))
    return SweepResults(
        name=str(settings.get("name") or folder.resolve().name),
        cells=frame,
        settings=settings,
        notes=[*notes, *more],
        same_test=_same_test(folder, frame_of(cells.values())),
    )


def read_folders(folders: Sequence[str | os.PathLike]) -> SweepResults:
    """
    Read several sweeps as one; a cell that two of them have counts once, finished where it is.

    Args:
        folders: of the sweeps; metric and reference are those of the first.

    Raises:
        FileNotFoundError: when one is not the folder of a sweep.
    """
    import pandas as pd

    if len(folders) == 1:
        return read_folder(folders[0])
    sweeps = [read_folder(folder) for folder in folders]
    home = common_folder(folders)
    frames = []
    for folder, sweep in zip(folders, sweeps, strict=True):
        way = quote(Path(folder).resolve().relative_to(home).as_posix())
        frames.append(sweep.cells.assign(link=[link and f"{way}/{link}" for link in sweep.cells["link"]]))
    cells = pd.concat(frames, ignore_index=True)
    finished_first = (cells["status"] != "finished").sort_values(kind="stable").index
    kept = cells.loc[finished_first].drop_duplicates("id").sort_index()
    return SweepResults(
        name=" + ".join(sweep.name for sweep in sweeps),
        cells=with_own_labels(kept.reset_index(drop=True)),
        settings={
            **{key: value for key, value in sweeps[0].settings.items() if key in ("metric", "reference")},
            "sweeps": [sweep.settings for sweep in sweeps],
        },
        notes=[f"{sweep.name}: {note}" for sweep in sweeps for note in sweep.notes],
        same_test=_same_test(home, kept),
    )


def common_folder(folders: Sequence[str | os.PathLike]) -> Path:
    """The folder that holds all of several, or the only one itself."""
    return Path(os.path.commonpath([Path(folder).resolve() for folder in folders]))


def _mapping(path: Path, read: Callable[[str, str], Any]) -> dict[str, Any] | None:
    try:
        content = read(path.read_text(encoding="utf-8"), path.name)
    except (OSError, ValueError, RecursionError):
        return None
    parts = content if isinstance(content, dict) else {"status": None}
    # What is a mapping in every cell, and what says how it ended; whatever else is odd becomes text or no number.
    whole = all(isinstance(parts.get(key) or {}, dict) for key in MAPPINGS)
    return parts if whole and parts.get("status", "finished") in ("finished", "failed") else None


def _json(text: str, name: str) -> Any:
    return json.loads(text)


def _with_plan(there: Mapping[str, Found], settings: Mapping[str, Any]) -> tuple[list[Found], list[str]]:
    """The cells that the sweep file asks for, begun or not, in its order; without a file as they are. And notes."""
    from monai_ept.benchmark.plan.expand import sweep_cells
    from monai_ept.benchmark.plan.sweep_file import sweep_from, written_base

    unknown = "what has not begun is not known."
    if not settings:
        return list(there.values()), [f"there is no sweep file: {unknown}"]
    try:
        planned = {cell.id: cell.to_json() for cell in sweep_cells(sweep_from(settings, written_base(settings)))}
    except (ValueError, TypeError) as error:
        return list(there.values()), [f"the sweep file cannot be read ({error}) {unknown}"]
    if there and not there.keys() & planned.keys():
        return list(there.values()), [f"the sweep file names none of these cells: {unknown}"]
    old = len(there.keys() - planned.keys())
    # Labels, groups and factors are no part of an id: those of the file hold.
    names = ("label", "group", "factors", "grid", "source")
    kept = []
    for identity, about in planned.items():
        cell = there.get(identity, Found(about))
        kept.append(cell._replace(about={**cell.about, **{key: about[key] for key in names}}))
    return kept, [f"{many(old, 'cell')} left out that the sweep file no longer asks for."] if old else []


def _same_test(folder: Path, cells: pd.DataFrame) -> dict[str, bool]:
    """Whether all cells of a source were tested on the same images, where predictions say which those were."""
    import numpy as np

    seen: dict[str, set[frozenset[str]]] = defaultdict(set)
    for link, source in cells.loc[cells["status"] == "finished", ["link", "source"]].itertuples(index=False):
        try:
            with np.load(folder / unquote(link) / "predictions.npz", allow_pickle=False) as arrays:
                seen[source].add(frozenset(map(str, arrays["ids"])))
        except (OSError, ValueError, KeyError):
            continue
    return {source: len(ids) == 1 for source, ids in seen.items()}
