# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from tests.fresh_process import fresh_context
from tests.shared import made_once
from tests.tools.pretrain.scenes import SMALL
from tools.pretrain import pool as pool_module


@pytest.fixture(scope="session")
def pool(tmp_path_factory):
    """Pictures, drawn and described."""

    def make(folder):
        with pytest.MonkeyPatch.context() as patch:  # its workers import for seconds otherwise
            patch.setattr(pool_module, "get_context", lambda _: fresh_context())
            told = list(pool_module.make_pool(folder, SMALL.pictures, size=32, workers=1, chunk=60))
        assert told == [(what, done, 10) for what in ("drawn", "described") for done in range(1, 11)]

    return made_once(tmp_path_factory, "pretraining", make)
