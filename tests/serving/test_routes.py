# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import dataclasses
import math
from functools import cache

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from monai_ept.networks.attention import sink_attention
from monai_ept.serving.routes import Route, RoutedLinear, travel
from monai_ept.serving.task import LowRank, task_of
from tests.backbones import timm_vit
from tests.serving.tuned import tuned


@cache
def linear():
    return task_of("this", tuned(timm_vit(), method="linear"), {})


def task_with(sinks=(), low_rank=()):
    return dataclasses.replace(linear(), sinks=dict(sinks), low_rank=dict(low_rank))


def test_updates_of_other_ranks_by_hand():
    layer = nn.Linear(2, 3, bias=False)
    layer.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    one = LowRank(torch.tensor([[1.0], [0.0]]), torch.tensor([[10.0, 20.0]]))
    two = LowRank(torch.eye(2), torch.tensor([[0.0, 1.0], [2.0, 0.0]]))
    tasks = [task_with(), task_with(low_rank={(0, "v"): one}), task_with(low_rank={(0, "v"): two})]
    routed = RoutedLinear(layer, 0, {"q": slice(0, 1), "v": slice(1, 3)})
    x = torch.tensor([3.0, 5.0]).expand(4, 1, 2)
    with torch.no_grad(), travel(Route(tasks, torch.tensor([0, 2, 1, 0]))):
        out = routed(x).squeeze(1)
    # Plain: (3, 5, 8). Rank one adds 3 · (10, 20) to the last two, rank two adds (2 · 5, 1 · 3).
    plain = [3.0, 5.0, 8.0]
    assert out.tolist() == [plain, [3.0, 15.0, 11.0], [3.0, 35.0, 68.0], plain]


def test_sinks_of_all_shapes_in_one_batch():
    per_token, per_head = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [4.0], [5.0]])
    tasks = [task_with(), task_with({0: per_token}), task_with({0: per_head, 1: per_token})]
    route = Route(tasks, torch.tensor([2, 0, 1, 1]))
    nothing = [[-math.inf] * 2] * 3
    same = [[1.0, 2.0]] * 3
    assert route.sink(0).tolist() == [[[3.0, 3.0], [4.0, 4.0], [5.0, 5.0]], nothing, same, same]
    assert route.sink(1).tolist() == [[[1.0, 2.0]], *[[[-math.inf] * 2]] * 3]
    assert route.sink(2) is None and route.update(0, {"q": slice(0, 2)}, 2) is None


@pytest.mark.parametrize("mask", [None, torch.ones(5, 5, dtype=torch.bool).tril()])
def test_a_sink_of_minus_infinity_is_none(mask):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 3, 5, 8)
    with torch.no_grad():
        plain = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        ours = sink_attention(q, k, v, torch.full((2, 1, 5), -math.inf), mask=mask)
    if mask is None:
        assert torch.equal(ours, plain)
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-6)
