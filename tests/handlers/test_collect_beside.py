# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from monai_ept import TunedViT
from monai_ept.evaluation.evaluator import build_evaluator, evaluate, predict
from monai_ept.handlers.collect_beside import CollectBeside
from tests.backbones import timm_vit


class Counting(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner, self.calls = inner, 0

    def forward(self, x):
        self.calls += 1
        return self.inner(x)


class Mean(nn.Module):
    """Answers with the mean of its own logits and those of a part."""

    def __init__(self, part):
        super().__init__()
        self.part, self.own = part, linear(2)

    def forward(self, x):
        return (self.own(x) + self.part(x)) / 2


def linear(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 3))


def batches(images=10, size=4):
    drawn = torch.randn(images, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    names = [f"image {index}" for index in range(images)]
    for start in range(0, images, size):
        rows = slice(start, start + size)
        yield {"image": drawn[rows], "id": names[rows], "label": torch.arange(images)[rows] % 3}


@pytest.mark.parametrize("inside", [False, True])
def test_another_network_is_asked_once_in_the_same_pass(inside):
    plain = Counting(linear(0))
    network = Mean(plain) if inside else linear(1)
    expected = predict(plain, list(batches()))
    alone = predict(network, list(batches()))
    plain.calls = 0
    found = evaluate(network, list(batches()), num_resamples=0, beside=("the other", plain))
    assert plain.calls == 3 and not plain._forward_hooks
    np.testing.assert_array_equal(found.table.probabilities, alone.probabilities)
    beside = found.metrics["baseline"]
    assert beside["name"] == "the other"
    right = (expected.probabilities.argmax(1) == expected.labels).mean()
    assert beside["metrics"]["accuracy"]["baseline"] == pytest.approx(right)


def test_a_head_that_a_network_keeps_is_asked_by_it_alone():
    net = TunedViT(timm_vit(), 3, method="ln", views="upright", keep_solved=True).eval()
    net.views = "turned"
    with torch.no_grad():
        net.solved.head.weight.normal_(generator=torch.Generator().manual_seed(0))
    images = torch.rand(5, 3, *net.vit.img_size, generator=torch.Generator().manual_seed(2))
    batch = [{"image": images, "id": list("abcde"), "label": torch.arange(5) % 3}]
    expected = predict(net.solved, batch)
    calls = []
    net.solved.register_forward_hook(lambda *_: calls.append(1))
    found = evaluate(net, batch, num_resamples=0, beside=("solved", net.solved))
    assert calls == [1]
    right = (expected.probabilities.argmax(1) == expected.labels).mean()
    assert found.metrics["baseline"]["metrics"]["accuracy"]["baseline"] == pytest.approx(right)


def test_the_predictions_are_those_of_a_pass_of_its_own():
    plain, network = linear(0), linear(1)
    beside = CollectBeside(plain)
    evaluator = build_evaluator(network, list(batches()), handlers=[beside])
    evaluator.run()
    evaluator.run()  # a second run begins anew
    alone = predict(plain, list(batches()))
    table = beside.table()
    assert table.ids == alone.ids and (table.labels == alone.labels).all()
    np.testing.assert_array_equal(table.probabilities, alone.probabilities)


def test_an_error_of_the_evaluation_is_raised_and_leaves_nothing_behind():
    plain = linear(0)
    wrong = [*batches(4), {"image": torch.zeros(1, 5), "id": ["odd"], "label": torch.zeros(1)}]
    with pytest.raises(RuntimeError, match="shape"):
        evaluate(linear(1), wrong, num_resamples=0, beside=("the other", plain))
    assert not plain._forward_hooks
