# SPDX-License-Identifier: Apache-2.0

"""What lies on both sides of the softmax in each attention class that we support.

A prompt only concerns the softmax. Everything else that an attention module does (projections, norms, rotary
embeddings, gates, dropout of the output) stays that module's own business; here stands, once per class, how to run
its first half and its second half.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from monai.networks.blocks.selfattention import SABlock
from timm.layers.attention import Attention, AttentionRope, apply_rot_embed_cat
from timm.models.eva import EvaAttention
from torch import Tensor, nn
from torch.nn import functional as F

from monai_ept.networks.tuner import innermost

__all__ = [
    "AttentionHalves",
    "Heads",
    "Projection",
    "attention_halves",
    "attention_projections",
    "calls_its_projections",
    "register_attention",
    "supported_attention",
]


class Heads(NamedTuple):
    """What an attention module hands to the softmax, and the terms on which it does."""

    q: Tensor
    k: Tensor
    v: Tensor
    scale: float
    dropout: float = 0.0
    mask: Tensor | None = None


class AttentionHalves(NamedTuple):
    """The two halves of an attention module around its softmax.

    Args:
        before: ``before(attn, x, **arguments of its forward)`` gives the ``Heads``.
        after: ``after(attn, heads_out, x)`` takes the output ``(batch, heads, tokens, head_dim)`` to the module's
            own output; ``x`` is the module's input.
    """

    before: Callable[..., Heads]
    after: Callable[[nn.Module, Tensor, Tensor], Tensor]


_HALVES: dict[type[nn.Module], AttentionHalves] = {}


def register_attention(cls: type[nn.Module], before: Callable[..., Heads], after: Callable[..., Tensor]) -> None:
    """
    Teach every method that works inside the attention to work with a class of your own.

    Args:
        cls: the attention class.
        before: from the module and its input to ``Heads``, see ``AttentionHalves``.
        after: from the heads' output back to the module's output.

    Example::

        >>> class MyAttention(Attention):
        ...     def forward(self, x, attn_mask=None, is_causal=False):
        ...         return super().forward(x, attn_mask, is_causal)
        >>> register_attention(MyAttention, *attention_halves(Attention(64)))
    """
    _HALVES[cls] = AttentionHalves(before, after)


def supported_attention() -> list[str]:
    """Names of the attention classes that can be prompted."""
    return [f"{cls.__module__}.{cls.__qualname__}" for cls in _HALVES]


def attention_halves(attn: nn.Module) -> AttentionHalves:
    """
    The two halves of an attention module.

    A subclass is taken for its parent only while it keeps the parent's ``forward``: another forward may do anything.

    Raises:
        TypeError: when the class is not supported.
    """
    for cls in type(attn).__mro__:
        if cls in _HALVES and type(attn).forward is cls.forward:
            return _HALVES[cls]
    name = f"{type(attn).__module__}.{type(attn).__qualname__}"
    raise TypeError(
        f"attention class {name} is not supported: supported are {', '.join(supported_attention())}; "
        "monai_ept.networks.register_attention(cls, before, after) adds another."
    )


class Projection(NamedTuple):
    """Where an attention module keeps one of its linear maps.

    Args:
        name: attribute of the module that holds the linear layer.
        rows: the rows of its weight, and entries of its output, that belong to this map.
    """

    name: str
    rows: slice


def attention_projections(attn: Any) -> dict[str, Projection]:
    """
    Where the maps ``"q"``, ``"k"``, ``"v"`` and ``"proj"`` (of the output) of an attention module are.

    In a fused projection q, k and v stand one after another, as in every class supported here.

    Raises:
        TypeError: when the class is not supported.
    """
    attention_halves(attn)
    found = {}
    fused = _linear(attn, "qkv")
    if fused is not None:
        width = fused.out_features // 3
        found = {part: Projection("qkv", slice(i * width, (i + 1) * width)) for i, part in enumerate("qkv")}
    separate = {part: (f"{part}_proj", f"to_{part}") for part in "qkv"}
    for part, names in {**separate, "proj": ("proj", "out_proj")}.items():
        for name in names:
            linear = _linear(attn, name)
            if linear is not None:
                found[part] = Projection(name, slice(0, linear.out_features))
    return found


def _linear(attn: Any, name: str) -> nn.Linear | None:
    module = innermost(getattr(attn, name, None))
    return module if isinstance(module, nn.Linear) else None


def calls_its_projections(attn: Any) -> bool:
    """Whether a module's forward calls the modules of its projections, rather than reading their weights."""
    fused_bias = isinstance(attn, EvaAttention) and attn.qkv is not None and attn.q_bias is not None
    return not fused_bias or attn.qkv_bias_separate


def _dropout(attn) -> float:
    return attn.attn_drop.p if attn.training else 0.0


def _mask(tokens: int, x: Tensor, attn_mask: Tensor | None, is_causal: bool) -> Tensor | None:
    if is_causal:
        return torch.ones(tokens, tokens, dtype=torch.bool, device=x.device).tril()
    return attn_mask


def _split_qkv(qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    qkv = qkv.reshape(*qkv.shape[:2], 3, heads, -1)
    if not (torch.is_grad_enabled() or torch.jit.is_tracing()):  # a trace is compared between the two modes
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        return q, k, v
    # Unbound where they stand, their gradients are stacked back in that order, and no copy has to reorder them.
    q, k, v = qkv.unbind(2)
    return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)


def _applied(module: nn.Module, x: Tensor) -> Tensor:
    """Most models have an ``Identity`` for each norm that others have: there is nothing to call."""
    return x if type(module) is nn.Identity else module(x)


def _split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _timm_after(attn, out: Tensor, x: Tensor) -> Tensor:
    out = _applied(attn.norm, out.transpose(1, 2).flatten(2))
    if getattr(attn, "gate", None) is not None:
        out = out * attn.gate(x).sigmoid()
    return attn.proj_drop(attn.proj(out))


def _timm_before(attn, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Heads:
    q, k, v = _split_qkv(attn.qkv(x), attn.num_heads)
    mask = _mask(x.shape[1], x, attn_mask, is_causal)
    return Heads(_applied(attn.q_norm, q), _applied(attn.k_norm, k), v, attn.scale, _dropout(attn), mask)


def _rotate(attn, x: Tensor, rope: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Rotary embeddings for the patch tokens; prefix tokens have no place to rotate by."""
    if rope is None:
        return x
    prefix = attn.num_prefix_tokens
    patches = apply_rot_embed_cat(x[:, :, prefix:], rope, half=getattr(attn, "rotate_half", False))
    return torch.cat([x[:, :, :prefix], patches], dim=2).to(dtype)


def _eva_qkv(attn, x: Tensor) -> Tensor:
    # EVA keeps the biases of q and v apart from its fused projection, and has none for k.
    if getattr(attn, "q_bias", None) is None:
        return attn.qkv(x)
    bias = torch.cat((attn.q_bias, attn.k_bias, attn.v_bias))
    # A wrapped projection must be called; its weight alone would be the backbone's.
    if attn.qkv_bias_separate or not isinstance(attn.qkv, nn.Linear):
        return attn.qkv(x) + bias
    return F.linear(x, attn.qkv.weight, bias)


def _rope_before(
    attn, x: Tensor, rope: Tensor | None = None, attn_mask: Tensor | None = None, is_causal: bool = False
) -> Heads:
    if attn.qkv is not None:
        q, k, v = _split_qkv(_eva_qkv(attn, x), attn.num_heads)
    else:
        kv_heads = getattr(attn, "num_kv_heads", attn.num_heads)
        q = _split(attn.q_proj(x), attn.num_heads)
        k, v = _split(attn.k_proj(x), kv_heads), _split(attn.v_proj(x), kv_heads)
    q = _rotate(attn, attn.q_norm(q), rope, v.dtype)
    k = _rotate(attn, attn.k_norm(k), rope, v.dtype)
    groups = q.shape[1] // k.shape[1]
    if groups > 1:
        k, v = (t.repeat_interleave(groups, dim=1) for t in (k, v))
    return Heads(q, k, v, attn.scale, _dropout(attn), _mask(x.shape[1], x, attn_mask, is_causal))


def _monai_before(attn: SABlock, x: Tensor, attn_mask: Tensor | None = None) -> Heads:
    if attn.rel_positional_embedding is not None:
        raise TypeError(
            "SABlock with rel_pos_embedding is not supported: its scores depend on more than q and k; "
            "build the ViT without relative position embeddings."
        )
    if attn.use_combined_linear:
        q, k, v = _split_qkv(attn.qkv(x), attn.num_heads)
    else:
        q, k, v = (_split(project(x), attn.num_heads) for project in (attn.to_q, attn.to_k, attn.to_v))
    if attn.attention_dtype is not None:
        q, k = q.to(attn.attention_dtype), k.to(attn.attention_dtype)
    if attn_mask is not None:
        attn_mask = attn_mask[:, None, None, :].bool()  # MONAI masks keys: one flag per image and token
    mask = _mask(x.shape[1], x, attn_mask, attn.causal)
    return Heads(q, k, v, attn.scale, attn.dropout_rate if attn.training else 0.0, mask)


def _monai_after(attn: SABlock, out: Tensor, x: Tensor) -> Tensor:
    return attn.drop_output(attn.out_proj(out.transpose(1, 2).flatten(2)))


register_attention(Attention, _timm_before, _timm_after)
register_attention(AttentionRope, _rope_before, _timm_after)
register_attention(EvaAttention, _rope_before, _timm_after)
register_attention(SABlock, _monai_before, _monai_after)
