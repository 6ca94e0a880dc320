# SPDX-License-Identifier: Apache-2.0

"""What every test may rely on, whatever machine, folder, user and settings it runs with."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.shared import made_once

# Before a test imports what reads them: none reaches for a network or a screen.
os.environ.update(HF_HUB_OFFLINE="1", MLFLOW_DISABLE_TELEMETRY="true", MPLBACKEND="agg")
# What a user's shell or a cluster's launcher has set is not meant for tests.
for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "RANK", "WORLD_SIZE", "LOCAL_RANK"):
    os.environ.pop(name, None)

# The same examples on every machine, however slow it is.
settings.register_profile("anywhere", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("anywhere")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What imports leave behind lives as long as the process: nobody looks for garbage there."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True, scope="module")
def quick_collection():
    """Cells of sweeps and some libraries collect garbage: of what files before have left, they need not look at all."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """MLflow takes seconds to create its tables: it does so once, and tests take copies."""

    def make(folder: Path) -> None:
        from monai_ept.tracking.mlflow_client import open_client

        open_client(f"sqlite:///{folder / 'mlflow.db'}").search_experiments()

    return made_once(tmp_path_factory, "empty", make) / "mlflow.db"
