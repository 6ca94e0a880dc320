# SPDX-License-Identifier: Apache-2.0

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from tools.pretrain import Recipe


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
