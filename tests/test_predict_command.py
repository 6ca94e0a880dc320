# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import shutil
from pathlib import Path

from monai_ept.__main__ import main
from monai_ept.runs import make_network
from tests.bundle.test_images_to_evaluate import paint
from tests.drawing import nothing_is_drawn  # noqa: F401, a fixture
from tests.engines.scenes import CLASSES, small_fit


def test_a_training_is_found_by_its_run_in_mlflow(tmp_path, monkeypatch, capsys, empty_database) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    net = make_network(CLASSES, backbone="embedded", method="linear", img_size=32)
    run_id = small_fit(tmp_path / "out", net, track={"experiment": "derm"}, recipe={"num_resamples": 5}).run_id
    paint(tmp_path / "others", CLASSES)
    assert main(["predict", "out", "others"]) == 0
    for folder in ("out", *(str(path) for path in Path().glob("out.*"))):
        Path(folder).rename(f"was-{folder}")  # another machine has the store alone
    capsys.readouterr()
    for command in ("predict", "evaluate"):
        assert main([command, run_id, "others"]) == 2
        assert f"run {run_id} has no folder here" in capsys.readouterr().err
    assert main(["predict", "nowhere", "others", "--out", "p"]) == 2
    said = capsys.readouterr().err
    assert "nowhere is neither a folder nor a run at" in said and "name the folder of a finished training" in said
    assert "then sync again" not in said
    assert main(["predict", run_id, "others", "--out", "p"]) == 0
    (same,) = Path().glob("was-out.predictions-others/predictions.csv")
    assert Path("p", "predictions.csv").read_bytes() == same.read_bytes()
    assert main(["evaluate", run_id, "others", "--num-resamples", "0", "--out", "e"]) == 0
    assert Path("e", "metrics.json").is_file()
