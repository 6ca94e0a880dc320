# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_ept import TunedViT
from monai_ept.engines.adaptation_settings import Adaptation, adaptation_of
from tests.backbones import timm_vit


def test_changes_to_the_usual_one():
    usual = Adaptation()
    assert adaptation_of(None) == adaptation_of({}) == adaptation_of({"steps": None}) == usual
    assert adaptation_of(usual) is usual
    found = adaptation_of({"steps": 3, "amp": False})  # YAML reads a plain off so
    assert (found.steps, found.amp, found.batch_size) == (3, "off", usual.batch_size)


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"step": 3}, "an adaptation has no 'step': did you mean 'steps'"),
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        ({"batch_size": 1}, "batch_size must be a whole number of at least 2, got 1"),
        ({"lr": 0}, "lr must be a number above 0"),
        ({"temperature": -1}, "temperature must be a number above 0"),
        ({"views": "all"}, "views 'all' is not known"),
        ({"amp": "half"}, "amp 'half' is not known"),
        ({"check": 1}, "check must be true or false, got 1"),
        (3, "adaptation"),
    ],
)
def test_what_is_out_of_range_is_one_sentence(wanted, says):
    with pytest.raises(ValueError) as caught:
        adaptation_of(wanted)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_what_depends_on_the_network_is_filled_in():
    net = TunedViT(timm_vit(), 2, method=["ln", "full"])
    found = Adaptation().prepare(net)
    assert found.lr == min(method.adapt_lr for method in net.methods) and found.views == "upright"
    net = TunedViT(timm_vit(), 2, method="ln", views="turned")
    assert Adaptation().prepare(net).views == "turned"
    kept = Adaptation(lr=0.5, views="one").prepare(net)
    assert (kept.lr, kept.views) == (0.5, "one")
    with pytest.raises(ValueError, match="method linear trains nothing but the head.*choose another method"):
        Adaptation().prepare(TunedViT(timm_vit(), 2, method="linear"))
