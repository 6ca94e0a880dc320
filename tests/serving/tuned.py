# SPDX-License-Identifier: Apache-2.0

"""Tuned networks for a bank: none says what it said before training, and no two say the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from monai_ept import TunedViT
from monai_ept.serving import TaskBank

MIXING: dict[str, dict[str, Any]] = {
    "ept": {"prompt_length": 7},
    "ept-last-layer": {"method": {"name": "ept", "prompt_layers": [-1]}, "class_names": ["no", "yes"], "classes": 2},
    "ept-per-head": {"method": {"name": "ept", "per": "head"}, "readout": 2},
    "damp": {"method": "damp", "views": "upright"},
    "lora": {"method": "lora"},
    "lora-wide": {"method": {"name": "lora", "rank": 9, "alpha": 3, "targets": ["q", "k", "proj"]}},
    "both": {"method": ["ept", "lora"], "views": "turned"},
    "linear": {"method": "linear", "readout": 1},
    "linear-turned": {"method": "linear", "views": "turned"},
    "mlp": {"method": "mlp"},
    "lora-kept": {"method": "lora", "keep_solved": True, "views": "upright"},
    "ept-kept": {"method": "ept", "keep_solved": True, "readout": 2},
}
ALONE: dict[str, dict[str, Any]] = {
    "ln": {"method": "ln", "readout": 1, "views": "upright"},
    "vpt": {"method": {"name": "vpt", "num_tokens": 3}},
    "adapter": {"method": "adapter"},
    "both-and-bias": {"method": ["ept", "lora", "bias"]},
    "ept-add": {"method": {"name": "ept", "embed": "add"}},
    "full": {"method": "full"},
    "ln-kept": {"method": "ln", "keep_solved": True},
}


def tuned(vit: str | nn.Module, seed: int = 0, classes: int = 3, **settings: Any) -> TunedViT:
    """A network whose trained tensors and temperature are drawn at random."""
    torch.manual_seed(seed)
    net = TunedViT(vit, classes, **settings).eval()
    with torch.no_grad():
        for tensor in net.delta_tensors().values():
            tensor.add_(0.3 * torch.randn_like(tensor))
    net.temperature = 1 + seed / 10
    return net


def bank_of(
    vit: nn.Module, folder: Path, kinds: Mapping[str, dict[str, Any]], **settings: Any
) -> tuple[TaskBank, dict[str, TunedViT]]:
    """A bank, and the networks that its deltas were saved from."""
    bank, nets = TaskBank(vit, **settings), {}
    for seed, (name, kind) in enumerate(kinds.items()):
        nets[name] = tuned(vit, seed, **settings, **kind)
        nets[name].save_delta(folder / f"{name}.safetensors")
        bank.add(name, folder / f"{name}.safetensors")
    return bank, nets


@torch.no_grad()
def assert_as_alone(bank: TaskBank, nets: Mapping[str, TunedViT], images: Tensor, names: list[str]) -> None:
    answers = bank(images, tasks=names)
    assert len(answers) == len(names)
    for image, name, answer in zip(images, names, answers, strict=True):
        torch.testing.assert_close(answer, nets[name](image[None])[0], rtol=1e-5, atol=1e-5)


@contextmanager
def at_the_first_block(vit: nn.Module) -> Iterator[list[Any]]:
    """What is called when images come to the first block of a backbone, or of any copy that was made of it."""
    called: list[Any] = []

    def call_all(*_: Any) -> None:
        for one in list(called):
            one()

    handle = vit.blocks[0].register_forward_hook(call_all)  # type: ignore[index,union-attr]
    try:
        yield called
    finally:
        handle.remove()
