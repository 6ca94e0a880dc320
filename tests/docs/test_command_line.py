# SPDX-License-Identifier: Apache-2.0

"""docs/training.md: what stands there to be typed does what is said of it."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
from pathlib import Path

import pytest

from monai_ept.__main__ import main
from monai_ept.runs import FitResult
from tests.bundle.test_images_to_evaluate import CLASSES, paint
from tests.docs.pages import ROOT, blocks

HEADINGS = ("From the command line", "More epochs")


def typed() -> list[list[str]]:
    """The commands under these headings, in their order."""
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8").splitlines()
    ranges = []
    for heading in HEADINGS:
        first = text.index(f"## {heading}")
        ranges.append((first, next(at for at in range(first + 1, len(text)) if text[at].startswith("## "))))
    found = [code for _, code, line in blocks("docs/training.md") if any(first < line < last for first, last in ranges)]
    return [shlex.split(line) for code in found for line in code.splitlines()]


@pytest.mark.slow
def test_what_stands_there_runs(tmp_path, monkeypatch, capsys, empty_database):
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    paint(Path("my_images"), number=8)
    paint(Path("new_images"), classes=CLASSES[:2], number=2, seed=1)
    paint(Path("other_hospital"), classes=CLASSES[:2], number=3, seed=2)
    commands = typed()
    assert [words[1] for words in commands] == ["train", "predict", "evaluate", "train", "train", "train"]
    for program, *words in commands:
        assert program == "monai-ept" and main(words) == 0, words
    assert len(Path("runs/first.predictions-new_images/predictions.csv").read_text().splitlines()) == 5
    found = json.loads(Path("runs/first.evaluation-external-other_hospital/metrics.json").read_text())
    assert sum(found["support"].values()) == 6
    means = {row["metric"]: row for row in csv.DictReader(Path("runs/five/means.csv").read_text().splitlines())}
    assert means["auc"]["seeds"] == "5" and means["brier"]["low"] < means["brier"]["mean"] < means["brier"]["high"]
    assert [path.name for path in sorted(Path("runs/five").iterdir()) if path.is_dir()] == [
        f"seed{n}" for n in range(5)
    ]
    longer = FitResult.load("runs/longer")
    assert len(longer.history) == 3 and longer.record["params"]["schedule_ended_at"] == "2"
    assert "monai-ept train IMAGES" in Path("runs/first/report.html").read_text(encoding="utf-8")
    # And what else reads such a folder.
    assert main(["analyze", "--run", "runs/first", "--max-images", "6"]) == 0
    assert main(["register", "mine@first", "--run", "runs/first"]) == 0
    assert "models:/mine/1" in capsys.readouterr().out
