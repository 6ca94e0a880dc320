# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_ept.networks.fused_attention import FEW_TOKENS, fused_attention, fused_attention_gradients, fused_kernel


def qkv(tokens=37, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, tokens, 16, generator=generator).to(dtype) for _ in range(3)]


def test_a_kernel_is_taken_where_it_computes_the_same_and_is_faster():
    q, k, v = qkv()
    assert fused_kernel(q, k, v, None, 0.0) == "flash_cpu"
    assert fused_kernel(q, k, v, torch.zeros(37, 37), 0.0) is None
    assert fused_kernel(q, k.double(), v, None, 0.0) is None
    assert fused_kernel(*qkv(dtype=torch.bfloat16), None, 0.0) is None  # few tokens, which a CPU's cache holds
    assert fused_kernel(*qkv(FEW_TOKENS + 1, torch.bfloat16), None, 0.0) == "flash_cpu"
    said = []
    torch.jit.trace(lambda x: said.append(fused_kernel(x, k, v, None, 0.0)) or x * 1, q, check_trace=False)
    assert set(said) == {None}


@pytest.mark.parametrize("scale", [0.25, 1.0])
def test_output_logsumexp_and_gradients_are_those_of_the_definition(scale):
    q, k, v = (tensor.requires_grad_() for tensor in qkv())
    scores = q @ k.transpose(-2, -1) * scale
    expected = scores.softmax(-1) @ v
    grad = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    theirs = torch.autograd.grad(expected, (q, k, v), grad)
    with torch.no_grad():
        out, lse, seed, offset = fused_attention("flash_cpu", q, k, v, 0.0, scale)
        ours = fused_attention_gradients("flash_cpu", grad, q, k, v, out, lse, seed, offset, 0.0, scale)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(lse[..., :37].reshape(2, 3, 37), scores.logsumexp(-1))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
