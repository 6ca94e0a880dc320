# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from dataclasses import replace

import pytest

from monai_ept.benchmark.report import build_report, read_folder
from monai_ept.benchmark.report.content import head_of, sections_of
from tests.benchmark.report.report_folder import BASE, made_up, write_sweep


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """With a grid, a method that trains prompts, a cell that failed and one that is missing."""
    folder = tmp_path_factory.mktemp("content") / "s"
    grid = {"method": "lora", "label": "LoRA", "grid": {"lr": [0.0006, 0.003]}}

    def score(cell):
        return None if (cell.name, cell.sampling) == ("bias", 0) else made_up(cell)

    content = {**BASE, "methods": ["linear", "bias", "ept", grid], "val": "shots"}
    write_sweep(folder, content, score, missing=lambda cell: (cell.name, cell.sampling) == ("bias", 1))
    return build_report(read_folder(folder), figures=False)


def test_every_section_has_something_to_say(report):
    found = {section.title: section for section in sections_of(report)}
    assert list(found) == [
        "Balanced accuracy", "What it costs", "How far training moved what it trains",
        "What was chosen on validation images", "Failed cells: 1", "Missing cells: 1 of 20", "Other metrics", "Splits",
        "Weights and versions", "Settings of the sweep", "Cells behind each number",
    ]  # fmt: skip
    assert all(table.rows for section in found.values() for table in section.tables)
    (failed,) = found["Failed cells: 1"].tables[0].rows
    assert failed[1:5] == ["bias", "synthetic_derm, 5-shot", "0", "0"] and failed[5].startswith("CUDA out of memory")
    assert found["Missing cells: 1 of 20"].tables[0].rows == [["bias", "synthetic_derm, 5-shot", "1", "1"]]
    assert [row[0] for row in found["What was chosen on validation images"].tables[0].rows] == ["LoRA"]
    costs = {row[0]: row for row in found["What it costs"].tables[0].rows}
    assert costs["ept"][1] == "236,400" and costs["linear"][5] == ""  # no ratio to itself


def test_links_lead_to_cells_where_the_way_is_known(report):
    def links(base):
        table = sections_of(report, base)[-1].tables[0]
        return [link.to for row in table.rows for link in row[2].links]

    assert len(links("..")) == 4 + 2 + 4 + 4 and all(link.startswith("../cells/") for link in links(".."))
    assert set(links("")) == {""}


def test_the_head_counts_what_differs(report):
    title, phrases = head_of(report)
    assert title == "small" and phrases[:2] == ["balanced accuracy", "2–4 samplings"]
    assert phrases[-2:] == ["18 of 20 cells finished", "compared with linear"]
    cells = report.table.cells
    recipes = [{"recipe.name": "paper", "recipe.epochs": str(n), "recipe.optimizer": "sgd"} for n in range(len(cells))]
    several = replace(report.table, cells=cells.assign(settings=recipes))
    assert f"{len(cells)} recipes, listed with the settings below" in head_of(replace(report, table=several))[1]
    assert "compared with" not in " ".join(head_of(replace(report, table=replace(several, reference="")))[1])
