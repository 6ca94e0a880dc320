# SPDX-License-Identifier: Apache-2.0

"""The bundles, and settings that make each small enough for a test."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2] / "bundles"

DERM = {"num_per_class": 4, "num_test_per_class": 1, "img_size": 32}
CHEST = {"num_images": 40, "num_test_images": 6, "img_size": 32}
VOLUME = {"num_per_class": 3, "num_test_per_class": 2, "img_size": 16}

FEW = {"recipe": "train", "recipe_settings#num_resamples": 20}
"""A training, epoch by epoch; the bootstrap of a few images takes longer than all that it is about."""

SMALL = {
    "ept_chest": {"source_options": CHEST, "img_size": 32, **FEW},
    "ept_colon": {"source_options": DERM, "img_size": 32, **FEW},
    "ept_derm": {"source_options": DERM, "img_size": 32, **FEW},
    "ept_endo": {"source_options": CHEST, "img_size": 32, **FEW},
    "ept_volume": {"source_options": VOLUME, "img_size": 16, **FEW},
}


def config(bundle: str, name: str) -> str:
    return str(ROOT / bundle / "configs" / name)


def command(*configs: str, program: tuple[str, ...] = (sys.executable,), **settings: object) -> list[str]:
    """A command line as a user types it."""
    files = configs[0] if len(configs) == 1 else str(list(configs))
    given = [text for key, value in settings.items() for text in (f"--{key}", str(value))]
    return [*program, "-m", "monai.bundle", "run", "--config_file", files, *given]


def environment() -> dict[str, str]:
    """Offline, with one thread per process, and no MLflow server of the developer's."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    return {**kept, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
