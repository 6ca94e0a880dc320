# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_ept.networks.tuner import Tuner, copied, innermost, own_modules, own_parameters, tuners, tuners_disabled


class Plus(Tuner):
    """Adds a number that it trains."""

    def __init__(self, inner: nn.Module, number: float) -> None:
        super().__init__(inner)
        self.number = nn.Parameter(torch.tensor(number))

    def tuned(self, x):
        return self.inner(x) + self.number


@pytest.fixture
def net():
    plain = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    names = [name for name, _ in plain.named_parameters()]
    plain[0] = Plus(Plus(plain[0], 1.0), 10.0)
    return plain, names


def test_the_backbone_keeps_its_names_under_tuners(net):
    net, names = net
    assert [name for name, _ in own_parameters(net)] == names
    assert [name for name, _ in own_modules(net)] == ["", "0", "1"]
    assert [name for name, _ in tuners(net)] == ["0", "0.inner"]
    assert innermost(net[0]) is net[0].inner.inner and innermost(net[1]) is net[1]


def test_tuners_step_aside_and_come_back_also_after_an_error(net):
    net, _ = net
    x = torch.randn(3, 2)
    plain = innermost(net[0])(x)
    assert torch.equal(net[0](x), plain + 1 + 10)
    net[0].inner.enabled = False  # as somebody left it
    with pytest.raises(RuntimeError), tuners_disabled(net):
        assert torch.equal(net[0](x), plain)
        raise RuntimeError
    assert torch.equal(net[0](x), plain + 10)


def test_a_copy_has_places_for_hooks_of_its_own_and_the_hooks_that_were_there():
    plain, called = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)), []
    plain[1].register_forward_hook(lambda *_: called.append("both"))
    copy = copied(plain)
    copy[0].register_forward_hook(lambda *_: called.append("copy"))
    plain.add_module("more", nn.Identity())
    with torch.no_grad():
        copy[1].weight.zero_()
    x = torch.ones(1, 2)
    assert not torch.equal(plain(x), copy(x)) and called == ["both", "copy", "both"]
    assert [name for name, _ in copy.named_children()] == ["0", "1"]
    assert not any(mine is theirs for mine, theirs in zip(plain.parameters(), copy.parameters(), strict=True))
