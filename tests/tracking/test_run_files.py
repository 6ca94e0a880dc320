# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from monai_ept.tracking import open_run
from monai_ept.tracking.run_file import read_about
from monai_ept.tracking.run_files import download_run, folder_of_run

ABOUT = {"id": "a1", "run_name": "one", "experiment": "e", "tracking_uri": "u", "run_id": "7"}


@pytest.mark.parametrize("place", ["runs/one", "runs/ept_derm/one"])
def test_the_folder_of_a_run_that_is_finished(place):
    folder = Path(place)
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(ABOUT))
    assert folder_of_run("7") is None
    (folder / "delta.safetensors").touch()
    assert folder_of_run("7") == folder and folder_of_run("8") is None
    damaged = Path("runs/a")
    damaged.mkdir()
    (damaged / "run.json").write_text("{")
    assert folder_of_run("7") == folder
    shutil.rmtree("runs")
    assert folder_of_run("7") is None


def test_what_a_training_is_built_again_from_is_brought(database, tmp_path):
    kept = {"model": "delta.safetensors", "data": "split.json", "config": "training.json", "evaluation": "metrics.json"}
    with open_run("run", "one", "files") as run:
        for part, name in {**kept, "figures": "large.png"}.items():
            Path(name).write_text(part)
            run.log_artifact(name, part)
    run_id = read_about("run")["run_id"]
    folder = download_run(run_id, tmp_path / "there")
    found = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    own = {"evaluation": "evaluation/metrics.json"}  # which has a folder of its own
    assert found == {own.get(part, name): part for part, name in kept.items()}
    assert MlflowClient(database).get_run(run_id).info.status == "FINISHED"


def test_a_run_that_is_not_there_is_said(database, tmp_path):
    with pytest.raises(FileNotFoundError, match="0123 is neither a folder nor a run at sqlite"):
        download_run("0123", tmp_path / "there")
    with pytest.raises(FileNotFoundError, match="0123 is no folder, and there is no sqlite:.*none.db that could have"):
        download_run("0123", tmp_path / "there", tracking_uri=f"sqlite:///{tmp_path}/none.db")
    assert not (tmp_path / "there").exists() and not (tmp_path / "none.db").exists()
