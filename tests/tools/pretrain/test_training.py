# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from tests.tools.pretrain.scenes import SMALL
from tools.pretrain import Recipe
from tools.pretrain.pictures import CHOICES, VALUES
from tools.pretrain.training import losses, pretrain


def test_an_interrupted_training_ends_as_one_that_was_not(pool, tmp_path):
    pretrain(pool, SMALL, tmp_path / "whole", save_every=4)
    pretrain(pool, SMALL, tmp_path / "parts", save_every=4, stop_after=5)
    pretrain(pool, SMALL, tmp_path / "parts", save_every=4)
    whole, parts = (load_file(tmp_path / name / "step-00012.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], tensor) for name, tensor in parts.items())
    history = json.loads((tmp_path / "whole" / "history.json").read_text())
    assert [entry["step"] for entry in history] == [4, 8, 12]
    other = Recipe(**{**vars(SMALL), "lr": 1e-4})
    with pytest.raises(ValueError, match="belongs to a training with other settings"):
        pretrain(pool, other, tmp_path / "whole")


def test_it_learns(pool, tmp_path):
    recipe = Recipe(**{**vars(SMALL), "steps": 120, "drop": 0.25, "lr": 2e-3})
    pretrain(pool, recipe, tmp_path, save_every=60)
    first, last = json.loads((tmp_path / "history.json").read_text())
    assert last["described"] < first["described"] - 0.01 and last["choices"] < first["choices"] - 0.01


def test_what_is_not_told_counts_for_nothing():
    told = {"choices": torch.randn(6, sum(CHOICES.values())), "values": torch.zeros(6, len(VALUES))}
    told["described"] = torch.zeros(6, 3)
    batch = {"values": torch.zeros(6, len(VALUES)), "described": torch.ones(6, 3)}
    answers = torch.zeros(6, len(CHOICES), dtype=torch.long)
    first = losses(told, {**batch, "choices": answers})["choices"]
    answers[3:] = -100
    assert torch.equal(losses(told, {**batch, "choices": answers})["choices"], _of_first(told, batch, answers, 3))
    answers[:, 0] = -100
    without = losses(told, {**batch, "choices": answers})["choices"]
    assert without.isfinite() and without < first * 2 and not torch.equal(without, first)


def _of_first(told, batch, answers, number):
    told, batch = ({name: values[:number] for name, values in one.items()} for one in (told, batch))
    return losses(told, {**batch, "choices": answers[:number]})["choices"]
