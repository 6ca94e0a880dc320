# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from torch import nn

from monai_ept.networks.heads import linear_head, mlp_head


def test_first_logits_are_small_and_every_number_learns():
    torch.manual_seed(0)
    features = torch.randn(8, 48)
    for head in (linear_head(48, 3, 0.2), mlp_head(48, 3, 0.2, num_layers=3, hidden_size=32)):
        logits = head(features)
        assert logits.shape == (8, 3) and logits.abs().max() < 1
        logits.square().sum().backward()
        assert all(param.grad.abs().max() > 0 for param in head.parameters())


def test_layers_of_an_mlp():
    def shapes(**settings):
        return [tuple(m.weight.shape) for m in mlp_head(48, 3, **settings).modules() if isinstance(m, nn.Linear)]

    assert shapes() == [(48, 48), (48, 48), (3, 48)]
    assert shapes(num_layers=2, hidden_size=16) == [(16, 48), (3, 16)]
    assert shapes(num_layers=1) == [(3, 48)]


def test_dropout_stands_before_each_layer():
    head = mlp_head(48, 3, 0.5, num_layers=2).train()
    assert [module.p for module in head.modules() if isinstance(module, nn.Dropout)] == [0.5, 0.5]
    features = torch.ones(4, 48)
    assert not torch.equal(head(features), head(features))
    assert torch.equal(head.eval()(features), head(features))
