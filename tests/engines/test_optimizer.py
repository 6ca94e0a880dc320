# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from monai_ept import TunedViT
from monai_ept.engines import cosine_schedule, make_optimizer
from monai_ept.methods import Ept
from tests.backbones import timm_vit
from tests.engines.scenes import small_net


class TestOptimizer:
    def test_trains_what_the_network_trains(self):
        net = small_net()
        held = {id(p) for group in make_optimizer(net).param_groups for p in group["params"]}
        assert held == {id(p) for p in net.parameters() if p.requires_grad}

    def test_paper_settings_by_default(self):
        optimizer = make_optimizer(small_net())
        assert isinstance(optimizer, torch.optim.SGD)
        assert {(g["lr"], g["momentum"], g["weight_decay"]) for g in optimizer.param_groups} == {(6e-4, 0.9, 1e-4)}

    def test_adamw(self):
        optimizer = make_optimizer(small_net(), "adamw", 3e-3)
        assert isinstance(optimizer, torch.optim.AdamW)
        assert optimizer.param_groups[0]["weight_decay"] == 0.01

    def test_a_method_keeps_its_learning_rate(self):
        net = TunedViT(timm_vit(), 3, method=Ept(prompt_length=5, prompt_lr_scale=10.0))
        optimizer = make_optimizer(net, lr=1e-3)
        cosine_schedule(optimizer, 10)
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1e-2, 1e-3])

    def test_a_solved_head_is_refined_slowly(self):
        rates = [group["lr"] for group in make_optimizer(small_net(), "adamw", 1e-3, head_lr=1e-4).param_groups]
        assert rates[-1] == 1e-4 and set(rates[:-1]) <= {1e-3, 3e-2}

    @pytest.mark.parametrize("arguments", [{"name": "adam"}, {"lr": 0.0}, {"momentum": 1.0}, {"weight_decay": -1.0}])
    def test_wrong_arguments_are_named(self, arguments):
        with pytest.raises(ValueError, match="optimizer" if "name" in arguments else next(iter(arguments))):
            make_optimizer(small_net(), **arguments)


class TestSchedule:
    def rates(self, steps, **options):
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
        schedule = cosine_schedule(optimizer, steps, **options)
        seen = []
        for _ in range(steps):
            seen.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return seen, optimizer.param_groups[0]["lr"]

    def test_half_a_cosine(self):
        seen, end = self.rates(10)
        assert seen == pytest.approx([1 + math.cos(math.pi * step / 10) for step in range(10)])
        assert end == 0

    def test_warmup_and_rest(self):
        seen, end = self.rates(12, warmup_steps=3, last=0.1)
        assert seen[:4] == pytest.approx([0.5, 1.0, 1.5, 2.0])
        assert end == pytest.approx(0.2)

    def test_resumed_is_equal_to_the_bit(self):
        whole, _ = self.rates(20)
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
        first = cosine_schedule(optimizer, 20)
        for _ in range(7):
            optimizer.step()
            first.step()
        state, groups = first.state_dict(), optimizer.state_dict()
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
        second = cosine_schedule(optimizer, 20)
        optimizer.load_state_dict(groups)
        second.load_state_dict(state)
        for step in range(7, 20):
            assert optimizer.param_groups[0]["lr"] == whole[step]
            optimizer.step()
            second.step()

    def test_nothing_but_warmup(self):
        with pytest.raises(ValueError, match="warmup_steps is 5 of 5 steps"):
            self.rates(5, warmup_steps=5)
