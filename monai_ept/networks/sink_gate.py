# SPDX-License-Identifier: Apache-2.0

"""What a ``concat`` prompt does to the output of plain attention, and what comes back from there to the prompt.

A prompt acts through ``sink = logsumexp(prompt)`` alone: it raises a token's ``lse`` to ``lse' = logaddexp(lse, sink)``
and multiplies the token's output by the gate ``exp(lse - lse') = sigmoid(lse - sink)``. Here these few formulas are
written down. On a card, where each of their operations would be a launch of its own, ``sink_gate_triton`` has them in
one kernel for each direction.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import torch
from torch import Tensor

__all__ = ["gate_", "prompt_gradient", "sink_of"]


def sink_of(prompt: Tensor) -> Tensor:
    """``logsumexp`` of each row of a prompt; a row of one logit, as folded prompts have them, is its own."""
    if prompt.shape[-1] == 1:
        return prompt.squeeze(-1)
    return prompt.float().logsumexp(-1) if prompt.dtype.itemsize < 4 else prompt.logsumexp(-1)


def gate_(out: Tensor, lse: Tensor, prompt: Tensor, *, for_backward: bool = False) -> tuple[Tensor, ...]:
    """
    Take the prompt's share out of the output of plain attention, in place.

    Args:
        out: plain attention's output ``(batch, heads, tokens, head_dim)``.
        lse: ``logsumexp`` of its scores ``(batch, heads, tokens)``, or as a fused kernel pads it.
        prompt: prompt logits that broadcast to ``(batch, heads, tokens, length)``.
        for_backward: also raise ``lse`` to that of the prompted scores, which may be done in place.

    Returns:
        when ``for_backward``, the raised ``lse``, padded as it was, and then what ``prompt_gradient`` asks for beside
        it; else nothing.
    """
    kernels = _kernels(out, prompt)
    if kernels is not None:
        return kernels.gate_(out, lse, prompt, for_backward)
    level, sink = _unpadded(lse, out), sink_of(prompt)
    c = sink.to(level.dtype)
    lost = torch.sigmoid(c - level)  # 1 - gate, which may be tiny, without cancellation
    out.addcmul_(out, lost.unsqueeze(-1), value=-1)
    if not for_backward:
        return ()
    raised = torch.logaddexp(level, c)
    if level is not lse:
        level.copy_(raised)
        raised = lse
    return raised, lost, sink


def prompt_gradient(grad: Tensor, out: Tensor, raised: Tensor, prompt: Tensor, kept: Sequence[Tensor]) -> Tensor:
    """
    The gradient of a prompt: ``-softmax(prompt) · Σ (1 - gate) · rowsum(grad · out)``, summed over who shares a row.

    Args:
        grad: gradient of the gated output.
        out: the gated output.
        raised: the raised ``lse``, padded or not.
        prompt: prompt logits.
        kept: what ``gate_`` has returned after ``raised``.
    """
    kernels = _kernels(out, prompt)
    if kernels is not None:
        return kernels.prompt_gradient(grad, out, raised, prompt, kept)
    lost, sink = kept
    flow = (grad.to(lost.dtype) * out).mul_(lost.unsqueeze(-1)).sum_to_size(*prompt.shape[:-1], 1)
    if prompt.shape[-1] == 1:
        return flow.neg().to(prompt.dtype)
    # -flow · softmax(prompt): where x <= 0, as here, the gradient of -elu(x) is its product with -exp(x), all in one.
    return torch.ops.aten.elu_backward(flow, 1, -1, 1, False, prompt - sink.unsqueeze(-1)).to(prompt.dtype)


def _unpadded(lse: Tensor, out: Tensor) -> Tensor:
    """cuDNN keeps a last axis of one; the memory-efficient kernel fills up the tokens to whole tiles."""
    tokens = out.shape[2]
    if lse.dim() == 4:
        lse = lse.squeeze(-1)
    return lse if lse.shape[-1] == tokens else lse[..., :tokens]


def _kernels(out: Tensor, prompt: Tensor) -> ModuleType | None:
    """The kernels of ``sink_gate_triton`` where they apply: a row of logits for each token, on a card, run eagerly.

    A compiler fuses the formulas by itself; a tensor of another class may be a stand-in without memory.
    """
    if not out.is_cuda or torch.compiler.is_compiling() or type(out) is not Tensor:
        return None
    suits = prompt.dim() == 2 and prompt.shape[0] == out.shape[2] and prompt.is_contiguous() and out.stride(-1) == 1
    return _load_kernels() if suits else None


@cache
def _load_kernels() -> ModuleType | None:
    """Triton needs a C compiler at its first launch, which not every machine has: so one launch is tried."""
    if not find_spec("triton"):
        return None
    kernels = import_module("monai_ept.networks.sink_gate_triton")
    out, lse, prompt = (torch.zeros(shape, device="cuda") for shape in ((1, 1, 1, 16), (1, 1, 1), (1, 1)))
    try:
        kernels.gate_(out, lse, prompt, False)
    except Exception as error:  # whatever a compiler says: the formulas give the same result
        warnings.warn(f"prompts run without their Triton kernel, a little slower: {error}", stacklevel=2)
        return None
    return kernels
