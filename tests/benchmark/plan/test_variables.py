# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_ept.benchmark.plan.variables import expand


def test_texts_are_filled_in_wherever_they_are(monkeypatch):
    monkeypatch.setenv("DATA", "/data")
    monkeypatch.setenv("HOME", "/home/me")
    setting = {"dir": "${DATA}/isic", "all": ["$DATA", ("~/b", 3)], "none": None}
    assert expand(setting) == {"dir": "/data/isic", "all": ["/data", ["/home/me/b", 3]], "none": None}


@pytest.mark.parametrize("text", ["${NOWHERE}/isic", "$NOWHERE"])
def test_a_variable_that_is_not_set_is_named(text, monkeypatch):
    monkeypatch.delenv("NOWHERE", raising=False)
    with pytest.raises(ValueError, match="needs the environment variable NOWHERE: set it, or write the path itself"):
        expand({"dir": [text]})
