# SPDX-License-Identifier: Apache-2.0

"""PyTorch's fused attention kernels, called so that they also return the ``logsumexp`` of each row of scores."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["FEW_TOKENS", "fused_attention", "fused_attention_gradients", "fused_kernel"]

FEW_TOKENS = 1024
"""Up to so many, scores stay in a CPU's cache, where in bfloat16 plain attention is faster than PyTorch's kernel."""

_CUDA_KERNELS = {1: "flash", 2: "efficient", 3: "cudnn"}  # the numbers of torch.nn.attention.SDPBackend


def fused_kernel(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float) -> str | None:
    """The fused kernel that PyTorch itself would take for these inputs, or None where only the definition works."""
    exporting = torch.jit.is_tracing() or torch.compiler.is_exporting()
    if exporting or mask is not None or not q.dtype == k.dtype == v.dtype:
        return None
    if torch.compiler.is_compiling():
        choice = _choice_while_compiling(device=q.device, dtype=q.dtype, head_dim=q.shape[-1], dropout=dropout)
    else:
        choice = torch._fused_sdp_choice(q, k, v, None, dropout, False)
    if q.is_cuda:
        return _CUDA_KERNELS.get(choice)
    if q.device.type == "cpu":
        faster = q.dtype == torch.bfloat16 and k.shape[-2] <= FEW_TOKENS
        return "flash_cpu" if choice == 1 and not faster else None
    return None


@torch.compiler.assume_constant_result
def _choice_while_compiling(device: torch.device, dtype: torch.dtype, head_dim: int, dropout: float) -> int:
    """The same question asked with a stand-in, since a compiler has no tensors to ask it with."""
    stand_in = torch.empty(1, 1, 64, head_dim, device=device, dtype=dtype, requires_grad=True)
    return torch._fused_sdp_choice(stand_in, stand_in, stand_in, None, dropout, False)


def fused_attention(
    kernel: str, q: Tensor, k: Tensor, v: Tensor, dropout: float, scale: float
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """
    Attention by one fused kernel.

    Args:
        kernel: which one, see ``fused_kernel``.
        q: queries, ``(batch, heads, tokens, head_dim)``.
        k: keys, of the same shape.
        v: values, of the same shape.
        dropout: probability of dropping an attention weight.
        scale: factor of the scores.

    Returns:
        the output; the ``logsumexp`` of the scores, which some kernels pad with further tokens or a last axis of one;
        and the state of the random numbers for the backward call, in two parts.
    """
    ops = torch.ops.aten
    if kernel == "flash_cpu":
        out, lse = ops._scaled_dot_product_flash_attention_for_cpu.default(q, k, v, dropout, False, scale=scale)
        return out, lse, None, None
    if kernel == "efficient":
        return ops._scaled_dot_product_efficient_attention.default(q, k, v, None, True, dropout, False, scale=scale)
    if kernel == "cudnn":
        out, lse, _, _, _, _, seed, offset, _ = ops._scaled_dot_product_cudnn_attention.default(
            q, k, v, None, True, dropout, False, False, scale=scale
        )
    else:
        out, lse, _, _, _, _, seed, offset, _ = ops._scaled_dot_product_flash_attention.default(
            q, k, v, dropout, False, False, scale=scale
        )
    return out, lse, seed, offset


def fused_attention_gradients(
    kernel: str, grad: Tensor, q, k, v, out: Tensor, lse: Tensor, seed, offset, dropout: float, scale: float
) -> Sequence[Tensor]:
    """Gradients of q, k and v, from the gradient of the output and what ``fused_attention`` took and gave."""
    ops = torch.ops.aten
    if kernel == "flash_cpu":
        return ops._scaled_dot_product_flash_attention_for_cpu_backward.default(
            grad, q, k, v, out, lse, dropout, False, scale=scale
        )
    if kernel == "efficient":
        wanted = [True, True, True, False]
        return ops._scaled_dot_product_efficient_attention_backward.default(
            grad, q, k, v, None, out, lse, seed, offset, dropout, wanted, False, scale=scale
        )[:3]
    tokens, keys = q.shape[2], k.shape[2]
    if kernel == "cudnn":
        return ops._scaled_dot_product_cudnn_attention_backward.default(
            grad, q, k, v, out, lse, seed, offset, None, None, None, tokens, keys, dropout, False, scale=scale
        )
    return ops._scaled_dot_product_flash_attention_backward.default(
        grad, q, k, v, out, lse, None, None, tokens, keys, dropout, False, seed, offset, scale=scale
    )
