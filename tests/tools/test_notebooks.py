# SPDX-License-Identifier: Apache-2.0

"""The notebooks run from beginning to end without a network, and are kept with their outputs, small enough to read."""

from __future__ import annotations

import nbformat
import pytest

from tools.notebooks import FOLDER, run_notebook

NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))


def _code(name):
    return [cell for cell in nbformat.read(FOLDER / name, as_version=4).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_is_kept_as_it_was_executed(name):
    cells = _code(name)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert (FOLDER / name).stat().st_size < 300_000
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    text = (FOLDER / name).read_text(encoding="utf-8")
    # Nothing of the machine it ran on.
    assert not [place for place in ("site-packages", "/home/", "/tmp/") if place in text]


def test_training_shows_a_bar_and_a_result_is_a_table():
    outputs = [output for cell in _code("your_images_in_ten_minutes.ipynb") for output in cell.outputs]
    pages = [output.data["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    assert any("<progress" in page for page in pages)
    assert any("<table" in page and "balanced accuracy" in page and "95 % interval" in page for page in pages)


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_runs(name, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    kinds = [[output.output_type for output in cell.outputs if output.output_type != "stream"] for cell in _code(name)]
    cells = [cell for cell in run_notebook(FOLDER / name).cells if cell.cell_type == "code"]
    assert [[o.output_type for o in cell.outputs if o.output_type != "stream"] for cell in cells] == kinds
