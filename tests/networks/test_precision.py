# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_ept.networks.precision import amp_settings, at_precision


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

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
    def test_takes_what_the_card_has(self):
        best = torch.bfloat16 if torch.cuda.get_device_capability()[0] >= 8 else torch.float16
        assert amp_settings("cuda") == {"amp": True, "amp_kwargs": {"dtype": best}}
