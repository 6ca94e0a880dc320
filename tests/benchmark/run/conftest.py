# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import gc

import pytest


@pytest.fixture(autouse=True, scope="module")
def quick_collection():
    """Each cell begins with a full garbage collection, which need not look at all of torch each time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
