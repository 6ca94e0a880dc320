# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from monai_ept import Ept, TunedViT
from monai_ept.engines import (
    amp_settings,
    class_weights,
    cosine_schedule,
    make_loss,
    make_optimizer,
    optimizer_settings,
    task_of,
)
from monai_ept.networks.precision import at_precision
from tests.backbones import timm_vit
from tests.engines.scenes import small_net


def records(labels):
    return [{"image": None, "label": label, "group": str(i), "id": str(i)} for i, label in enumerate(labels)]


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

    @pytest.mark.parametrize("arguments", [{"name": "adam"}, {"lr": 0.0}, {"momentum": 1.0}, {"weight_decay": -1.0}])
    def test_wrong_arguments_are_named(self, arguments):
        with pytest.raises(ValueError, match="optimizer" if "name" in arguments else next(iter(arguments))):
            make_optimizer(small_net(), **arguments)


class TestRecipes:
    @pytest.mark.parametrize(
        ("method", "lr"),
        [("ept", 3e-3), ("mlp", 1e-3), ("partial", 1e-3), ("vpt", 1e-3), ("full", 1e-4), (["ln", "full"], 1e-4)],
    )
    def test_the_learning_rate_suits_the_most_delicate_method(self, method, lr):
        net = TunedViT(timm_vit(), 3, method=method)
        assert optimizer_settings(net) == ("adamw", lr)
        assert optimizer_settings(net, "paper") == ("sgd", 6e-4)

    def test_what_is_asked_for_goes_before_the_recipe(self):
        net = small_net()
        assert optimizer_settings(net, optimizer="sgd") == ("sgd", 6e-4)
        assert optimizer_settings(net, "paper", lr=0.1) == ("sgd", 0.1)
        for wrong in ({"recipe": "papers"}, {"optimizer": "adam"}, {"lr": "3e-3"}):
            with pytest.raises(ValueError, match=next(iter(wrong))):
                optimizer_settings(net, **wrong)


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


class TestClassWeights:
    def test_multiclass_counts_every_class_alike(self):
        labels = [0] * 6 + [1] * 2
        weights = class_weights(records(labels), 2)
        assert weights.tolist() == pytest.approx([8 / 12, 8 / 4])
        assert sum(weights[label] for label in labels) / len(labels) == pytest.approx(1)

    def test_multilabel_positives_weigh_as_much_as_negatives(self):
        rows = [[1, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, 1]]
        assert class_weights(records(rows), 3).tolist() == [3, 1, 1]  # none of the second, only of the third

    def test_a_class_without_images(self):
        assert class_weights(records([0, 0, 2]), 3).tolist() == pytest.approx([0.75, 1, 1.5])

    def test_largest(self):
        assert class_weights(records([[1]] + [[0]] * 500), 1).tolist() == [100]

    def test_task_by_label(self):
        assert task_of(records([1])) == task_of(records([np.int64(1)])) == "multiclass"
        assert task_of(records([[0, 1]])) == task_of(records([np.array([0, 1])])) == "multilabel"
        with pytest.raises(ValueError, match="no record to train on"):
            task_of([])


class TestLoss:
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))

    @pytest.mark.parametrize("task", ["multiclass", "multilabel"])
    def test_halves_agree_with_the_whole(self, task):
        # What several processes with small batches compute, as one process with the batches together.
        labels = torch.tensor([0, 1, 2, 0, 0, 0]) if task == "multiclass" else (self.logits > 0.3).float()
        loss = make_loss(task, [1.0, 4.0, 0.5])
        whole = loss(self.logits, labels).mean()
        halves = [loss(self.logits[part], labels[part]).mean() for part in (slice(3), slice(3, 6))]
        assert torch.allclose(whole, sum(halves) / 2)

    def test_weights_work_in_a_batch_of_one_class(self):
        labels = torch.ones(6, dtype=torch.long)
        plain, heavy = (make_loss("multiclass", w)(self.logits, labels).mean() for w in (None, [1.0, 4.0, 1.0]))
        assert torch.allclose(heavy, 4 * plain)

    def test_is_torchs_own_without_weights(self):
        labels = torch.tensor([0, 1, 2, 0, 1, 2])
        assert torch.allclose(make_loss()(self.logits, labels).mean(), nn.functional.cross_entropy(self.logits, labels))

    def test_unknown_task(self):
        with pytest.raises(ValueError, match="task 'regression' is not known"):
            make_loss("regression")


class TestPrecision:
    def test_off_on_a_cpu(self):
        assert amp_settings("cpu") == amp_settings("cpu", "off") == {"amp": False, "amp_kwargs": {}}

    def test_half_precision_by_name_needs_a_card(self):
        with pytest.raises(ValueError, match="is for CUDA cards and the device is 'cpu'"):
            amp_settings("cpu", "bfloat16")

    def test_a_cpu_computes_in_bfloat16_when_told_to(self):
        seen = []

        class Probe(nn.Linear):
            def forward(self, x):
                out = super().forward(x)
                seen.append(out.dtype)
                return out

        layer = Probe(8, 3)
        network, settings = at_precision(layer, "cpu", "bfloat16")
        assert settings == {"amp": False, "amp_kwargs": {}}  # MONAI's engines would open autocast for CUDA
        out = network(torch.randn(2, 8))
        out.sum().backward()
        assert seen == [torch.bfloat16]
        assert out.dtype == layer.weight.grad.dtype == torch.float32
        assert at_precision(layer, "cpu", "auto") == (layer, settings)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
    def test_takes_what_the_card_has(self):
        best = torch.bfloat16 if torch.cuda.get_device_capability()[0] >= 8 else torch.float16
        assert amp_settings("cuda") == {"amp": True, "amp_kwargs": {"dtype": best}}
