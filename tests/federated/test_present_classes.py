# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import torch

from monai_ept.federated.present_classes import PresentClasses


def test_by_hand():
    """Classes 0 and 2 of three: logits 0 and ln 3, so that they are one and three quarters likely."""
    loss = PresentClasses([{"label": 0}, {"label": 2}], 3)
    logits = torch.tensor([[0.0, 50.0, math.log(3)]] * 2, requires_grad=True)
    found = loss(logits, torch.tensor([0, 2]))
    torch.testing.assert_close(found.detach(), torch.tensor([math.log(4), math.log(4 / 3)]))
    found.sum().backward()
    assert (logits.grad[:, 1] == 0).all() and (logits.grad[:, 0] != 0).all()


def test_classes_count_alike():
    loss = PresentClasses([{"label": 1}] * 3 + [{"label": 2}], 4)
    found = loss(torch.zeros(2, 4), torch.tensor([1, 2]))
    torch.testing.assert_close(found, math.log(2) * torch.tensor([2 / 3, 2.0]))
