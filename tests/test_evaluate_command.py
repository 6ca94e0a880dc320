# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from monai_ept.__main__ import main
from monai_ept.runs import FitResult
from tests.drawing import nothing_is_drawn  # noqa: F401, a fixture
from tests.noise_files import noise_files
from tests.runs.test_fit_result import OLD

FEW = ["--num-resamples", "10", "--no-track"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A finished training, which knows its images."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(OLD / "bundle", "run")
    return FitResult.load("run")


def metrics(folder):
    return json.loads(Path(folder, "metrics.json").read_text())


def test_the_trainings_own_test_beside_it(run, capsys):
    assert main(["evaluate", "run", *FEW, "--positive", "mel", "--operating-point", "0.3"]) == 0
    found = metrics("run.evaluation-test")
    assert found["metrics"]["accuracy"]["value"] == pytest.approx(run.metrics["accuracy"])
    assert (found["positive"]["class"], found["positive"]["threshold"]) == ("mel", 0.3)
    assert "balanced_accuracy" in capsys.readouterr().out
    assert main(["evaluate", "run", *FEW]) == 2
    assert "holds an evaluation already: --overwrite" in capsys.readouterr().err
    assert main(["evaluate", "run", *FEW, "--out", "here", "--against", "run"]) == 0
    assert metrics("here")["baseline"]["metrics"]["accuracy"]["difference"] == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "nowhere is no folder, and there is no"),
        (["run", "--part", "tests"], "part"),
        (["run", "--num-resamples", "many"], "num_resamples"),
        (["run", "--seed", "[0"], "--seed"),
        (["run", "--positive", "melanoma"], "melanoma"),
        (["run", "images"], "has a class 'a' that was not trained"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(arguments, says, run, capsys):
    noise_files(Path("images"), number=2)
    before = sorted(Path().iterdir())
    assert main(["evaluate", *arguments, "--no-track"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("monai-ept evaluate: ") and says in error and error.count("\n") == 1
    assert sorted(Path().iterdir()) == before
