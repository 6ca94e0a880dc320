# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel

from monai_ept.networks import attention
from monai_ept.networks.attention import (
    attention_kept,
    attention_weights,
    concat_attention,
    prompted_attention,
    sink_attention,
)
from tests.rounding import assert_same


def qkv(dtype=torch.float64, batch=2, heads=3, tokens=37, dim=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, heads, tokens, dim, dtype=dtype, generator=generator).requires_grad_() for _ in range(3)]


def test_definition_is_the_papers_formula():
    q, k, v = qkv()
    prompt = torch.randn(37, 5, dtype=torch.float64)
    rows = []
    for i in range(37):
        scores = (q[0, 0, i] @ k[0, 0].T) / math.sqrt(16)
        joined = torch.exp(torch.cat([prompt[i], scores]))
        rows.append((joined / joined.sum())[5:] @ v[0, 0])
    torch.testing.assert_close(prompted_attention(q, k, v, prompt)[0, 0], torch.stack(rows))


def test_the_other_embeddings_by_hand():
    q, k, _ = qkv(tokens=6)
    scores = (q @ k.transpose(-2, -1) / 4).detach()
    square = torch.randn(6, 6, dtype=torch.float64)
    long = torch.randn(6, 4, dtype=torch.float64)
    spread = scores.amax(-1, keepdim=True) - scores.amin(-1, keepdim=True)
    expected = {
        "add": torch.exp(scores + square) / torch.exp(scores + square).sum(-1, keepdim=True),
        "multiply": torch.exp(scores * square) / torch.exp(scores * square).sum(-1, keepdim=True),
        "scaled_concat": torch.exp(scores)
        / (torch.exp(scores).sum(-1, keepdim=True) + torch.exp(spread * long).sum(-1, keepdim=True)),
    }
    for embed, weights in expected.items():
        prompt = long if embed == "scaled_concat" else square
        torch.testing.assert_close(attention_weights(q, k, prompt, embed=embed), weights)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
@pytest.mark.parametrize("shape", [(37,), (3, 37), (2, 1, 37), (2, 3, 37)], ids=["token", "head", "image", "all"])
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), start=st.floats(-8, 8), scale=st.sampled_from([None, 0.05, 1.0]))
def test_fused_form_equals_the_definition(dtype, tolerance, shape, seed, start, scale):
    q, k, v = qkv(dtype, seed=seed)
    generator = torch.Generator().manual_seed(seed + 1)
    prompt = (torch.randn(*shape, 4, dtype=dtype, generator=generator) + start).requires_grad_()
    weight = torch.randn(q.shape, dtype=dtype, generator=generator)
    fused = sink_attention(q, k, v, prompt.logsumexp(-1), scale)
    definition = prompted_attention(q, k, v, prompt, scale)
    inputs = (q, k, v, prompt)
    for ours, theirs in [
        (fused, definition),
        *zip(
            torch.autograd.grad((fused * weight).sum(), inputs),
            torch.autograd.grad((definition * weight).sum(), inputs),
            strict=True,
        ),
    ]:
        assert (ours - theirs).abs().max() <= tolerance * max(theirs.abs().max().item(), 1e-3)


def test_gradcheck():
    q, k, v = qkv(batch=1, heads=2, tokens=5, dim=4)
    sink = torch.randn(2, 5, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(sink_attention, (q, k, v, sink))


def test_the_fused_kernel_is_what_runs(monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("the definition ran")

    monkeypatch.setattr(attention, "prompted_attention", never)
    q, k, v = qkv(torch.float32)
    sink_attention(q, k, v, torch.zeros(37)).sum().backward()


def test_no_score_matrix_is_kept_for_backward():
    tokens = 577
    q, k, v = qkv(torch.float32, batch=1, heads=2, tokens=tokens)
    sink = torch.zeros(tokens, requires_grad=True)
    shapes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: shapes.append(tuple(t.shape)) or t, lambda t: t):
        sink_attention(q, k, v, sink)
    assert shapes
    assert all(shape[-2:] != (tokens, tokens) for shape in shapes)


def test_gradients_stop_where_they_are_not_needed():
    q, k, v = (t.detach() for t in qkv(torch.float32))
    sink = torch.zeros(37, requires_grad=True)
    sink_attention(q, k, v, sink).sum().backward()
    reference = torch.zeros(37, 1, requires_grad=True)
    prompted_attention(q, k, v, reference).sum().backward()
    assert_same(sink.grad, reference.grad[:, 0])


@pytest.mark.parametrize("kind", ["bool", "additive"])
def test_masks_take_the_definition_and_hide_tokens_only(kind):
    q, k, v = qkv()
    keep = torch.rand(2, 1, 37, 37, generator=torch.Generator().manual_seed(3)) > 0.3
    mask = keep if kind == "bool" else torch.zeros(keep.shape, dtype=torch.float64).masked_fill(~keep, -math.inf)
    sink = torch.randn(37, dtype=torch.float64)
    scores = (q @ k.transpose(-2, -1) / 4).masked_fill(~keep, -math.inf)
    weights = torch.exp(scores) / (torch.exp(scores).sum(-1, keepdim=True) + torch.exp(sink)[:, None])
    torch.testing.assert_close(sink_attention(q, k, v, sink, mask=mask), weights @ v)


def test_an_all_masked_row_attends_to_nothing():
    q, k, v = qkv()
    out = sink_attention(q, k, v, torch.zeros(37, dtype=torch.float64), mask=torch.zeros(37, 37, dtype=torch.bool))
    assert torch.equal(out, torch.zeros_like(out))


def test_dropout_drops_and_keeps_the_mean():
    q, k, v = (t.detach() for t in qkv(torch.float32, batch=64))
    sink = torch.zeros(37)
    plain = sink_attention(q, k, v, sink)
    torch.manual_seed(0)
    dropped = torch.stack([sink_attention(q, k, v, sink, dropout=0.3) for _ in range(40)])
    assert not torch.allclose(dropped[0], plain)
    assert (dropped.mean(0) - plain).abs().mean() < 0.03


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_runs_in_low_precision_with_prompts_in_float32(dtype):
    q, k, v = qkv(torch.float32)
    prompt = torch.randn(37, 4).requires_grad_()
    with torch.autocast("cpu", dtype):
        out = sink_attention(q, k, v, prompt.logsumexp(-1))
    assert out.dtype == dtype
    out.float().sum().backward()
    assert prompt.grad.dtype == torch.float32
    reference = prompt.detach().clone().requires_grad_()
    expected = prompted_attention(q, k, v, reference)
    expected.sum().backward()
    assert (out - expected).abs().max() < 0.03
    assert (prompt.grad - reference.grad).abs().max() < 0.05 * reference.grad.abs().max()


def test_the_math_backend_falls_back_with_the_same_result():
    q, k, v = qkv()
    sink = torch.randn(37, dtype=torch.float64)
    with sdpa_kernel([SDPBackend.MATH]):
        slow = sink_attention(q, k, v, sink)
    torch.testing.assert_close(slow, sink_attention(q, k, v, sink))


def test_very_large_and_very_small_sinks():
    q, k, v = qkv()
    nothing = sink_attention(q, k, v, torch.full((37,), 1e4, dtype=torch.float64))
    assert torch.equal(nothing, torch.zeros_like(nothing))
    everything = sink_attention(q, k, v, torch.full((37,), -math.inf, dtype=torch.float64))
    plain = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    assert_same(everything, plain)


def test_unknown_embedding():
    q, k, _ = qkv()
    with pytest.raises(ValueError, match="embed must be one of concat, scaled_concat, add, multiply, got 'append'"):
        attention_weights(q, k, torch.zeros(37, 1), embed="append")


KERNELS = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("length", [1, 100])
@pytest.mark.parametrize(("batch", "dim"), [(2, 64), (2, 20), (100, 64)])
@pytest.mark.parametrize(
    ("dtype", "kernel"),
    [(dtype, kernel) for dtype in (torch.bfloat16, torch.float16) for kernel in KERNELS]
    + [(torch.float32, "efficient"), (torch.bfloat16, "efficient")],
)
def test_fused_form_on_cuda(dtype, kernel, batch, dim, length):
    # As a fused projection gives them: images, tokens, and then q, k and v of all heads.
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(batch, 197, 3, 3, dim, generator=generator).to("cuda", dtype)
    q, k, v = (t.transpose(1, 2).requires_grad_() for t in qkv.unbind(2))
    prompt = (torch.randn(197, length, generator=generator) * 2).cuda().requires_grad_()
    weight = torch.randn(batch, 197, 3, dim, generator=generator).to("cuda", dtype).transpose(1, 2)
    with sdpa_kernel([KERNELS.get(kernel, SDPBackend.EFFICIENT_ATTENTION)]):
        if dim % 8 and kernel != "flash" and dtype != torch.float32:
            pytest.skip(f"{kernel} takes no heads of {dim} in half precision")
        assert attention.fused_kernel(q, k, v, None, 0.0) == kernel
        fused = concat_attention(q, k, v, prompt)
        ours = torch.autograd.grad((fused * weight).float().sum(), (q, k, v, prompt))
        with torch.no_grad():
            assert torch.equal(concat_attention(q, k, v, prompt), fused)
    definition = prompted_attention(*(t.double() for t in (q, k, v)), prompt.double())
    theirs = torch.autograd.grad((definition * weight.double()).sum(), (q, k, v, prompt))
    tolerance = 1e-4 if dtype == torch.float32 else 1e-2
    for a, b in [(fused, definition), *zip(ours, theirs, strict=True)]:
        assert (a.double() - b.double()).norm() <= tolerance * b.double().norm()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("shape", [(197,), (3, 1), (3, 197), (2, 1, 197), (2, 3, 197)])
def test_sinks_of_every_shape_on_cuda(shape):
    q, k, v = (t.detach().cuda().requires_grad_() for t in qkv(torch.float32, tokens=197, dim=64))
    sink = torch.randn(shape, device="cuda").requires_grad_()
    fused = sink_attention(q, k, v, sink)
    definition = prompted_attention(*(t.double() for t in (q, k, v)), sink.double().unsqueeze(-1))
    ours = torch.autograd.grad(fused.sum(), (q, k, v, sink))
    theirs = torch.autograd.grad(definition.sum(), (q, k, v, sink))
    for a, b in [(fused, definition), *zip(ours, theirs, strict=True)]:
        assert (a.double() - b.double()).norm() <= 1e-4 * b.double().norm()


@pytest.mark.parametrize("embed", ["concat", "scaled_concat"])
@pytest.mark.parametrize("mask", [None, "boolean", "additive"])
def test_the_share_kept_is_the_row_sum_of_the_definition(embed, mask):
    q, k, _ = (tensor.detach() for tensor in qkv())
    prompt = torch.randn(37, 5, dtype=torch.float64)
    if mask == "boolean":
        mask = torch.rand(2, 1, 37, 37) > 0.3
    elif mask == "additive":
        mask = torch.randn(37, 37, dtype=torch.float64)
    expected = attention_weights(q, k, prompt, 0.3, embed=embed, mask=mask).sum(-1)
    for chunk in (256, 37, 10):
        kept = attention_kept(q, k, prompt, 0.3, embed=embed, mask=mask, chunk=chunk)
        torch.testing.assert_close(kept, expected)
    assert expected.max() < 1


def test_the_share_kept_in_half_precision_is_computed_in_single():
    q, k, _ = (tensor.detach().bfloat16() for tensor in qkv(torch.float32))
    prompt = torch.randn(37, 5)
    kept = attention_kept(q, k, prompt)
    assert kept.dtype == torch.float32
    assert_same(kept, attention_weights(q.float(), k.float(), prompt).sum(-1))


@pytest.mark.parametrize("embed", ["add", "multiply"])
def test_prompts_that_scale_nothing_have_no_share(embed):
    q, k, _ = qkv()
    with pytest.raises(ValueError, match="keeps all of it"):
        attention_kept(q, k, torch.randn(37, 37), embed=embed)
