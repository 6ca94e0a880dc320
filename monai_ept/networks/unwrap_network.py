# SPDX-License-Identifier: Apache-2.0

"""The network behind whatever stands around it for several processes or for a compiler."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["unwrap"]


def unwrap(network: nn.Module) -> Any:
    """The network inside ``DistributedDataParallel``, ``DataParallel`` or ``torch.compile``, or the network itself."""
    while True:
        inside = getattr(network, "_orig_mod", None)
        if inside is None and type(network).__name__ in ("DistributedDataParallel", "DataParallel"):
            inside = network.module
        if inside is None:
            return network
        network = inside
