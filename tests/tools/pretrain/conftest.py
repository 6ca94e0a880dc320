# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from tests.shared import made_once
from tests.tools.pretrain.scenes import SMALL
from tools.pretrain.pool import make_pool


@pytest.fixture(scope="session")
def pool(tmp_path_factory):
    """Pictures, drawn and described."""

    def make(folder):
        told = list(make_pool(folder, SMALL.pictures, size=32, workers=1, chunk=60))
        assert told == [(what, done, 10) for what in ("drawn", "described") for done in range(1, 11)]

    return made_once(tmp_path_factory, "pretraining", make)
