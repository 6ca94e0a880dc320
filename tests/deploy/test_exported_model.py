# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from monai_ept import TunedViT
from monai_ept.deploy.exported_model import check_formats, folded, write_models
from monai_ept.deploy.inference_config import write_configs
from tests.backbones import images_for, timm_vit


def test_formats_are_known_each_once_and_one_of_them_runs():
    assert check_formats(["ts", "pt2", "ts"]) == ("ts", "pt2")
    for formats, says in ((["onnx"], "runs model.ts or model.pt2"), (["ts", "h5"], "formats 'h5' is not known")):
        with pytest.raises(ValueError, match=says):
            check_formats(formats)


@pytest.mark.parametrize("method", ["lora", "ept"])
def test_what_can_be_folded_is_and_nothing_trains_any_more(method):
    torch.manual_seed(0)
    net = TunedViT(timm_vit(), 2, method=method)
    with torch.no_grad():
        for tensor in net.delta_tensors().values():
            tensor.add_(0.1)
    found = folded(net)
    assert not found.training and not [param for param in found.parameters() if param.requires_grad]
    x = images_for(net.vit)
    torch.testing.assert_close(found(x), net.eval()(x), atol=1e-5, rtol=1e-4)
    assert any("lora" in type(module).__name__.lower() for module in found.modules()) is False


def test_the_files_answer_as_the_network(shipment):
    write_configs(shipment)
    write_models(shipment)
    images = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        expected = shipment.network(images)
        torch.testing.assert_close(torch.jit.load(shipment.folder / "models" / "model.ts")(images), expected)
    weights = torch.load(shipment.folder / "models" / "model.pt", weights_only=True)
    assert weights.keys() == shipment.network.state_dict().keys()
    assert replace(shipment, formats=("ts", "pt2")).formats == ("ts", "pt2")
