# SPDX-License-Identifier: Apache-2.0

"""A network under ``torch.compile``: one graph for batches of every size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch import _dynamo as dynamo

from monai_ept.data.meta_data import plain_image

__all__ = ["CompiledNetwork", "check_compiler"]


class CompiledNetwork(nn.Module):
    """
    Calls a network through ``torch.compile``, whose own parameters and state stay what they are.

    The compiler specialises a graph for the first size of a batch, for the second it makes another, and for a single
    image a third; here the number of images is left open from the start, and a single image goes twice. Networks that
    are built alike share a graph in one process, and others may be as many there as a sweep has: not eight at most.

    Args:
        network: what is compiled at its first call, in one graph or with an error.
        backend: of ``torch.compile``.

    Example::

        >>> fast = CompiledNetwork(net)
        >>> fast(images)                # the same logits
    """

    def __init__(self, network: nn.Module, backend: Any = "inductor") -> None:
        super().__init__()
        self.network = network
        self._compiled = [torch.compile(network, fullgraph=True, backend=backend)]  # in a list it is no second child

    @property
    def _orig_mod(self) -> nn.Module:
        """What torch calls the network inside, so that ``unwrap`` finds it."""
        return self.network

    def forward(self, images: Tensor) -> Tensor:
        images = plain_image(images)
        alone = len(images) == 1
        if alone:
            images = torch.cat([images, images])
        dynamo.mark_dynamic(images, 0)
        with dynamo.config.patch(recompile_limit=dynamo.config.accumulated_recompile_limit):
            logits = self._compiled[0](images)
        return logits[:1] if alone else logits


def check_compiler(device: torch.device) -> None:
    """
    Refuse to compile where nothing could be.

    Raises:
        ValueError: when a CPU's code is to be compiled and there is no compiler.
    """
    if device.type != "cpu":
        return
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except Exception as error:  # torch's own class for it has changed its name
        raise ValueError(
            "compile=True needs a C++ compiler on a CPU and there is none here: install g++, or leave compile out."
        ) from error
