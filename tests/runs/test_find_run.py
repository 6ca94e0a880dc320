# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import shutil

import pytest

from monai_ept.runs.find_run import finished_run, training_for_results
from tests.runs.test_fit_result import OLD


def test_a_folder_is_one_and_an_id_leads_to_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert finished_run(OLD / "fit", tmp_path)[0].folder == OLD / "fit"
    shutil.copytree(OLD / "bundle", tmp_path / "runs" / "ept_derm" / "one")
    run_id = "0123abcd"
    about = {"id": "a1", "run_name": "one", "experiment": "e", "tracking_uri": "u", "run_id": run_id}
    (tmp_path / "runs" / "ept_derm" / "one" / "run.json").write_text(json.dumps(about))
    found, downloaded = finished_run(run_id, tmp_path / "place")
    assert found.folder.resolve() == tmp_path / "runs" / "ept_derm" / "one" and downloaded is None
    assert not (tmp_path / "place").exists()


def test_what_is_neither_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(FileNotFoundError, match="nowhere is no folder, and there is no"):
        finished_run("nowhere", tmp_path)
    with pytest.raises(FileNotFoundError), training_for_results("nowhere", None):
        pass
    assert not list(tmp_path.iterdir())


def test_results_need_a_place(monkeypatch, tmp_path):
    from monai_ept.runs import find_run

    with training_for_results(OLD / "fit", None) as training:
        assert training.folder == OLD / "fit"
    monkeypatch.setattr(find_run, "finished_run", lambda run, place, **_: (training, run))  # as one from MLflow
    with training_for_results("0123", "here") as found:
        assert found is training
    with (
        pytest.raises(ValueError, match="run 0123 has no folder here that its results could lie beside"),
        training_for_results("0123", None),
    ):
        pass
