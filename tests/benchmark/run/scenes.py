# SPDX-License-Identifier: Apache-2.0

"""Sweeps of seconds."""

from __future__ import annotations

from typing import Any

from monai_ept.benchmark.plan.cell import Cell
from monai_ept.benchmark.plan.expand import sweep_cells
from monai_ept.benchmark.plan.sweep_file import sweep_from
from monai_ept.model import TunedViT

# One of its methods fails.
SWEEP = {
    "name": "tiny",
    "sources": [{"name": "synthetic_derm", "num_per_class": 4, "num_test_per_class": 1, "img_size": 32}],
    "backbones": [{"name": "embedded", "img_size": 32}],
    "shots": [1],
    "samplings": 2,
    "recipe": {"epochs": 1, "lr": 0.01},
    "methods": [
        "linear",
        {"method": "lora", "label": "too fast", "recipe": {"lr": 1e30, "epochs": 3}},
        {"method": "damp", "c": [1.0, 4.6]},
        "ept",
    ],
}


def cells(methods: list, **changes: object) -> list[Cell]:
    """Cells of two shots, validated and trained for two epochs."""
    content = {
        "name": "t",
        "sources": [{"name": "synthetic_derm", "num_per_class": 5, "num_test_per_class": 2, "img_size": 32}],
        "backbones": [{"name": "embedded", "img_size": 32}],
        "shots": [2],
        "samplings": 1,
        "val": "shots",
        "recipe": {"epochs": 2, "lr": 0.05},
        "methods": methods,
    }
    return sweep_cells(sweep_from({**content, **changes}))


def count_passes(monkeypatch: Any) -> list[int]:
    """How many images pass through a network, pass by pass."""
    passes: list[int] = []
    plain = TunedViT.features
    monkeypatch.setattr(TunedViT, "features", lambda net, x: passes.append(len(x)) or plain(net, x))
    return passes
