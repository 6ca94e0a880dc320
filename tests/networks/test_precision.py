# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from monai_ept import TunedViT
from monai_ept.networks.precision import amp_settings, at_precision
from tests.backbones import timm_vit


class TestPrecision:
    def test_off_on_a_cpu(self):
        assert amp_settings("cpu") == amp_settings("cpu", "off") == {"amp": False, "amp_kwargs": {}}

    def test_half_precision_by_name_needs_a_card(self):
        with pytest.raises(ValueError, match="is for CUDA cards and the device is 'cpu'"):
            amp_settings("cpu", "bfloat16")

    def test_a_cpu_computes_in_bfloat16_when_told_to(self):
        seen = []

        class Probe(nn.Linear):
            def forward(self, x):
                out = super().forward(x)
                seen.append(out.dtype)
                return out

        layer = Probe(8, 3)
        network, settings = at_precision(layer, "cpu", "bfloat16")
        assert settings == {"amp": False, "amp_kwargs": {}}  # MONAI's engines would open autocast for CUDA
        out = network(torch.randn(2, 8))
        out.sum().backward()
        assert seen == [torch.bfloat16]
        assert out.dtype == layer.weight.grad.dtype == torch.float32
        assert at_precision(layer, "cpu", "auto") == (layer, settings)

    def test_steps_on_a_cpu_leave_out_the_kernel_that_is_slow_backwards(self):
        class Called(TorchDispatchMode):
            def __torch_dispatch__(self, function, types, args=(), kwargs=None):
                names.append(function.name())
                return function(*args, **(kwargs or {}))

        net = TunedViT(timm_vit(), 3, method="ln")
        network, _ = at_precision(net, "cpu", "bfloat16")
        images = torch.randn(2, net.vit.in_channels, *net.vit.img_size)
        found = []
        for grad in (False, True):
            names: list[str] = []
            with torch.set_grad_enabled(grad), Called():
                found.append(network(images))
            assert any("flash" in name for name in names) is not grad
        torch.testing.assert_close(found[1], found[0], atol=0.05, rtol=0.05)
        assert not torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
    def test_takes_what_the_card_has(self):
        best = torch.bfloat16 if torch.cuda.get_device_capability()[0] >= 8 else torch.float16
        assert amp_settings("cuda") == {"amp": True, "amp_kwargs": {"dtype": best}}

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
    def test_bfloat16_on_cuda_needs_no_scaler(self):
        layer = nn.Linear(8, 3).cuda()
        network, settings = at_precision(layer, "cuda", "bfloat16")
        assert settings == {"amp": False, "amp_kwargs": {}}
        with torch.autocast("cuda", torch.bfloat16):
            expected = layer(torch.ones(2, 8, device="cuda"))
        assert torch.equal(network(torch.ones(2, 8, device="cuda")), expected.float())
        assert at_precision(layer, "cuda", "float16")[1]["amp"]
