# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import re

import pytest

from monai_ept.__main__ import main
from monai_ept.benchmark.report import build_report, read_folder
from tests.benchmark.report.report_folder import BASE, write_sweep

SWEEP = {**BASE, "samplings": 2}


def test_the_command_prints_and_writes_and_draws_nothing_that_is_not_there(tmp_path, capsys):
    write_sweep(tmp_path / "s", SWEEP)
    figures = tmp_path / "out" / "figures"
    figures.mkdir(parents=True)
    (figures / "shots-of-an-earlier-report.png").touch()
    first = build_report(read_folder(tmp_path / "s")).pictures
    command = ["benchmark", "report", str(tmp_path / "s"), "--metric", "auc"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "auc, embedded" in printed and "▲" not in printed and str(tmp_path / "out") in printed
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
def test_what_cannot_be_reported_is_one_sentence(arguments, message, tmp_path, capsys):
    write_sweep(tmp_path / "s", SWEEP)
    folder = str(tmp_path / "s")
    assert main(["benchmark", "report", *(folder if one == "FOLDER" else one for one in arguments)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_several_sweeps_in_one_report(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_sweep(tmp_path / "s", SWEEP)
    write_sweep(tmp_path / "t", {**SWEEP, "name": "t", "methods": ["full"]})
    assert main(["benchmark", "report", "s", "t"]) == 0
    assert "| full " in capsys.readouterr().out
    html = (tmp_path / "report-small+t" / "report.html").read_text()
    links = re.findall(r'class="id" href="(.*?)"', html)
    assert len(links) == 6 and all((tmp_path / "report-small+t" / link).is_dir() for link in links)


def test_recipes_are_rows_of_the_table_and_points_of_a_figure(tmp_path):
    content = {**SWEEP, "recipes": ["train", "solve"], "methods": ["linear", {"method": "lora", "label": "LoRA"}]}
    write_sweep(tmp_path / "s", {**content, "reference": "linear, train"})
    report = build_report(read_folder(tmp_path / "s"))
    assert report.table.reference == "linear, train"
    assert set(report.table.labels) == {"linear, train", "linear, solve", "LoRA, train", "LoRA, solve"}
    (picture,) = (one for one in report.pictures if "recipe" in one.title)
    assert picture.title == "Score against the recipe: synthetic_derm"
    assert b"LoRA" in picture.svg and b"LoRA, " not in picture.svg  # a curve is a method
