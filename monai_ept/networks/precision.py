# SPDX-License-Identifier: Apache-2.0

"""Mixed precision: what MONAI's engines are told, and half precision on a CPU that has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from monai_ept.checks import check_choice
from monai_ept.networks.fused_attention import FEW_TOKENS
from monai_ept.networks.unwrap_network import unwrap

__all__ = ["PRECISIONS", "amp_settings", "at_precision", "autocast"]

PRECISIONS = ("auto", "bfloat16", "float16", "off")


def amp_settings(device: str | torch.device, precision: str = "auto") -> dict[str, Any]:
    """
    Mixed precision as MONAI's engines take it: ``SupervisedTrainer(..., **amp_settings(device))``.

    What is trained stays float32 always; only the computation is done in half precision. On a CPU nothing is, since
    results there must not change by a bit.

    Args:
        device: where training runs.
        precision: "auto" takes bfloat16 on a CUDA card that has it and float16 on one that has not; "bfloat16",
            "float16" or "off" decide by name.

    Raises:
        ValueError: for an unknown precision, or half precision by name on a device other than CUDA.

    Returns:
        ``{"amp": bool, "amp_kwargs": dict}``.
    """
    check_choice("amp", precision, PRECISIONS)
    kind = torch.device(device).type
    if precision in ("bfloat16", "float16") and kind != "cuda":
        raise ValueError(f"amp {precision!r} is for CUDA cards and the device is {kind!r}: leave amp at 'auto'.")
    if precision == "off" or kind != "cuda":
        return {"amp": False, "amp_kwargs": {}}
    if precision == "auto":
        # Not is_bf16_supported(), which counts cards that emulate it slowly.
        precision = "bfloat16" if torch.cuda.get_device_capability(torch.device(device))[0] >= 8 else "float16"
    return {"amp": True, "amp_kwargs": {"dtype": getattr(torch, precision)}}


def at_precision(network: nn.Module, device: str | torch.device, precision: str) -> tuple[nn.Module, dict[str, Any]]:
    """
    A network and ``amp_settings`` for an engine that computes at a precision, which may be bfloat16 on a CPU too.

    In bfloat16 the network opens autocast by itself: MONAI's engines do so for CUDA only, and beside a scaler of
    gradients, which float16 needs, and for which the processor waits in each step until the card has come there.

    Args:
        network: what the engine calls.
        device: where it runs.
        precision: as in ``amp_settings``, and "bfloat16" on a CPU: faster if it has instructions for it
            (``avx512_bf16`` or ``amx_bf16`` in Linux's ``/proc/cpuinfo``), slower if it has not.
    """
    kind = torch.device(device).type
    on_cpu = kind == "cpu" and precision == "bfloat16"
    settings = amp_settings(device, "off" if on_cpu else precision)
    if on_cpu or settings["amp_kwargs"].get("dtype") == torch.bfloat16:
        return _InBfloat16(network, kind), amp_settings(device, "off")
    return network, settings


def autocast(device: str | torch.device, precision: str) -> torch.autocast:
    """The context of ``at_precision`` for whoever computes without an engine."""
    kind = torch.device(device).type
    if kind == "cpu":
        return torch.autocast(kind, torch.bfloat16, enabled=precision == "bfloat16")
    settings = amp_settings(device, precision)
    return torch.autocast(kind, enabled=settings["amp"], **settings["amp_kwargs"])


class _InBfloat16(nn.Module):
    """
    A network computed in bfloat16.

    Args:
        network: what is computed; its parameters stay float32, and so does what it returns.
        kind: of the device, "cpu" or "cuda".
    """

    def __init__(self, network: nn.Module, kind: str) -> None:
        super().__init__()
        self.network = network
        self.kind = kind

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        attention = _attention_for_steps(self.network) if self.kind == "cpu" else nullcontext()
        with torch.autocast(self.kind, torch.bfloat16), attention:
            return self.network(*args, **kwargs).float()


def _trains(module: nn.Module) -> bool:
    return any(param.requires_grad for param in module.parameters())


@contextmanager
def _attention_for_steps(network: nn.Module) -> Iterator[None]:
    """Where gradients pass it, attention without PyTorch's kernel, which takes several times as long backwards."""
    vit = getattr(unwrap(network), "vit", None)
    if not torch.is_grad_enabled() or vit is None or vit.num_patches > FEW_TOKENS or not _trains(vit.module):
        yield
        return
    allowed = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)  # or it would compute in float32; not CUDA's alone
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(allowed)
