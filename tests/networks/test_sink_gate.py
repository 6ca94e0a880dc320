# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
import os
import subprocess
import sys
import textwrap

import pytest
import torch

from monai_ept.networks.sink_gate import gate_, prompt_gradient, sink_of


def attended(tokens: int = 37, dim: int = 20, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """What a fused kernel gives: an output that lies as images, tokens, heads; and the logsumexp of its scores."""
    generator = torch.Generator().manual_seed(seed)
    out = torch.randn(2, tokens, 3, dim, generator=generator).transpose(1, 2)
    return out, torch.randn(2, 3, tokens, generator=generator) * 3


@pytest.mark.parametrize("length", [1, 5])
def test_gate_and_gradient_by_hand(length):
    out, lse = (t.double() for t in attended())
    prompt = torch.randn(37, length, dtype=torch.float64, requires_grad=True)
    sink = prompt.exp().sum(-1).log()
    by_hand = out / (1 + torch.exp(sink - lse)).unsqueeze(-1)
    grad = torch.randn_like(out)
    # What flows through lse reaches q and k; the prompt's own share is what autograd finds here.
    (expected,) = torch.autograd.grad((by_hand * grad).sum(), prompt)
    gated = out.clone()
    raised, *kept = gate_(gated, lse.clone(), prompt.detach(), for_backward=True)
    torch.testing.assert_close(gated, by_hand.detach())
    torch.testing.assert_close(raised, torch.logaddexp(lse, sink).detach())
    torch.testing.assert_close(prompt_gradient(grad, gated, raised, prompt.detach(), kept), expected)


def test_without_a_backward_pass_to_come_lse_stays():
    out, lse = attended()
    before = lse.clone()
    assert gate_(out, lse, torch.zeros(37, 4)) == ()
    assert torch.equal(lse, before)


def test_what_kernels_pad_is_left_alone():
    out, lse = attended()
    padded, last = torch.nn.functional.pad(lse, (0, 3), value=math.inf), lse.clone().unsqueeze(-1)
    plain, cut, squeezed = (
        gate_(out.clone(), one, torch.zeros(37, 4), for_backward=True) for one in (lse, padded, last)
    )
    assert cut[0].shape == padded.shape and cut[0][..., 37:].isinf().all()
    assert torch.equal(cut[0][..., :37], plain[0])
    assert squeezed[0].shape == last.shape and torch.equal(squeezed[0].squeeze(-1), plain[0])
    for kept in (cut, squeezed):
        assert all(torch.equal(one, other) for one, other in zip(kept[1:], plain[1:], strict=True))


def test_a_row_of_one_logit_is_its_own_sink():
    prompt = torch.tensor([[-math.inf], [3.0]])
    assert torch.equal(sink_of(prompt), prompt.logsumexp(-1))
    assert sink_of(prompt).data_ptr() == prompt.data_ptr()


@pytest.mark.skipif(torch.cuda.is_available(), reason="where the kernels run, test_attention compares them")
def test_the_triton_kernels_compute_the_formulas():
    pytest.importorskip("triton")
    # Triton's interpreter must be asked for before the kernels are defined: a process of its own.
    script = """
        import torch
        from monai_ept.networks import sink_gate, sink_gate_triton
        from tests.networks.test_sink_gate import attended

        # Several blocks of tokens and of logits; planes in one group, in several of one, and of two and of three.
        sink_gate_triton._GROUPS = 6
        sizes = [(37, 20, 5, 1, 6), (33, 16, 66, 1, 4), (7, 8, 1, 2, 4), (7, 8, 3, 3, 4)]
        for tokens, dim, length, images, sink_gate_triton._ONE_GROUP in sizes:
            out, lse = (t.repeat(images, *[1] * (t.dim() - 1)) for t in attended(tokens, dim))
            prompt = torch.randn(tokens, length) * 2
            prompt[3], prompt[4, 0], prompt[5] = -60, -torch.inf, 90
            lse = torch.nn.functional.pad(lse, (0, 5), value=torch.inf)[..., :tokens]
            grad = torch.randn(out.shape)
            results = []
            for module in (sink_gate, sink_gate_triton):
                plain, gated = out.clone(), out.clone()
                module.gate_(plain, lse, prompt, for_backward=False)
                raised, *kept = module.gate_(gated, lse.clone(), prompt, for_backward=True)
                flat = torch.ones(()).expand(out.shape)
                gradients = [module.prompt_gradient(g, gated, raised, prompt, kept) for g in (grad, flat)]
                results.append((plain, gated, raised, *gradients))
            for formula, kernel in zip(*results, strict=True):
                torch.testing.assert_close(kernel, formula, rtol=1e-5, atol=1e-5)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
