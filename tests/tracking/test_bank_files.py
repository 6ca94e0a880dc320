# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json

import pytest
import torch

from monai_ept import DeltaError
from monai_ept.tracking import BankTask
from monai_ept.tracking.bank_files import check_task_name, load_bank_files, save_bank_files, tasks_in
from tests.backbones import monai_vit, shaken
from tests.tracking.bank_scenes import bank_folder, bank_tasks, networks
from tests.tracking.scenes import MONAI_VIT, trained


def test_a_bank_is_built_again_from_its_files_which_hold_the_backbone_once(tmp_path):
    nets = bank_folder(tmp_path)
    folder = tmp_path / "bank"
    names = {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    assert {*names} == {"backbone.safetensors", "config.json", *(f"deltas/{name}.safetensors" for name in nets)}
    assert sum(names.values()) < 1.2 * names["backbone.safetensors"]
    for name in nets:
        assert (folder / "deltas" / f"{name}.safetensors").read_bytes() == (
            tmp_path / f"{name}.safetensors"
        ).read_bytes()
    bank, config = load_bank_files(folder)
    assert bank.tasks == tuple(nets) == tuple(config["tasks"])
    images = torch.randn(3, 3, 64, 64)
    for found, (name, image) in zip(bank(images, tasks=list(nets)), zip(nets, images, strict=True), strict=True):
        with torch.inference_mode():
            torch.testing.assert_close(found, nets[name](image[None])[0], atol=1e-5, rtol=0)
    # What a task is taken from again.
    chest = tasks_in(folder)["chest"]
    assert (chest.task, chest.transforms["intensity_range"], chest.transforms["mean"]) == (
        *("multilabel", [50, 150]),
        list(nets["chest"].vit.mean),
    )


def test_a_bank_of_volumes(tmp_path):
    nets = {name: trained(monai_vit(3), name, backbone_name="ours") for name in ("ept", "linear")}
    (tmp_path / "bank").mkdir()
    save_bank_files(tmp_path / "bank", nets["ept"], bank_tasks(nets, tmp_path), MONAI_VIT)
    bank, config = load_bank_files(tmp_path / "bank")
    volume = torch.randn(1, 1, 32, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(bank(volume, tasks=["ept"])[0], nets["ept"](volume)[0], atol=1e-5, rtol=0)
    assert config["tasks"]["linear"]["transforms"]["spatial_dims"] == 3


def test_tasks_of_another_backbone_or_size_and_damaged_ones_are_refused(tmp_path):
    nets = networks()
    tasks = bank_tasks(nets, tmp_path)
    shaken(nets["colon"].backbone)
    nets["colon"].save_delta(tmp_path / "other.safetensors")
    trained("test_vit", "ept", img_size=32).save_delta(tmp_path / "small.safetensors")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes((tmp_path / "derm.safetensors").read_bytes()[:-100])
    for number, (name, said) in enumerate(
        [
            ("other", "was trained on backbone"),
            ("small", "images of 32×32, and the bank's are of 64×64"),
            ("cut", "cut"),
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(DeltaError, match=said):
            save_bank_files(folder, nets["derm"], {**tasks, "new": BankTask(tmp_path / f"{name}.safetensors")})
        assert not (folder / "config.json").exists()


@pytest.mark.parametrize("name", ["", ".", "../derm", "a/b", "a\\b", "x" * 64, "end.", " derm", 7, None, "a\nb"])
def test_names_that_no_task_can_have(name):
    with pytest.raises(ValueError, match="a task's name has up to 63 letters"):
        check_task_name(name)
    assert check_task_name("Röntgen thorax-2.1") == "Röntgen thorax-2.1"
    with pytest.raises(ValueError, match="'derm' and 'Derm' differ in capitals only"):
        check_task_name("Derm", ["colon", "derm"])


def test_a_configuration_cannot_lead_out_of_its_folder(tmp_path):
    bank_folder(tmp_path)
    path = tmp_path / "bank" / "config.json"
    config = json.loads(path.read_text())
    config["tasks"]["../../derm"] = config["tasks"]["derm"]
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match="a task's name has"):
        load_bank_files(tmp_path / "bank")


def test_a_task_is_of_one_kind_or_the_other(tmp_path):
    with pytest.raises(ValueError, match="task 'multi-label' is not known"):
        BankTask(tmp_path / "derm.safetensors", "multi-label")
