# SPDX-License-Identifier: Apache-2.0

"""Prompted attention as pure functions: the definition, and the fused form that runs.

A prompt adds columns to the scores ``S = q kᵀ · scale`` before the softmax and drops them after it. The definition,
:func:`prompted_attention`, writes exactly that. For ``concat`` prompts it has a closed form: the columns of token ``i``
act only through ``c_i = logsumexp(prompt[i])``, and with ``lse_i = logsumexp(S[i])``

    output_i = exp(lse_i - lse'_i) · (softmax(S) v)_i,        lse'_i = logaddexp(lse_i, c_i)

:func:`concat_attention` computes this on the fused kernels of PyTorch, which return ``lse`` anyway. docs/method.md has
the derivation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from monai_ept.networks.fused_attention import fused_attention, fused_attention_gradients, fused_kernel
from monai_ept.networks.sink_gate import gate_, prompt_gradient, sink_of

__all__ = [
    "EMBEDDINGS",
    "attention_kept",
    "attention_weights",
    "concat_attention",
    "prompted_attention",
    "sink_attention",
]

EMBEDDINGS = ("concat", "scaled_concat", "add", "multiply")


def attention_weights(
    q: Tensor,
    k: Tensor,
    prompt: Tensor,
    scale: float | None = None,
    *,
    embed: str = "concat",
    mask: Tensor | None = None,
) -> Tensor:
    """
    The attention matrix with prompts, as the paper defines it.

    Args:
        q: queries, ``(batch, heads, tokens, head_dim)``.
        k: keys, of the same shape.
        prompt: prompt logits that broadcast to ``(batch, heads, tokens, length)``; for ``"add"`` and ``"multiply"``
            the length is the number of tokens.
        scale: factor of the scores, ``head_dim ** -0.5`` by default.
        embed: how prompts meet the scores, one of ``EMBEDDINGS``.
        mask: boolean (True attends) or additive mask that broadcasts to the scores. It hides tokens, never prompts.

    Returns:
        weights ``(batch, heads, tokens, tokens)``. Their rows sum to less than one for ``"concat"`` and
        ``"scaled_concat"``.
    """
    scores = q @ k.transpose(-2, -1) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if embed == "add":
        scores = scores + prompt
    elif embed == "multiply":
        scores = scores * prompt
    elif embed == "scaled_concat":
        prompt = _scaled(prompt, scores)
    elif embed != "concat":
        raise ValueError(f"embed must be one of {', '.join(EMBEDDINGS)}, got {embed!r}.")
    if mask is not None:
        scores = _masked(scores, mask)
    if embed in ("add", "multiply"):
        return scores.softmax(-1)
    length = prompt.shape[-1]
    # Broadcast by arithmetic: a traced ONNX graph holds the shape that expand is given, and takes that batch size only.
    joined = torch.cat([prompt + 0 * q[..., :1], scores], dim=-1)
    return joined.softmax(-1)[..., length:]


def attention_kept(
    q: Tensor,
    k: Tensor,
    prompt: Tensor,
    scale: float | None = None,
    *,
    embed: str = "concat",
    mask: Tensor | None = None,
    chunk: int = 256,
) -> Tensor:
    """
    The share of its attention that each token keeps: the row sums ``g`` of :func:`attention_weights`.

    Scores are built for some queries at a time, never for all.

    Args:
        q: queries, ``(batch, heads, tokens, head_dim)``.
        k: keys, of the same shape.
        prompt: prompt logits that broadcast to ``(batch, heads, tokens, length)``.
        scale: factor of the scores, ``head_dim ** -0.5`` by default.
        embed: ``"concat"`` or ``"scaled_concat"``; the rows of the others sum to one whatever the prompts.
        mask: boolean or additive mask of the scores.
        chunk: queries at a time.

    Returns:
        ``(batch, heads, tokens)``, from 0 (nothing is left) to 1 (as without prompts).

    Raises:
        ValueError: for an ``embed`` that scales nothing.
    """
    if embed not in ("concat", "scaled_concat"):
        raise ValueError(f"embed={embed!r} moves attention between tokens and keeps all of it: there is no share kept.")
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    exact = torch.promote_types(q.dtype, torch.float32)
    keys, tokens = k.transpose(-2, -1).to(exact), q.shape[-2]
    prompt = prompt.to(exact).expand(*prompt.shape[:-2], tokens, prompt.shape[-1])
    kept = []
    for start in range(0, tokens, chunk):
        rows = slice(start, start + chunk)
        scores = q[..., rows, :].to(exact) @ keys * scale
        logits = prompt[..., rows, :]
        if embed == "scaled_concat":
            logits = _scaled(logits, scores)
        if mask is not None:
            scores = _masked(scores, mask.expand(*mask.shape[:-2], tokens, mask.shape[-1])[..., rows, :])
        kept.append(torch.sigmoid(scores.logsumexp(-1) - logits.logsumexp(-1)))
    return torch.cat(kept, dim=-1)


def _scaled(prompt: Tensor, scores: Tensor) -> Tensor:
    """``scaled_concat``: prompts times the range of each row of scores."""
    return prompt * (scores.amax(-1, keepdim=True) - scores.amin(-1, keepdim=True))


def _masked(scores: Tensor, mask: Tensor) -> Tensor:
    return scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask


def prompted_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    prompt: Tensor,
    scale: float | None = None,
    *,
    embed: str = "concat",
    mask: Tensor | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """
    Prompted attention by its definition: readable, works everywhere, builds the score matrix.

    Args:
        q: queries, ``(batch, heads, tokens, head_dim)``.
        k: keys, of the same shape.
        v: values, of the same shape.
        prompt: prompt logits, see :func:`attention_weights`.
        scale: factor of the scores, ``head_dim ** -0.5`` by default.
        embed: how prompts meet the scores, one of ``EMBEDDINGS``.
        mask: boolean or additive mask of the scores.
        dropout: probability of dropping an attention weight; 0 outside training.

    Returns:
        the attention output, shaped like ``v``.
    """
    weights = attention_weights(q, k, prompt, scale, embed=embed, mask=mask)
    return F.dropout(weights, dropout).to(v.dtype) @ v


def concat_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    prompt: Tensor,
    scale: float | None = None,
    *,
    mask: Tensor | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """
    ``prompted_attention(q, k, v, prompt, scale)`` at the price of plain attention.

    Forward and backward are one fused attention call each and no tokens-by-tokens matrix is built. Where PyTorch has
    no fused kernel for the inputs (a mask, dropout on a CPU, tracing for export), the definition runs, with
    ``logsumexp(prompt)`` as its only column.

    Args:
        q: queries, ``(batch, heads, tokens, head_dim)``.
        k: keys, of the same shape.
        v: values, of the same shape.
        prompt: prompt logits that broadcast to ``(batch, heads, tokens, length)``.
        scale: factor of the scores, ``head_dim ** -0.5`` by default.
        mask: boolean or additive mask of the scores.
        dropout: probability of dropping an attention weight; 0 outside training.

    Returns:
        the attention output, shaped like ``v``.
    """
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    device = q.device.type
    if torch.is_autocast_enabled(device):
        # What F.scaled_dot_product_attention does by itself; q and k may come as fp32 from a norm.
        dtype = torch.get_autocast_dtype(device)
        if not q.dtype == k.dtype == v.dtype == dtype:
            q, k, v = q.to(dtype), k.to(dtype), v.to(dtype)
    kernel = fused_kernel(q, k, v, mask, dropout)
    if kernel is None:
        return prompted_attention(q, k, v, sink_of(prompt).unsqueeze(-1), scale, mask=mask, dropout=dropout)
    width = q.shape[-1]
    if kernel == "flash" and width % 8:
        # CUDA's flash kernel wants head sizes in steps of eight; zeros change neither scores nor outputs.
        q, k, v = (F.pad(t, (0, -width % 8)) for t in (q, k, v))
    if torch.is_grad_enabled():
        out = _ConcatAttention.apply(q, k, v, prompt, scale, dropout, kernel)
    else:
        out, lse, _, _ = fused_attention(kernel, q, k, v, dropout, scale)
        gate_(out, lse, prompt)
    return out if out.shape[-1] == width else out[..., :width]


def sink_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    sink: Tensor,
    scale: float | None = None,
    *,
    mask: Tensor | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """
    Attention in which every token may also look at nothing: all that ``concat`` prompts do.

    Equal to ``prompted_attention(q, k, v, prompt, scale)`` for ``sink = logsumexp(prompt, -1)``.

    Args:
        q: queries, ``(batch, heads, tokens, head_dim)``.
        k: keys, of the same shape.
        v: values, of the same shape.
        sink: score of the "nothing", broadcasts to ``(batch, heads, tokens)``: per token, per head or per image.
        scale: factor of the scores, ``head_dim ** -0.5`` by default.
        mask: boolean or additive mask of the scores.
        dropout: probability of dropping an attention weight; 0 outside training.

    Returns:
        the attention output, shaped like ``v``.

    Example::

        >>> q, k, v = torch.randn(3, 2, 4, 197, 64)
        >>> prompt = torch.randn(197, 100)
        >>> fused = sink_attention(q, k, v, prompt.logsumexp(-1))
        >>> torch.allclose(fused, prompted_attention(q, k, v, prompt), atol=1e-5)
        True
    """
    return concat_attention(q, k, v, sink.unsqueeze(-1), scale, mask=mask, dropout=dropout)


class _ConcatAttention(torch.autograd.Function):
    """Fused attention, gated per token.

    The backward kernel of flash attention rebuilds the weights as ``exp(S - lse)`` and takes ``rowsum(dY · Y)`` from
    the output. Handed the raised ``lse'`` and the gated output, it therefore rebuilds the *prompted* weights and
    returns their exact gradients: the prompt costs nothing there.
    """

    @staticmethod
    def forward(ctx, q, k, v, prompt, scale, dropout, kernel):
        out, lse, seed, offset = fused_attention(kernel, q, k, v, dropout, scale)
        raised, *kept = gate_(out, lse, prompt, for_backward=True)
        ctx.save_for_backward(q, k, v, prompt, out, raised, seed, offset, *kept)
        ctx.settings = kernel, dropout, scale
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        q, k, v, prompt, out, raised, seed, offset, *kept = ctx.saved_tensors
        kernel, dropout, scale = ctx.settings
        grads: Sequence[Tensor | None] = (None, None, None)
        if any(ctx.needs_input_grad[:3]):
            grads = fused_attention_gradients(kernel, grad, q, k, v, out, raised, seed, offset, dropout, scale)
        grad_prompt = prompt_gradient(grad, out, raised, prompt, kept) if ctx.needs_input_grad[3] else None
        return *grads, grad_prompt, None, None, None
