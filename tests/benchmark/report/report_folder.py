# SPDX-License-Identifier: Apache-2.0

"""Folders of sweeps as the runner leaves them: real cells with real ids, and numbers that a generator made up."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from monai_ept.benchmark.plan.cell import Cell
from monai_ept.benchmark.plan.expand import sweep_cells
from monai_ept.benchmark.plan.sweep_file import sweep_from

Score = Callable[[Cell], float | None]
"""A cell's balanced accuracy; NaN for a metric that is not defined, None for a cell that failed."""

GAIN = {"ept": 0.05, "lora": 0.02, "bias": 0.0, "full": -0.06, "damp": 0.015, "vpt": 0.01}


def made_up(cell: Cell, noise: float = 0.015) -> float:
    """Better with more shots; images that are drawn well are so for every method."""
    sampling = np.random.default_rng([cell.sampling, cell.shots])
    own = np.random.default_rng([int(cell.id[-10:], 16)])
    base = {1: 0.24, 5: 0.33, 10: 0.41}.get(cell.shots, 0.3) + (0.2 if "derm" in cell.source else 0.0)
    gain = GAIN.get(cell.name, 0.0)
    if "prompt_length" in cell.factors:
        gain -= 0.02 * abs(np.log10(cell.factors["prompt_length"]) - 2) ** 2
    if "c" in cell.factors:
        gain -= 0.02 * (cell.factors["c"] - 5.5) ** 2
    layers = cell.factors.get("prompt_layers")
    if isinstance(layers, list):
        gain *= len(layers) / 12 * (1.0 if 0 not in layers or len(layers) == 12 else 0.6)
    rate = cell.grid.get("lr", 0.003)
    gain -= 0.03 * abs(np.log10(rate / 0.003))
    return float(base + gain + sampling.normal(0, 0.02) + own.normal(0, noise))


def write_sweep(
    folder: Path, content: Mapping[str, Any], score: Score = made_up, missing: Callable = lambda cell: False
):
    """
    Write ``sweep.yaml`` and the cells; those that are ``missing`` leave nothing behind.

    Returns:
        the cells.
    """
    sweep = sweep_from(content)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sweep.yaml").write_text(sweep.to_yaml(), encoding="utf-8")
    (folder / "cells").mkdir()
    cells = sweep_cells(sweep)
    for cell in cells:
        if not missing(cell):
            write_cell(folder, cell, score(cell), sweep.val != "none")
    return cells


def write_cell(folder: Path, cell: Cell, value: float | None, val: bool = False) -> None:
    """One cell, finished or failed."""
    place = folder / "cells" / cell.id
    place.mkdir()
    (place / "cell.json").write_text(json.dumps(cell.to_json()), encoding="utf-8")
    draw = np.random.default_rng([int(cell.id[-10:], 16), 1])
    failed = value is None
    known = 0.3 if failed or np.isnan(value) else value
    metrics = {"accuracy": known + 0.05, "balanced_accuracy": value, "auc": 0.5 + known / 2, "ece": 0.2 - known / 5}
    delta = {"linear": 0, "damp": 0, "full": 5_500_000, "ept": 0 if cell.frozen else 236_400, "lora": 147_456}
    result = {
        "status": "failed" if failed else "finished",
        "error": "CUDA out of memory: 3 GiB were asked for & <2> were there" if failed else None,
        "metrics": {} if failed else metrics,
        "val_metrics": {"balanced_accuracy": known + draw.normal(0, 0.01)} if val and not failed else {},
        "count": {"backbone": 5_500_000, "delta": delta.get(cell.name, 10_000), "head": 1351},
        "seconds": {"build": 1.0, "train": 20 + 40 * draw.random(), "test": 5 + draw.random(), "total": 70.0},
        "peak_memory_mb": 900 + 50 * draw.random(),
        "num_train": 7 * cell.shots,
        "num_test": 500,
        "split_hash": f"{hash_of(cell):010x}",
        "fingerprint": "3fa0c1d2e4b5",
        "versions": {"torch": "2.15.0", "timm": "1.0.31", "monai_ept": "0.1.0"},
        "run_id": None,
        "started": "2026-01-02T03:03:05+00:00",
        "finished": "2026-01-02T03:04:05+00:00",
        "params": {  # what becomes parameters in MLflow, as describe_run names them
            "method": cell.name,
            **{f"method.{key}": value for key, value in cell.method_settings.items()},
            "backbone": cell.backbone,
            "backbone_fingerprint": "3fa0c1d2e4b5",
            "shots": cell.shots,
            "split_seed": cell.sampling,
            "split_hash": f"{hash_of(cell):010x}",
            "seed": cell.seed,
            "lr": cell.recipe["lr"],
            "trained_in_backbone": delta.get(cell.name, 10_000),
            "trained_in_head": 1351,
            "version.torch": "2.15.0",
        },
        **({"moved": {"prompt": 0.001 * draw.random()}} if cell.name == "ept" and not failed else {}),
    }
    (place / "result.json").write_text(json.dumps(result), encoding="utf-8")
    if not failed:
        ids = np.asarray([f"{cell.source}/{number}" for number in range(20)])
        probabilities = np.full((20, 2), 0.5, dtype=np.float32)
        labels = np.zeros(20, dtype=np.int64)
        np.savez(place / "predictions.npz", probabilities=probabilities, labels=labels, ids=ids, groups=ids)


def hash_of(cell: Cell) -> int:
    """One split for each source, number of shots and sampling."""
    return int.from_bytes(f"{cell.source}{cell.shots}{cell.sampling}".encode()[-5:], "big")


TABLE = {
    "name": "made-up",
    "sources": [{"name": "synthetic_derm"}, {"name": "synthetic_chest", "label": "chest"}],
    "shots": [1, 5, 10],
    "samplings": 5,
    "val": "shots",
    "methods": [
        "linear",
        {"method": "ept", "label": "EPT-100"},
        {"method": "ept", "label": "EPT frozen prompts", "frozen": True},
        {"method": "lora", "label": "LoRA", "grid": {"lr": [0.0006, 0.003, 0.03]}},
        "bias",
        "full",
        {"method": "vpt", "label": "VPT"},
        {"method": "damp", "c": [4.6, 5.5, 6.4]},
    ],
}
"""Two data sets, a grid, a control, a factor: all that a table can hold."""

ABLATIONS = {
    "name": "made-up-ablations",
    "sources": ["synthetic_derm"],
    "shots": [1, 5, 10],
    "samplings": 5,
    "methods": [
        "linear",
        {"method": "ept", "label": "length", "prompt_length": [5, 20, 50, 100, 400]},
        {"method": "ept", "label": "way", "embed": ["concat", "scaled_concat", "add", "multiply"]},
        {
            "method": "ept",
            "label": "depth",
            "prompt_layers": [list(range(n)) for n in (3, 6, 9)]
            + [list(range(12 - n, 12)) for n in (3, 6, 9)]
            + [list(range(12))],
        },
    ],
}

BASE = {
    "name": "small",
    "sources": ["synthetic_derm"],
    "shots": [5],
    "samplings": 4,
    "recipe": "train",
    "methods": ["linear", "bias"],
}
"""Two methods and nothing else."""


def change(folder: Path, cell: Cell, **content: Any) -> None:
    """Put something else into a cell's result."""
    path = folder / "cells" / cell.id / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **content}))
