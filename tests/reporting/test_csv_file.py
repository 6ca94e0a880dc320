# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import numpy as np
import pytest

from monai_ept.reporting.csv_file import harmless_cell, original_cell, write_csv


def test_numbers_are_short_and_what_is_not_there_is_empty(tmp_path):
    rows = [["a, b", 1, 0.1 + 0.2, np.float32(0.5)], ["", None, math.nan, True]]
    path = write_csv(tmp_path / "table.csv", ["x", "y", "z", "w"], rows)
    assert path.read_bytes() == b'x,y,z,w\n"a, b",1,0.3,0.5\n,,,True\n'


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\tx", "\rx", "'=1", "''=1", "＝1", "a=1", "'a", "", "'"])
def test_what_would_be_a_formula_is_text_and_comes_back(text):
    cell = harmless_cell(text)
    assert original_cell(cell) == text
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "＝"))
    assert (cell == text) == (text in ("a=1", "'a", "", "'"))
