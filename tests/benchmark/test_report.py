# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from monai_ept.__main__ import main
from monai_ept.benchmark.report import build_report, read_folder, read_tracked, save_report
from monai_ept.benchmark.report.figures.factors import _apart, _depths
from monai_ept.benchmark.report.figures.style import place_labels
from monai_ept.metrics import Interval
from monai_ept.reporting.numbers import difference, number, p_value, score, seconds, signed
from monai_ept.reporting.statistics import Estimate, estimate
from tests.benchmark.report_folder import TABLE, made_up, write_sweep

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


REAL = {
    "name": "real",
    "sources": [{"name": "synthetic_derm", "num_per_class": 4, "num_test_per_class": 1, "img_size": 32}],
    "backbones": [{"name": "embedded", "img_size": 32}],
    "shots": [1],
    "samplings": 1,
    "val": "shots",
    "recipe": {"epochs": 1},
    "methods": [
        "linear",
        {"method": "lora", "label": "LoRA", "grid": {"lr": [0.0006, 0.01]}},
        {"method": "damp", "c": [4.6]},
        {"method": "ept", "label": "EPT"},
        {"method": "lora", "label": "too fast", "recipe": {"lr": 1e30, "epochs": 3}},
    ],
}
"""Cells of a second each."""


class Page(HTMLParser):
    """What a page holds: tags with attributes, ids and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


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
        assert text in page.text


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
        assert score(found.score.interval) in text and len(row["cells"].split()) == len(found.cells)
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


def test_the_command_prints_and_writes_and_draws_nothing_that_is_not_there(tmp_path, capsys):
    write_sweep(tmp_path / "s", {**SMALL, "shots": [5], "samplings": 2, "methods": ["linear", "bias"]})
    figures = tmp_path / "out" / "figures"
    figures.mkdir(parents=True)
    (figures / "shots-of-an-earlier-report.png").touch()
    first = build_report(read_folder(tmp_path / "s")).pictures
    command = ["benchmark", "report", str(tmp_path / "s"), "--metric", "auc"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "auc, embedded" in printed and "▲ ahead of linear" in printed and str(tmp_path / "out") in printed
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "report.html", "report.md", "results.csv", "cells.csv", "figures",
    }  # fmt: skip
    assert {path.name for path in figures.iterdir()} == {"differences.svg", "differences.png"}
    html = (tmp_path / "out" / "report.html").read_text()
    links = re.findall(r'class="id" href="(.*?)"', html)
    assert len(links) == 4 and all((tmp_path / "out" / link).is_dir() for link in links)
    # The same numbers give the same bytes.
    again = build_report(read_folder(tmp_path / "s")).pictures
    assert [(one.svg, one.png) for one in first] == [(one.svg, one.png) for one in again]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name either the sweep's folder, or --sweep"),
        (["nowhere"], "nowhere is not the folder of a sweep"),
        (
            ["--sweep", "x", "--tracking-uri", "sqlite:////nowhere/mlflow.db"],
            "there is no sqlite:////nowhere/mlflow.db",
        ),
        (["FOLDER", "--reference", "vpt"], "reference 'vpt' has no finished cell"),
        (["FOLDER", "--metric", "speed"], "metric 'speed' is not known"),
    ],
)
def test_what_cannot_be_reported_is_one_sentence(arguments, message, saved, capsys):
    assert main(["benchmark", "report", *(str(saved[0]) if one == "FOLDER" else one for one in arguments)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_real_cells_are_reported_from_their_folder_and_the_same_from_mlflow(tmp_path, monkeypatch):
    """Trained, written and recorded by what the runner does all that with, only without its processes."""
    from monai_ept.benchmark.plan.expand import sweep_cells
    from monai_ept.benchmark.plan.sweep_file import sweep_from
    from monai_ept.benchmark.run.mlflow_record import Recorder
    from monai_ept.benchmark.run.sweep_folder import SweepFolder
    from monai_ept.benchmark.run.worker import work_on
    from monai_ept.benchmark.run.worker_cache import Workbench

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    sweep = sweep_from(REAL)
    folder, bench = SweepFolder(tmp_path / "s"), Workbench(tmp_path / "images", "cpu")
    folder.begin(sweep)
    recorder = Recorder(folder, sweep.name)
    for cell in sweep_cells(sweep):
        folder.describe(cell)
        outcome = work_on(cell, bench)
        folder.write(cell, outcome.result, outcome.predictions)
        recorder.put(cell)
    recorder.close()

    here, there = read_folder(tmp_path / "s"), read_tracked("real")
    assert (len(here.finished), len(here.failed), here.same_test) == (5, 1, {"synthetic_derm": True})
    assert {cell.id for cell in here.cells} == {cell.id for cell in there.cells}
    assert "loss is" in here.failed[0].result["error"]
    assert there.failed[0].result["error"] == here.failed[0].result["error"]
    first, second = (build_report(one, figures=False) for one in (here, there))
    assert (
        set(first.table.labels) == {"linear", "LoRA", "damp c=4.6", "EPT"} and second.table.labels == first.table.labels
    )
    assert {found.chosen for found in first.choices} <= {"lr=0.0006", "lr=0.01"}
    assert [(one.chosen, one.scores) for one in second.choices] == [(one.chosen, one.scores) for one in first.choices]
    for key, found in first.table.scores.items():
        assert second.table.scores[key].score.interval == pytest.approx(found.score.interval, nan_ok=True)
        assert second.table.scores[key].difference.p == pytest.approx(found.difference.p, nan_ok=True)
    for one, other in zip(first.costs, second.costs, strict=True):
        assert (one.delta, one.head) == (other.delta, other.head) and one.train == pytest.approx(other.train)
        assert one.head == (7 * (bench.backbone(cell, 3).num_features + 1),) * 2 and one.memory >= 0
    assert {cell.id: cell.factors for cell in there.cells} == {cell.id: cell.factors for cell in here.cells}
    text = save_report(first, tmp_path / "out", cells=tmp_path / "s")["page"].read_text()
    assert here.finished[0].result["fingerprint"] in text and here.finished[0].result["split_hash"] in text
    with pytest.raises(ValueError, match="there is no run with the tag sweep=pge"):
        read_tracked("pge")


def test_numbers_are_written_as_they_are_read():
    assert [number(value) for value in (0.3841, -0.021, 1.0, 12.5, -0.0001, float("nan"))] == [
        ".384", "−.021", "1.000", "12.500", ".000", "–",
    ]  # fmt: skip
    assert [signed(value) for value in (0.0214, -0.0214, 0.0)] == ["+.021", "−.021", "+.000"]
    assert score(estimate([0.4]).interval) == ".400" and score(Interval(0.4, 0.3, 0.5)) == ".400 ± .100"
    assert difference(Estimate(Interval(-0.1, -0.12, -0.08), 0.01)) == "−.100 ± .020" and difference(estimate([])) == ""
    # A p value is never rounded across the level that decides.
    assert [p_value(p) for p in (0.0004, 0.004, 0.0496, 0.0504, 0.03, 0.5, 0.999)] == [
        "< .001", ".004", ".0496", ".05", ".03", ".50", "1",
    ]  # fmt: skip
    assert [seconds(s) for s in (2.345, 44.0, 150, 9000)] == ["2.3 s", "44 s", "2.5 min", "2.5 h"]


def test_layers_are_counted_from_the_end_that_they_begin_at():
    everything = list(range(12))
    found = _depths({"top": [-2, -1], "bottom": [0, 1, 2], "one": "shallow", "whole": everything, "deep": "deep"})
    assert found == {
        "top": {"top": 2},
        "bottom": {"bottom": 3},
        "one": {"bottom": 1},
        "whole": {"bottom": 12, "top": 12},
        "deep": {"bottom": 12, "top": 12},
    }
    assert _depths({"top": [10, 11], "bottom": [0]}) == {"top": {"top": 2}, "bottom": {"bottom": 1}}
    assert _depths({"even": [0, 2, 4], "whole": everything}) == {}  # names on an axis, not a curve


def test_ticks_of_a_logarithmic_axis_do_not_run_into_each_other():
    ticks = {float(n): str(n) for n in (5, 10, 20, 50, 100, 200, 400, 600)}
    assert _apart(ticks) == ["5", "10", "20", "50", "100", "200", "", "600"]


def test_labels_that_would_collide_stand_apart():
    placed = place_labels([0.5, 0.1, 0.52, 0.51, 0.9], 0.1)
    order = np.argsort(placed)
    assert list(order) == [1, 0, 3, 2, 4] and np.diff(np.asarray(placed)[order]).min() >= 0.1 - 1e-9
    assert placed[1] == 0.1 and placed[4] == 0.9 and placed[3] == pytest.approx(0.51)
    assert place_labels([0.99, 1.0], 0.1, low=0.0, high=1.0) == pytest.approx([0.9, 1.0])
