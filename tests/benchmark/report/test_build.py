# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from monai_ept.benchmark.report import build_report, read_folder, save_report
from monai_ept.benchmark.report.content import head_of
from monai_ept.reporting.numbers import number
from tests.benchmark.report.report_folder import TABLE, change, made_up, write_sweep
from tests.reporting.test_page import Page

SMALL = {
    **TABLE,
    "name": "page",
    "sources": ["synthetic_derm"],
    "shots": [1, 5],
    "samplings": 3,
    "methods": [
        "linear",
        {"method": "ept", "label": "EPT <100>"},
        {"method": "lora", "grid": {"lr": [0.0006, 0.003]}},
        "bias",
        {"method": "damp", "c": [4.6, 5.5]},
        {"method": "ept", "label": "way", "embed": ["concat", "add"]},
        {"method": "ept", "label": "depth", "prompt_layers": [[0, 1], [10, 11], "deep"]},
    ],
}
"""One of everything; a label that is no HTML, a cell that failed and one that is missing."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page") / "sweep"

    def value(cell):
        return None if (cell.name, cell.sampling, cell.shots) == ("bias", 0, 5) else made_up(cell)

    write_sweep(folder, SMALL, value, missing=lambda c: (c.name, c.sampling, c.shots) == ("bias", 1, 5))
    report = build_report(read_folder(folder))
    return folder, report, save_report(report, folder / "report", cells=folder)


def test_the_page_is_whole_and_needs_nothing_else(saved):
    _, report, paths = saved
    text = paths["page"].read_text(encoding="utf-8")
    page = Page(text)
    assert not page.open and "script" not in {tag for tag, _ in page.tags}
    images = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(images) == len(report.pictures) and all(src.startswith("data:image/svg+xml;base64,") for src in images)
    assert not re.search(r"(src|href)=\"https?:", text) and "@import" not in text and "url(" not in text
    assert "EPT <100>" in page.text  # escaped, so that it is text
    # Every number leads to its cells, and every cell to its folder.
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    inside = [link for link in links if link.startswith("#")]
    assert inside and all(link[1:] in ids for link in inside)
    outside = [link for link in links if not link.startswith("#")]
    assert len(set(outside)) == len(report.table.cells) + 1
    assert all((paths["page"].parent / link / "result.json").is_file() for link in outside)
    for title in ("What it costs", "What was chosen on validation images", "Failed cells: 1", "Missing cells: 1 of 72",
                  "Splits", "Weights and versions", "Settings of the sweep", "CUDA out of memory"):  # fmt: skip
        assert title in page.text
    for text in report.reading:
        assert text.replace(" %", "\u00a0%") in page.text


def test_markdown_and_csv_say_the_same(saved):
    _, report, paths = saved
    text = paths["markdown"].read_text(encoding="utf-8")
    for name in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (paths["markdown"].parent / name).is_file()
    rows = list(csv.DictReader(io.StringIO(paths["results"].read_text())))
    assert len(rows) == len(report.table.scores)
    by_key = {(row["method"], row["shots"]): row for row in rows}
    for (label, column), found in report.table.scores.items():
        row = by_key[label, column.shots or ""]
        assert float(row["mean"]) == pytest.approx(found.score.mean)
        assert (row["p_adjusted"] == "") == (found.p_adjusted != found.p_adjusted)
        assert number(found.score.mean) in text and len(row["cells"].split()) == len(found.cells)
    cells = list(csv.DictReader(io.StringIO(paths["cells"].read_text())))
    assert [sum(row["status"] == status for row in cells) for status in ("finished", "failed", "missing")] == [70, 1, 1]
    assert sum(row["in_table"] == "1" for row in cells) == len(report.table.cells) == 70 - 6
    chosen = [row for row in csv.DictReader(io.StringIO(paths["choices"].read_text())) if row["chosen"] == "1"]
    assert [row["value"] for row in chosen] == [choice.chosen for choice in report.choices]


def test_each_figure_is_drawn_where_the_sweep_has_it(saved, tmp_path):
    folder, report, _ = saved
    names = [picture.name for picture in report.pictures]
    assert names == ["differences"] + [
        f"{what}-synthetic-derm" for what in ("shots", "c", "embed", "prompt-layers", "repeats")
    ]
    for picture in report.pictures:
        pixels = np.asarray(Image.open(folder / "report" / "figures" / f"{picture.name}.png").convert("L"))
        assert pixels.shape[1] >= 700 and len(np.unique(pixels)) > 20
        assert picture.caption.endswith(".")


def test_the_subtitle_says_what_the_numbers_are_of(saved, tmp_path):
    _, report, paths = saved
    assert head_of(report) == (
        "page",
        [
            "balanced accuracy",
            "1–3 samplings",  # of one method a cell failed and one is missing
            "500 test images",
            "recipe default: solved, 0 epochs",
            "embedded",
            "70 of 72 cells finished",
            "compared with linear",
        ],
    )
    assert " · ".join(head_of(report)[1]) in Page(paths["page"].read_text(encoding="utf-8")).text
    content = {**TABLE, "recipes": ["paper", {"name": "tune", "epochs": 3}], "methods": ["linear"], "shots": [1]}
    cells = write_sweep(tmp_path / "s", content)
    for place, cell in enumerate(cells):
        change(tmp_path / "s", cell, num_test=100 + place % 2 if cell.source == "chest" else 40)
    phrases = head_of(build_report(read_folder(tmp_path / "s"), figures=False))[1]
    assert phrases[2:5] == [
        "test images: 100–101 of chest, 40 of synthetic_derm",
        "recipe paper: 20 epochs of SGD",
        "recipe tune: 3 epochs of AdamW",
    ]


def test_metrics_and_reference_are_found_or_named(tmp_path):
    write_sweep(tmp_path / "s", {**TABLE, "samplings": 2})
    sweep = read_folder(tmp_path / "s")
    report = build_report(sweep, metric=["chest=auc", "accuracy"], figures=False)
    assert report.table.metric_of == {"synthetic_derm": "accuracy", "chest": "auc"}
    several = sweep.cells.filter(regex="^(?!test/)").assign(**{"test/map": 0.1, "test/exact_match": 0.0})
    assert set(build_report(replace(sweep, cells=several), figures=False).table.metric_of.values()) == {"map"}
    assert build_report(sweep, reference="LoRA", figures=False).table.reference == "LoRA"
    assert build_report(sweep, reference="lora", figures=False).table.reference == "LoRA"
    for arguments, message in (
        ({"metric": "acuracy"}, "metric 'acuracy' is not known: did you mean 'accuracy'?"),
        ({"metric": "ches=auc"}, "metric is given for 'ches', which the sweep has not: did you mean 'chest'?"),
        ({"reference": "LoR"}, "reference 'LoR' has no finished cell: did you mean 'LoRA'?"),
    ):
        with pytest.raises(ValueError, match=message.replace("?", r"\?")):
            build_report(sweep, figures=False, **arguments)
    without = build_report(replace(sweep, settings={"reference": "ln"}), figures=False)
    assert without.table.reference == "" and "nothing is compared by a test" in " ".join(without.reading)


def test_nothing_finished_is_one_sentence(tmp_path):
    write_sweep(tmp_path / "s", {**TABLE, "methods": ["linear"], "shots": [5], "samplings": 4}, lambda cell: None)
    with pytest.raises(ValueError, match="no finished cell of 8, 8 failed .*out of memory"):
        build_report(read_folder(tmp_path / "s"))
    with pytest.raises(FileNotFoundError, match="is not the folder of a sweep"):
        read_folder(tmp_path)
