# SPDX-License-Identifier: Apache-2.0

"""The formulas of ``sink_gate`` as Triton kernels, for a prompt ``(tokens, length)`` that images and heads share.

Batch and heads are one axis of *planes*. A program takes a block of tokens and goes through a group of planes, so that
the ``logsumexp`` of the prompt's rows is computed once for the group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["gate_", "prompt_gradient"]

_TOKENS = 32  # tokens of a program
_COLUMNS = 64  # logits that are read at a time
_GROUPS = 256  # groups of planes, at most twice as many: enough programs for a large card, few sums for the gradient
_ONE_GROUP = 96  # planes that a program goes through sooner than another kernel is launched


@triton.jit
def _rows_logsumexp(prompt, rows, inside, length: tl.constexpr, COLUMNS: tl.constexpr):
    if length == 1:
        return tl.load(prompt + rows, mask=inside, other=0.0).to(tl.float32)
    top = tl.full(rows.shape, float("-inf"), tl.float32)
    total = tl.zeros(rows.shape, tl.float32)
    for start in range(0, length, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        within = inside[:, None] & (columns < length)[None, :]
        logits = tl.load(prompt + rows[:, None] * length + columns[None, :], mask=within, other=float("-inf"))
        logits = logits.to(tl.float32)
        higher = tl.maximum(top, tl.max(logits, 1))
        level = tl.where(higher == float("-inf"), 0.0, higher)
        total = total * tl.exp(top - level) + tl.sum(tl.exp(logits - level[:, None]), 1)
        top = higher
    return top + tl.log(total)


@triton.jit
def _gate_kernel(
    out, lse, prompt, sink, out_image, out_head, out_token, lse_plane, planes, heads, tokens, width, group,
    length: tl.constexpr, TOKENS: tl.constexpr, WIDTH: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    first = tl.program_id(0).to(tl.int64) * group
    rows = tl.program_id(1) * TOKENS + tl.arange(0, TOKENS)
    channels = tl.arange(0, WIDTH)
    inside = rows < tokens
    across = (channels < width)[None, :]
    c = _rows_logsumexp(prompt, rows, inside, length, COLUMNS)
    if sink is not None:
        tl.store(sink + rows, c, mask=inside & (first == 0))
    for step in range(group):
        plane = first + step
        valid = inside & (plane < planes)
        cells = valid[:, None] & across
        image, head = plane // heads, plane % heads
        scores = lse + plane * lse_plane + rows
        block = out + image * out_image + head * out_head + rows[:, None] * out_token + channels[None, :]
        level = tl.load(scores, mask=valid, other=0.0)
        y = tl.load(block, mask=cells, other=0.0)
        gate = 1 / (1 + tl.exp(c - level))
        tl.store(block, (y.to(tl.float32) * gate[:, None]).to(y.dtype), mask=cells)
        if sink is not None:
            raised = tl.maximum(level, c) + tl.log(1 + tl.exp(-tl.abs(level - c)))
            tl.store(scores, raised, mask=valid)


@triton.jit
def _store_gradient(
    grad, total, prompt, c, rows, inside, length: tl.constexpr, TOKENS: tl.constexpr, COLUMNS: tl.constexpr
):
    if length == 1:
        tl.store(grad + rows, total, mask=inside)
    else:
        for start in range(0, length, COLUMNS):
            columns = start + tl.arange(0, COLUMNS)
            within = inside[:, None] & (columns < length)[None, :]
            cells = rows[:, None] * length + columns[None, :]
            share = tl.exp(tl.load(prompt + cells, mask=within, other=0.0).to(tl.float32) - c[:, None])
            tl.store(grad + cells, total[:, None] * share, mask=within)


@triton.jit
def _flow_kernel(
    grad, out, raised, sink, prompt, flow, grad_image, grad_head, grad_token, out_image, out_head, out_token,
    raised_plane, planes, heads, tokens, width, group, groups: tl.constexpr, length: tl.constexpr,
    TOKENS: tl.constexpr, WIDTH: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    first = tl.program_id(0).to(tl.int64) * group
    rows = tl.program_id(1) * TOKENS + tl.arange(0, TOKENS)
    channels = tl.arange(0, WIDTH)
    inside = rows < tokens
    across = (channels < width)[None, :]
    c = tl.load(sink + rows, mask=inside, other=0.0)
    total = tl.zeros([TOKENS], tl.float32)
    for step in range(group):
        plane = first + step
        valid = inside & (plane < planes)
        cells = valid[:, None] & across
        image, head = plane // heads, plane % heads
        lost = tl.exp(c - tl.load(raised + plane * raised_plane + rows, mask=valid, other=float("inf")))
        y = out + image * out_image + head * out_head + rows[:, None] * out_token + channels[None, :]
        dy = grad + image * grad_image + head * grad_head + rows[:, None] * grad_token + channels[None, :]
        y = tl.load(y, mask=cells, other=0.0).to(tl.float32)
        dy = tl.load(dy, mask=cells, other=0.0).to(tl.float32)
        total -= lost * tl.sum(y * dy, 1)
    if groups == 1:
        _store_gradient(flow, total, prompt, c, rows, inside, length, TOKENS, COLUMNS)
    else:
        tl.store(flow + tl.program_id(0) * tokens + rows, total, mask=inside)


@triton.jit
def _softmax_kernel(
    flow, prompt, sink, grad, groups, tokens, length: tl.constexpr, TOKENS: tl.constexpr, COLUMNS: tl.constexpr
):
    rows = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    inside = rows < tokens
    total = tl.zeros([TOKENS], tl.float32)
    for start in range(0, groups, COLUMNS):
        group = start + tl.arange(0, COLUMNS)
        within = (group < groups)[:, None] & inside[None, :]
        total += tl.sum(tl.load(flow + group[:, None] * tokens + rows[None, :], mask=within, other=0.0), 0)
    c = tl.load(sink + rows, mask=inside, other=0.0)
    _store_gradient(grad, total, prompt, c, rows, inside, length, TOKENS, COLUMNS)


class _Launcher:
    """Starts a kernel, and skips Triton's look at the arguments where sizes, types and alignment are as before.

    That look takes as long as the launch itself, and a small batch waits for nothing but launches.
    """

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.compiled: dict[tuple, Any] = {}

    def __call__(self, grid: tuple[int, int, int], tensors: tuple[Any, ...], sizes: tuple[int, ...]) -> None:
        first = tensors[0]
        assert first is not None
        device = first.get_device()
        key = (device, sizes, *((t.dtype, t.data_ptr() % 16) for t in tensors if t is not None))
        launch = self.compiled.get(key)
        if launch is None:
            with torch.cuda.device_of(first):
                # Triton's interpreter returns no compiled kernel: then every launch goes this way.
                self.compiled[key] = self.kernel[grid](*tensors, *sizes)
        elif device == torch.cuda.current_device():
            launch[grid](*tensors, *sizes)
        else:
            with torch.cuda.device_of(first):
                launch[grid](*tensors, *sizes)


_gate, _flow, _softmax = _Launcher(_gate_kernel), _Launcher(_flow_kernel), _Launcher(_softmax_kernel)


def _blocks(tokens: int) -> int:
    return -(-tokens // _TOKENS)


def _power_of_two(width: int) -> int:
    return 1 << (width - 1).bit_length()


def gate_(out: Tensor, lse: Tensor, prompt: Tensor, for_backward: bool) -> tuple[Tensor, ...]:
    """``sink_gate.gate_`` in one launch."""
    batch, heads, tokens, width = out.shape
    planes = batch * heads
    group = max(1, planes // _GROUPS)
    sink = torch.empty(tokens, device=out.device) if for_backward else None
    sizes = (*out.stride()[:3], lse.stride(1), planes, heads, tokens, width, group, prompt.shape[1])
    sizes = (*sizes, _TOKENS, _power_of_two(width), _COLUMNS)
    _gate((-(-planes // group), _blocks(tokens), 1), (out, lse, prompt, sink), sizes)
    return () if sink is None else (lse, sink)


def prompt_gradient(grad: Tensor, out: Tensor, raised: Tensor, prompt: Tensor, kept: Sequence[Tensor]) -> Tensor:
    """``sink_gate.prompt_gradient``: sums over each group of planes, then, if there are several, over the groups."""
    (sink,) = kept
    batch, heads, tokens, width = out.shape
    length = prompt.shape[1]
    planes = batch * heads
    # Few planes are one group, so that the first kernel can write the gradient itself.
    group = planes if planes <= _ONE_GROUP else max(1, planes // _GROUPS)
    groups = -(-planes // group)
    if grad.stride(-1) != 1:
        grad = grad.contiguous()
    grad_prompt = torch.empty_like(prompt)
    flow = grad_prompt if groups == 1 else torch.empty(groups, tokens, device=out.device)
    blocks = _blocks(tokens)
    sizes = (*grad.stride()[:3], *out.stride()[:3], raised.stride(1), planes, heads, tokens, width, group, groups)
    sizes = (*sizes, length, _TOKENS, _power_of_two(width), _COLUMNS)
    _flow((groups, blocks, 1), (grad, out, raised, sink, prompt, flow), sizes)
    if groups > 1:
        _softmax((blocks, 1, 1), (flow, prompt, sink, grad_prompt), (groups, tokens, length, _TOKENS, _COLUMNS))
    return grad_prompt
