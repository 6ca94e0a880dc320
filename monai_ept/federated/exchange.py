# SPDX-License-Identifier: Apache-2.0

"""What travels between a hospital and the server of a federation: what the method trains, and the head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from monai_ept.model import TunedViT
from monai_ept.networks.embedded_prompt import EmbeddedPrompt

__all__ = ["check_plain", "put_trained", "trained_tensors"]


def trained_tensors(net: TunedViT) -> dict[str, Tensor]:
    """
    What a round exchanges: the tensors of the delta file, and of a ``"concat"`` prompt only what it does.

    A hundred logits of a token act through their ``logsumexp`` alone, see ``EmbeddedPrompt.sink``: one number travels.

    Args:
        net: the network.

    Example::

        >>> net = TunedViT("embedded", num_classes=7, method="ept", prompt_length=100)
        >>> sum(tensor.numel() for tensor in trained_tensors(net).values()), net.count().trained
        (2587, 80599)
    """
    prompts = _prompts(net)
    return {
        name: (prompts[name].sink.unsqueeze(-1) if name in prompts else tensor).detach().cpu().clone()
        for name, tensor in net.delta_tensors().items()
    }


def put_trained(net: TunedViT, tensors: Mapping[str, Any]) -> None:
    """
    Let a network take over what has come from elsewhere. Everything is checked before anything changes.

    Args:
        net: the network.
        tensors: as ``trained_tensors`` gives them, of a network of the same kind; arrays are taken too.

    Raises:
        ValueError: when it is not exactly what this network trains: frozen weights have no business here.
    """
    own = trained_tensors(net)
    frozen = sorted((tensors.keys() & net.state_dict().keys()) - own.keys())
    if frozen:
        raise ValueError(
            f"{frozen[0]!r} and {len(frozen) - 1} more weights of the frozen backbone have come: only what method "
            f"{net.method_name} trains is exchanged, send trained_tensors(net)."
        )
    if odd := sorted(tensors.keys() ^ own.keys()):
        raise ValueError(
            f"what has come is not what this network trains: {odd[0]!r} is on one side only. All sides need the same "
            "backbone, method, readout and classes."
        )
    values = {name: torch.as_tensor(value) for name, value in tensors.items()}
    for name, value in values.items():
        if value.shape != own[name].shape:
            raise ValueError(
                f"{name!r} has come with shape {tuple(value.shape)}, this network has {tuple(own[name].shape)}: all "
                "sides need the same backbone, method, readout and classes."
            )
        if not torch.isfinite(value).all():
            raise ValueError(f"{name!r} has come with NaN or infinite values: a training somewhere has failed.")
    prompts, targets = _prompts(net), net.delta_tensors()
    with torch.no_grad():
        for name, value in values.items():
            if name in prompts:
                prompts[name].shift_to(value.to(own[name].dtype))
            else:
                targets[name].copy_(value)


def check_plain(settings: Any) -> None:
    """
    Refuse settings that say more than values: MONAI's configurations execute what begins with a dollar sign.

    Raises:
        ValueError: when there is an expression, a class to call, or another file to read in them.
    """
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            if "_target_" in str(key):
                raise ValueError(f"a setting has come that calls {value!r}: only plain values may come from elsewhere.")
            check_plain(value)
    elif isinstance(settings, (list, tuple)):
        for value in settings:
            check_plain(value)
    elif isinstance(settings, str) and settings.lstrip()[:1] in ("$", "%"):
        raise ValueError(
            f"a setting has come that is executed, {settings!r}: only plain values may come from elsewhere."
        )


def _prompts(net: TunedViT) -> dict[str, EmbeddedPrompt]:
    """The prompts that are one number for each token or head, by the name of their logits."""
    return {
        f"backbone.{name}.logits": module
        for name, module in net.backbone.named_modules()
        if isinstance(module, EmbeddedPrompt) and module.is_sink
    }
