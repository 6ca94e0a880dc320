# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tools.pretrain.loop import half_cosine, plateau, run_steps, save_weights


def test_learning_rates_by_hand():
    # A tenth of 100 steps climbs; then half a cosine, which is half way down in the middle of the other 90.
    assert [half_cosine(step, 100) for step in (0, 9, 10, 55)] == pytest.approx([0.1, 1.0, 1.0, 0.5])
    assert half_cosine(99, 100) < 0.001 and half_cosine(499, 50_000) == 1.0  # no more than 500 steps climb
    # Level from the fourth step on; the last third of 30 falls.
    assert [plateau(step, 30, 4) for step in (0, 3, 20, 25, 29)] == pytest.approx([0.25, 1.0, 1.0, 0.5, 0.1])
    assert plateau(5, 30, 4) == plateau(5, 3000, 4)


@dataclass
class Recipe:
    seed: int = 0
    steps: int = 6
    lr: float = 0.1
    weight_decay: float = 0.0


class Teller(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Linear(2, 1)


def go(folder, recipe=None, **options):
    """Trains a line on two numbers; what a step draws at random decides what it learns."""
    teller, told = Teller(), []

    def update(batch, step):
        return {"loss": (teller.network(batch["x"]) - torch.rand(1)).square().mean()}

    def batches(first):
        return ({"x": torch.full((1, 2), float(step))} for step in range(first, 99))

    how = {"save_every": 2, "on_log": told.append, **options}
    run_steps(teller, recipe or Recipe(), update, batches, lambda: {"val": 1.0}, half_cosine, folder, **how)
    return teller, told


def test_an_interrupted_training_ends_as_one_that_was_not(tmp_path):
    whole, told = go(tmp_path / "whole")
    assert [entry["step"] for entry in told] == [2, 4, 6] and told[0].keys() == {"step", "loss", "val"}
    go(tmp_path / "cut", stop_after=3)
    cut, told = go(tmp_path / "cut")
    assert [entry["step"] for entry in told] == [4, 6]
    assert torch.equal(cut.network.weight, whole.network.weight)
    assert sorted(path.name for path in (tmp_path / "cut").glob("*.safetensors")) == [
        f"step-0000{step}.safetensors" for step in (2, 3, 4, 6)
    ]
    with pytest.raises(ValueError, match="belongs to a training with other settings: use another folder"):
        go(tmp_path / "cut", Recipe(lr=0.2))


def test_weights_are_kept_in_half_precision_with_what_is_to_be_known(tmp_path):
    net = Teller().network
    first = save_weights(net, tmp_path / "a.safetensors", {"steps": 3}).read_bytes()
    assert save_weights(net, tmp_path / "b.safetensors", {"steps": 3}).read_bytes() == first
    found = load_file(tmp_path / "a.safetensors")
    assert found["weight"].dtype == torch.float16 and torch.equal(found["bias"], net.bias.half())
