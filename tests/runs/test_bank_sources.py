# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_ept import DeltaError, TunedViT
from monai_ept.runs import write_bank
from monai_ept.runs.fit_result import FitResult
from monai_ept.tracking import BankTask
from tests.backbones import images_for
from tests.runs.test_fit_result import OLD


def embedded(method, folder, size=32, names=("yes", "no")):
    torch.manual_seed(0)
    net = TunedViT("embedded_v1", 2, method=method, img_size=size, class_names=names)
    net.save_delta(folder / f"{method}.safetensors")
    return BankTask(folder / f"{method}.safetensors", origin="by hand"), net.eval()


def test_trainings_and_deltas_become_tasks_that_answer_as_alone(tmp_path):
    task, net = embedded("ln", tmp_path)
    training = FitResult.load(OLD / "bundle")
    bank = write_bank(tmp_path / "bank", {"derm": OLD / "bundle", "moles": training, "own": task})
    assert bank.tasks == ("derm", "moles", "own")
    images = images_for(net.vit, 1)
    with torch.no_grad():
        torch.testing.assert_close(bank(images, tasks="own")[0], net(images)[0], atol=1e-5, rtol=1e-5)
        expected = training.network()(images)[0]
    torch.testing.assert_close(bank(images, tasks="derm")[0], expected, atol=1e-5, rtol=1e-5)
    with pytest.raises(FileExistsError, match="is not empty: name a folder that is not there yet"):
        write_bank(tmp_path / "bank", {"own": task})


def test_what_is_no_task_is_said_and_nothing_is_made(tmp_path):
    task, _ = embedded("ln", tmp_path)
    other, _ = embedded("bias", tmp_path, size=64)
    for sources, error, says in (
        ({}, ValueError, "a bank needs a task at least"),
        ({"a/b": task}, ValueError, "a task's name"),
        ({"own": tmp_path / "ln.safetensors"}, ValueError, "is an adapter alone, which does not say what was done"),
        ({"own": tmp_path / "nowhere"}, FileNotFoundError, "nowhere"),
    ):
        with pytest.raises(error, match=says):
            write_bank(tmp_path / "bank", sources)
        assert not (tmp_path / "bank").exists()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DeltaError, match="img_size|size"):
        write_bank(tmp_path / "bank", {"own": task, "other": other})
    assert sorted(tmp_path.iterdir()) == before
    (tmp_path / "bank").mkdir()  # an empty folder will do
    assert write_bank(tmp_path / "bank", {"own": task}).tasks == ("own",)
