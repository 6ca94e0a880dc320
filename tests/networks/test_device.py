# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_ept.networks.device import usable_device


def test_the_default_is_a_card_or_the_cpu():
    assert usable_device().type == usable_device("").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("device", ["cpu", "cpu:0", torch.device("cpu")])
def test_the_cpu_is_always_there(device):
    assert usable_device(device) == torch.device(device)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a card")
@pytest.mark.parametrize("device", ["cuda", "cuda:0", 0])
def test_a_card(device):
    assert usable_device(device).type == "cuda"


@pytest.mark.parametrize("device", ["gpu", "cpu:x", " ", 1.5, True, ["cpu"], "cuda 0"])
def test_what_is_no_device(device):
    with pytest.raises(ValueError, match="is not known: there is cpu") as caught:
        usable_device(device)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("device", ["meta", "cuda:99", 99, "xla", "hpu"])
def test_what_is_not_there(device):
    with pytest.raises(ValueError, match="is not there.*: there is cpu") as caught:
        usable_device(device)
    assert "\n" not in str(caught.value)
