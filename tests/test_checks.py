# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_ept.checks import flag


@pytest.mark.parametrize(
    ("value", "expected"), [(True, True), ("true", True), ("False", False), ("no", False), (1, True), ("off", False)]
)
def test_flags(value, expected):
    assert flag(value) is expected


@pytest.mark.parametrize("value", [None, "maybe", "", 2])
def test_what_is_no_flag(value):
    with pytest.raises(ValueError, match="is neither true nor false: write one of them"):
        flag(value)
