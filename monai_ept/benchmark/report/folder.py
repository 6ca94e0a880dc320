# SPDX-License-Identifier: Apache-2.0

"""Reading a sweep's folder."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from monai_ept.benchmark.report.results import CellResult, SweepResults, with_own_labels, with_plan

__all__ = ["read_folder"]


def read_folder(folder: str | os.PathLike) -> SweepResults:
    """
    Read what a sweep has written so far, while it runs or after.

    Args:
        folder: where ``sweep.yaml`` and ``cells/`` are.

    Raises:
        FileNotFoundError: when it is not the folder of a sweep.

    Example::

        >>> len(read_folder("runs/quick").finished)
        24
    """
    folder = Path(folder)
    if not (folder / "cells").is_dir():
        raise FileNotFoundError(
            f"{folder} is not the folder of a sweep (it has no cells/): pass what 'benchmark run --out' was given."
        )
    settings = _settings(folder / "sweep.yaml")
    cells: dict[str, CellResult] = {}
    notes = []
    for path in sorted((folder / "cells").glob("*/cell.json")):
        about = _json(path)
        if about is None or "id" not in about:
            notes.append(f"{path.relative_to(folder)} cannot be read and is left out.")
            continue
        result_path = path.with_name("result.json")
        result = _json(result_path) if result_path.exists() else None
        if result is None and result_path.exists():
            notes.append(f"{result_path.relative_to(folder)} cannot be read: its cell counts as missing.")
        cells[str(about["id"])] = CellResult(about, result, link=f"cells/{quote(path.parent.name)}/")
    kept, more = with_plan(cells.values(), settings)
    return SweepResults(
        name=str(settings.get("name") or folder.resolve().name),
        cells=with_own_labels(kept),
        settings=settings,
        where=folder.resolve().name,
        notes=[*notes, *more],
        same_test=_same_test(folder, cells.values()),
    )


def _json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _settings(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _same_test(folder: Path, cells: Iterable[CellResult]) -> dict[str, bool]:
    """Whether all cells of a source were tested on the same images, where predictions say which those were."""
    import numpy as np

    seen: dict[str, set[frozenset[str]]] = defaultdict(set)
    for cell in cells:
        path = folder / "cells" / cell.id / "predictions.npz"
        if cell.status == "finished" and path.is_file():
            try:
                with np.load(path, allow_pickle=False) as arrays:
                    seen[cell.source].add(frozenset(map(str, arrays["ids"])))
            except (OSError, ValueError, KeyError):
                continue
    return {source: len(ids) == 1 for source, ids in seen.items()}
