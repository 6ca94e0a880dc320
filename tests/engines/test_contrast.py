# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import torch

from monai_ept import TunedViT
from monai_ept.data.random_views import RandomViews
from monai_ept.delta import read_delta
from monai_ept.engines.contrast import PROJECTED, ContrastOfViews, TwoViews
from tests.backbones import images_for, timm_vit


def test_the_loss_of_views_that_are_told_apart_by_hand():
    # Two images, both views of each alike and at right angles to those of the other: of three others, one is equal
    # (similarity 1) and two are not (0), so that each term is −log(e^(1/t) / (e^(1/t) + 2)).
    projected = torch.tensor([[[1.0, 0.0], [3.0, 0.0]], [[0.0, 2.0], [0.0, 1.0]]])
    expected = -math.log(math.exp(2) / (math.exp(2) + 2))
    torch.testing.assert_close(ContrastOfViews(0.5)(projected), torch.tensor(expected))
    worse = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 2.0], [1.0, 0.0]]])
    assert ContrastOfViews(0.5)(worse) > ContrastOfViews(0.5)(projected)


def test_a_network_that_looks_twice_trains_its_methods_and_a_projection_that_nobody_keeps(tmp_path):
    net = TunedViT(timm_vit(), 3, method="ln")
    twice = TwoViews(net, RandomViews("upright"))
    found = twice(images_for(net.vit, 4))
    assert found.shape == (4, 2, PROJECTED) and not torch.equal(found[:, 0], found[:, 1])
    ContrastOfViews()(found).backward()
    given = {name: param.grad is not None for name, param in net.named_parameters() if param.requires_grad}
    assert all(got != name.startswith("head.") for name, got in given.items())  # the head has no part in it
    assert {name.split(".")[0] for name in twice.delta_tensors()} == {"backbone", "projection"}
    twice.save_delta(tmp_path / "a.safetensors")
    assert {name.split(".")[0] for name in read_delta(tmp_path / "a.safetensors", head=False).tensors} == {"backbone"}
    assert twice.delta_metadata()["num_classes"] is None and twice.vit is net.vit
