# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_ept import TunedViT
from monai_ept.engines import Training
from monai_ept.engines.baseline import linear_baseline
from monai_ept.evaluation.evaluator import predict
from tests.backbones import timm_vit
from tests.engines.scenes import CLASSES, loader_of, pictures, small_split

CPU = torch.device("cpu")


def net_of(method, **settings):
    torch.manual_seed(0)
    return TunedViT(timm_vit(), 3, method=method, class_names=CLASSES, **settings)


@pytest.mark.parametrize("solved", [False, True])
def test_it_is_the_solved_head_of_a_network_without_a_method(solved):
    """Whatever the network has learnt: its backbone answers as it came."""
    split = small_split(pictures(), val="none")
    settings = {"readout": 1, "views": "upright"} if solved else {"readout": "pooled"}
    plain = net_of("linear", **settings)
    Training(plain, split, {"name": "solve", "readout": settings["readout"], "amp": "off"}, progress=False).train()
    expected = predict(plain, loader_of(plain, split.test)).probabilities
    net = net_of("ln", **settings).train()
    with torch.no_grad():
        for tensor in net.delta_tensors().values():
            tensor.add_(0.3)
    groups = [str(record["group"]) for record in split.train]
    how = {"task": "multiclass", "device": CPU, "solved": solved}
    name, found = linear_baseline(net, loader_of(net, split.train), groups, **how)
    table = predict(found, loader_of(net, split.test))
    assert ("solved head" in name) == solved
    assert table.ids == [record["id"] for record in split.test] and net.training
    if solved:
        np.testing.assert_allclose(table.probabilities, expected, atol=1e-5)
    else:
        assert table.probabilities.shape == (12, 3)
        np.testing.assert_allclose(table.probabilities.sum(1), 1, atol=1e-6)
