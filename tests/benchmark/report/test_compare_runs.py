# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import csv
import io
import math
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from monai_ept.__main__ import main
from monai_ept.benchmark.report import compare
from monai_ept.tracking import open_run

SETTINGS = {"backbone": "vit_tiny", "lr": 0.001, "version.torch": "2.15"}
ACCURACY = {  # by method and shots, for seeds 0 to 4
    ("linear", 5): [0.50, 0.54, 0.52, 0.51, 0.53],
    ("linear", 10): [0.60, 0.64, 0.62, 0.61, 0.63],
    ("ept", 5): [0.58, 0.63, 0.59, 0.59, 0.62],
    ("ept", 10): [0.66, 0.70, 0.71, 0.68, 0.70],
    ("lora", 5): [0.60, 0.61, 0.62, 0.61, 0.61],
}
SINGLE = {  # one run each, with the interval over its test images; on Colon there is no linear
    ("isic2018", "linear"): (0.50, 0.45, 0.55),
    ("isic2018", "ept"): (0.52, 0.47, 0.57),
    ("isic2018", "lora"): (0.70, 0.58, 0.74),
    ("colon", "ept"): (0.60, 0.55, 0.66),
    ("colon", "lora"): (0.64, 0.59, 0.69),
}


@pytest.fixture(scope="module", autouse=True)
def database(empty_database, tmp_path_factory):
    """A sweep in a local database, written as trainings do it."""
    folder = tmp_path_factory.mktemp("sweep")
    uri = f"sqlite:///{shutil.copy(empty_database, folder)}"
    runs = []

    def train(method, shots, seed, value, status="FINISHED", experiment="sweep", ends=None, **more):
        params = {**SETTINGS, "source": "isic2018", "method": method, "shots": shots, "seed": seed}
        params.update({"split_hash": f"s{seed}", "device": f"gpu{seed}", "train_images": 7 * shots, **more})
        run = open_run(
            folder / f"{experiment}-{method}-{shots}-{seed}-{len(more)}-{more.get('recipe')}",
            f"{method}-{shots}",
            experiment,
            tracking_uri=uri,
            params=params,
            tags={"sweep": "long" if more else "short"},
        )
        run.log_metrics({"test/accuracy": value, "test/ece": 1 - value, "val/accuracy": 0.1})
        if ends:
            run.log_metrics({"test/accuracy_low": ends[0], "test/accuracy_high": ends[1]})
            # The bootstrap makes calibration look worse than it is: the value lies outside.
            run.log_metrics({"test/ece_low": 1.01 - value, "test/ece_high": 1.09 - value})
        runs.append((run, status))

    train("ept", 5, 0, 0.01)  # done again below
    train("lora", 5, 7, 0.99, "FAILED")
    train("lora", 5, 8, math.nan)
    for (method, shots), values in ACCURACY.items():
        for seed, value in enumerate(values):
            train(method, shots, seed, value)
    for seed in range(2):
        train("vpt", 5, seed, 0.55 + seed / 100, **{"method.prompt_length": 10})
        train("vpt", 5, seed, 0.57 + seed / 100, **{"method.prompt_length": 50, "x_hash": "1"})
    for recipe, epochs in (("default", 20), ("solve", 0)):
        for seed in range(2):
            train("linear", 5, seed, 0.5 + seed / 100, experiment="recipes", recipe=recipe, epochs=epochs)
    for (source, method), (value, *ends) in SINGLE.items():
        train(method, 5, 0, value, experiment="single", ends=ends, **({"source": source} if source == "colon" else {}))
    for run, status in runs:  # they upload beside each other
        assert run.close(status)
    return uri


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Every test in a folder of its own, without a store in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def rows(comparison):
    return {(row.method, row.shots): row for row in comparison.frame.itertuples()}


def test_means_and_intervals_are_students_over_repetitions(database):
    table = compare("sweep", metric="accuracy", tracking_uri=database)
    assert table.metric == "test/accuracy"
    found = rows(table)
    for (method, shots), values in ACCURACY.items():
        row = found[method, str(shots)]
        low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
        assert (row.runs, row.interval, row.mean) == (5, "repetitions", pytest.approx(np.mean(values)))
        assert (row.low, row.high) == (pytest.approx(low), pytest.approx(high))
    # lora − ept at 5 shots is .008 ± .027: neither is bold. ept − linear at 10 shots is .070 ± .015.
    assert [key for key, row in found.items() if row.best] == [("ept", "10")]
    assert table.notes == [
        "1 of 31 runs have no test/accuracy and are left out.",
        "1 runs repeat a seed and split; the later one of each counts.",
    ]


def test_the_difference_is_paired_by_seed_and_split(database):
    row = rows(compare("sweep", tracking_uri=database))["ept", "5"]
    pairs = np.subtract(ACCURACY["ept", 5], ACCURACY["linear", 5])
    low, high = stats.t.interval(0.95, 4, pairs.mean(), stats.sem(pairs))
    assert (row.paired, row.difference) == (5, pytest.approx(pairs.mean()))
    assert (row.difference_low, row.difference_high) == (pytest.approx(low), pytest.approx(high))
    against_ept = rows(compare("sweep", baseline="ept", tracking_uri=database))
    assert against_ept["linear", "5"].difference == pytest.approx(-pairs.mean())
    assert math.isnan(against_ept["ept", "5"].difference)


def test_settings_that_differ_are_never_averaged(database):
    table = compare("sweep", tags={"sweep": "long"}, tracking_uri=database)
    assert {method: row.runs for (method, _), row in rows(table).items()} == {
        "vpt (prompt_length=10)": 2,
        "vpt (prompt_length=50)": 2,
    }


def test_another_recipe_than_the_default_is_part_of_the_name(database):
    found = rows(compare("recipes", tracking_uri=database))
    assert {method: row.runs for (method, _), row in found.items()} == {"linear": 2, "linear, solve": 2}
    assert found["linear, solve", "5"].difference == 0  # to the default, on the same images


def test_single_runs_have_their_own_intervals_and_nothing_is_bold_that_those_do_not_tell_apart(database):
    table = compare("single", tracking_uri=database)
    found = {(row.source, row.method): row for row in table.frame.itertuples()}
    assert {key: (row.mean, row.low, row.high) for key, row in found.items()} == SINGLE
    assert {row.interval for row in found.values()} == {"test images"}
    assert [key for key, row in found.items() if row.best] == [("isic2018", "lora")]  # .58 to .74 beside .47 to .57
    colon, isic = table.to_markdown().split("### ")[1:]
    assert "| lora   | **0.700 (0.580 to 0.740)** | +0.200    |" in isic and "over their test images" in isic
    assert "| lora   | 0.640 (0.590 to 0.690) |" in colon and "vs linear" not in colon and "bold" not in colon


def test_single_runs_of_which_less_is_better(database, tmp_path):
    table = compare("single", metric="ece", tracking_uri=database)
    found = {(row.source, row.method): row for row in table.frame.itertuples()}
    # .31 to .39 is below .49 to .57 and .51 to .59; on Colon .37 to .45 meets .41 to .49.
    assert [key for key, row in found.items() if row.best] == [("isic2018", "lora")]
    assert found["isic2018", "lora"].low == pytest.approx(0.31) and table.save(tmp_path / "out")


def test_less_is_better_where_it_is(database):
    table = compare("sweep", metric="ece", tracking_uri=database)
    assert [key for key, row in rows(table).items() if row.best] == [("ept", "10")]
    assert table.table.labels[:2] == ["linear", "lora"] and table.table.labels[-1].startswith("vpt")


def test_the_command_prints_and_writes_csv_markdown_and_a_picture(database, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    assert main(["compare", "--experiment", "sweep", "--out", "out"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"\| lora +\| 0.610 ± 0.009 +\| \+0.090 ± 0.018 \|", printed)
    assert re.search(r"\| ept +\| 0.602 ± 0.027 +\| \+0.082 ± 0.010 +\| \*\*0.690 ± 0.025\*\* \|", printed)
    assert "isic2018, vit_tiny" in printed and "over 5 repetitions" in printed
    # Two runs give their values, and no interval.
    assert re.search(r"\| vpt \(prompt_length=10\) +\| 0.555 of 0.550, 0.560 +\| \+0.035 +\|", printed)
    assert (tmp_path / "out" / "comparison.md").read_text() in printed
    lines = list(csv.DictReader(io.StringIO((tmp_path / "out" / "comparison.csv").read_text())))
    assert len(lines) == 7 and {line["metric"] for line in lines} == {"test/accuracy"}
    by_key = {(line["method"], line["shots"]): line for line in lines}
    assert by_key["linear", "5"]["difference"] == "" and float(by_key["ept", "10"]["mean"]) == pytest.approx(0.69)
    picture = np.asarray(Image.open(tmp_path / "out" / "comparison.png").convert("RGB"))
    assert picture.shape[0] > 500 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 50


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--experiment", "swep"], "there is no experiment 'swep'"),
        (["--metric", "acuracy"], "no run has metric 'acuracy'; there is test/accuracy, test/ece."),
        (["--tag", "sweep=other"], "there is no finished run with sweep=other"),
        (["--tag", "sweep"], "--tag 'sweep' has no value"),
        (["--tracking-uri", "http://127.0.0.1:9"], "MLflow at http://127.0.0.1:9 does not answer"),
        (["--tracking-uri", "sqlite:////nowhere/mlflow.db"], "there is no sqlite:////nowhere/mlflow.db"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(arguments, message, database, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    assert main(["compare", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_the_old_address_still_answers_and_says_where_it_is_now():
    import monai_ept.tracking

    with pytest.warns(DeprecationWarning, match="monai_ept.tracking.compare has moved"):
        assert monai_ept.tracking.compare is compare
    with pytest.raises(AttributeError, match="no attribute 'compere'"):
        monai_ept.tracking.compere  # noqa: B018
