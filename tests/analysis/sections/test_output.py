# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import csv

import numpy as np
from PIL import Image

from monai_ept.analysis.sections.output import Output
from monai_ept.reporting.figure import figure_of


def test_what_is_written_is_known_by_its_name(tmp_path):
    output = Output(tmp_path)
    output.csv("points", ["x", "y"], [[1, 0.5], ["a,b", ""]])
    assert list(csv.reader(output.paths["points"].open())) == [["x", "y"], ["1", "0.5"], ["a,b", ""]]
    (tmp_path / "words.jinja").write_text("{% macro layers(number) %}Of {{ number }} layers.{% endmacro %}")
    figure = figure_of(2.0, 1.0)
    figure.subplots().plot([0, 1])
    picture = output.picture(tmp_path / "words.jinja", "layers", figure, dpi=50, number=3)
    assert (
        picture.caption == "Of 3 layers."
        and picture.width == 200
        and picture.png == output.paths["layers"].read_bytes()
    )
    assert np.asarray(Image.open(output.paths["layers"])).shape[:2] == (50, 100)
    assert set(output.paths) == {"points", "layers"}
