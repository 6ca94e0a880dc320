# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from tools.pretrain.fields import FIELDS


@pytest.mark.parametrize("name", FIELDS)
def test_every_family_fills_the_square_and_varies(name):
    drawn = [FIELDS[name](np.random.default_rng(seed), 48) for seed in range(30)]
    for field in drawn:
        assert field.shape == (48, 48) and np.issubdtype(field.dtype, np.floating)
        assert np.isfinite(field).all() and field.min() >= -1e-6 and field.max() <= 1 + 1e-6
    assert np.mean([field.std() > 0.02 for field in drawn]) > 0.8  # hardly one is flat
    assert len({field.tobytes() for field in drawn}) == 30


@pytest.mark.parametrize("name", FIELDS)
def test_the_same_numbers_give_the_same_field(name):
    first, second = (FIELDS[name](np.random.default_rng(3), 32) for _ in range(2))
    assert first.tobytes() == second.tobytes()
