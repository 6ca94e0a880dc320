# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os

import pytest

from monai_ept.tracking.process_lock import ProcessLock
from tests.tools.pretrain.scenes import SMALL
from tools.pretrain.pool import make_pool


@pytest.fixture(scope="session")
def pool(tmp_path_factory):
    """Pictures, made once for all processes of a run of the tests."""
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent
    folder = place / "pretraining" / "pool"
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessLock(folder.parent / "lock"):
        told = list(make_pool(folder, SMALL.pictures, size=32, workers=1, chunk=60))
    assert told in ([], [(what, done, 10) for what in ("drawn", "described") for done in range(1, 11)])
    return folder
