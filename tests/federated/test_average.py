# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from monai.fl.utils.constants import WeightType
from monai.fl.utils.exchange_object import ExchangeObject

from monai_ept.federated import federated_average


def sent(value, images, backbone="a", kind=WeightType.WEIGHT_DIFF):
    statistics = {"num_images": images, "backbone": backbone}
    return ExchangeObject(weights={"w": torch.tensor([value])}, weight_type=kind, statistics=statistics)


def test_images_weigh_by_hand():
    # 10 + (1 · 30 + 4 · 10) / 40
    mean = federated_average({"w": torch.tensor([10.0])}, [sent(1.0, 30), sent(4.0, 10)])
    assert mean["w"].tolist() == [11.75] and mean["w"].dtype == torch.float32


@pytest.mark.parametrize(
    ("clients", "message"),
    [
        ([], "no client has sent anything"),
        ([sent(1.0, 1), sent(1.0, 1, backbone="b")], "2 different frozen backbones"),
        ([sent(1.0, 0)], "num_images must be a whole number of at least 1"),
        ([sent(1.0, 1, kind=WeightType.WEIGHTS)], "client 0 has not sent the difference"),
        (
            [ExchangeObject(weights={"w": torch.zeros(1)}, weight_type=WeightType.WEIGHT_DIFF)],
            "has not said its backbone",
        ),
    ],
    ids=["nobody", "backbones", "no-images", "weights", "silent"],
)
def test_what_cannot_be_averaged_is_refused(clients, message):
    with pytest.raises(ValueError, match=message):
        federated_average({"w": torch.tensor([10.0])}, clients)


def test_other_tensors_are_refused():
    with pytest.raises(ValueError, match="client 0 has not sent the difference"):
        federated_average({"v": torch.tensor([10.0])}, [sent(1.0, 1)])
