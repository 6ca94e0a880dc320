# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_ept import TunedViT
from monai_ept.deploy.exported_bank import member_of, write_bank_model
from monai_ept.serving import TaskBank
from tests.backbones import monai_vit, timm_vit
from tests.tracking.scenes import trained

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def bank_of(nets: dict[str, TunedViT], folder, backbone) -> TaskBank:
    bank = TaskBank(backbone, img_size=nets[next(iter(nets))].vit.img_size)
    for name, net in nets.items():
        net.save_delta(folder / f"{name}.safetensors")
        bank.add(name, folder / f"{name}.safetensors")
    return bank


def test_the_file_says_what_each_network_says_alone_and_holds_the_backbone_once(tmp_path):
    def net(method: object, names: str, **settings: object) -> TunedViT:
        return trained(timm_vit(), method, names=[*names], **settings)

    nets = {
        "derm": net("ept", "abc", prompt_length=4, views="upright"),
        "chest": net("lora", "abcd", rank=2),
        "heads": net("ept", "abcde", per="head", prompt_length=3, readout=2),
        "colon": net("linear", "ab", views="turned"),
        "bowel": net("mlp", "abc", readout=1),
        "kept": net("lora", "abcd", rank=2, readout=2, views="upright", keep_solved=True),
        "norms": net("ln", "ab"),  # does not mix
    }
    nets["colon"].temperature = 1.7
    nets["kept"].solved.solve(torch.randn(4, 2 * 2 * 48), torch.randn(4))
    bank = bank_of(nets, tmp_path, timm_vit())
    numbers = write_bank_model(bank, tmp_path / "model.ts")
    assert list(numbers) == ["derm", "chest", "heads", "colon", "bowel", "kept"]
    weights = sum(param.numel() for param in bank.vit.module.parameters()) * 4
    assert weights < (tmp_path / "model.ts").stat().st_size < 2 * weights + 500_000
    model = torch.jit.load(str(tmp_path / "model.ts"))
    for number in (1, 3):
        images = torch.randn(number, 3, 64, 64)
        with torch.inference_mode():
            for chosen in (
                ["chest", "derm", "colon"],
                ["bowel"],
                ["kept", "chest"],
                ["colon", "heads", "bowel", "colon"],
            ):
                logits = model(images, torch.tensor([numbers[name] for name in chosen]))
                assert logits.shape == (number, len(chosen), 5)
                for index, name in enumerate(chosen):
                    expected = nets[name](images)
                    found = logits[:, index, : expected.shape[1]]
                    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)
            for name, one in nets.items():
                found = getattr(model.tasks, member_of(bank, name))(images)
                torch.testing.assert_close(found, one(images), atol=2e-5, rtol=0)


def test_tasks_of_volumes(tmp_path):
    nets = {name: trained(monai_vit(3), name, names=["a", "b"], backbone_name="ours") for name in ("ept", "linear")}
    bank = bank_of(nets, tmp_path, monai_vit(3))
    numbers = write_bank_model(bank, tmp_path / "model.ts")
    volume = torch.randn(1, 1, 32, 32, 32)
    with torch.inference_mode():
        logits = torch.jit.load(str(tmp_path / "model.ts"))(volume, torch.tensor([*numbers.values()]))
        for index, net in enumerate(nets.values()):
            torch.testing.assert_close(logits[:, index], net(volume), atol=2e-5, rtol=0)


def test_where_nothing_mixes_nothing_is_written(tmp_path):
    bank = bank_of({name: trained(timm_vit(), name) for name in ("ln", "bias")}, tmp_path, timm_vit())
    with pytest.raises(ValueError, match=r"no task of this bank can share a pass .* \(ln, bias\): ship each by itself"):
        write_bank_model(bank, tmp_path / "model.ts")
    assert not (tmp_path / "model.ts").exists()
