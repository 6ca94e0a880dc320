# SPDX-License-Identifier: Apache-2.0

"""Networks that share the memory of their frozen weights."""

from __future__ import annotations

from typing import Any

from torch import nn

from monai_ept.model import TunedViT
from monai_ept.networks.tuner import own_parameters

__all__ = ["SharedParameter", "SharingViT", "share_weights"]


class SharedParameter(nn.Parameter):
    """A weight that never changes: in a copy of its module stands a parameter with the same memory."""

    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Parameter:
        if id(self) not in memo:
            memo[id(self)] = nn.Parameter(self.data, requires_grad=False)
        return memo[id(self)]


def share_weights(module: nn.Module) -> None:
    """Let all copies of a module, made from now on, share its weights, which must not change any more."""
    shared: dict[int, SharedParameter] = {}
    for part in module.modules():
        for name, param in list(part.named_parameters(recurse=False, remove_duplicate=False)):
            setattr(part, name, shared.setdefault(id(param), SharedParameter(param.data, requires_grad=False)))


class SharingViT(TunedViT):
    """
    A network around a backbone of shared weights, whose fingerprints are taken once for all such networks.

    What its method thaws has memory of its own, as in every ``TunedViT``.

    Args:
        fingerprints: those taken so far, by what is frozen.
    """

    def __init__(self, backbone: str | nn.Module, fingerprints: dict[frozenset[str], str], **settings: Any) -> None:
        super().__init__(backbone, **settings)
        self.fingerprints = fingerprints

    def fingerprint(self) -> str:
        of_all = self.solved is not None
        frozen = frozenset(name for name, param in own_parameters(self.backbone) if of_all or not param.requires_grad)
        if frozen not in self.fingerprints:
            self.fingerprints[frozen] = super().fingerprint()
        return self.fingerprints[frozen]
