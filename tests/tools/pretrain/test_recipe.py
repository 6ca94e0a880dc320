# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from tools.pretrain import PairsRecipe, Recipe


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pictures": 500}, "pictures is 500: 564 are needed"),
        ({"steps": 0}, "steps must be a whole number of at least 1"),
        ({"drop": 1.0}, "drop must be"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"things": 1}, "things must be a whole number of at least 2"),
        ({"things": 4, "described": 9}, "described must be a whole number of at most 8"),
        ({"temperature": 0.0}, "temperature must be"),
        ({"depth": 0}, "depth must be a whole number of at least 1"),
    ],
)
def test_settings_of_the_second_part_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        PairsRecipe(**settings)
