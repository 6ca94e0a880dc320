# SPDX-License-Identifier: Apache-2.0

"""What every test may rely on, whatever machine, folder, user and settings it runs with."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# Before a test imports what reads them: none reaches for a network or a screen.
os.environ.update(HF_HUB_OFFLINE="1", MLFLOW_DISABLE_TELEMETRY="true", MPLBACKEND="agg")
# What a user's shell or a cluster's launcher has set is not meant for tests.
for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "RANK", "WORLD_SIZE", "LOCAL_RANK"):
    os.environ.pop(name, None)

# The same examples on every machine, however slow it is.
settings.register_profile("anywhere", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("anywhere")


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """MLflow takes seconds to create its tables: it does so once, and tests take copies."""
    from monai_ept.tracking.mlflow_client import open_client

    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    open_client(f"sqlite:///{path}").search_experiments()
    return path
