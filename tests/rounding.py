# SPDX-License-Identifier: Apache-2.0

"""Equal up to rounding, which differs between processors, libraries and numbers of threads."""

from __future__ import annotations

import torch
from torch import Tensor

LAYER = 64
"""Roundings that one layer may make of the largest number in its output."""
NETWORK = 1024
"""Those of a network."""


def assert_same(ours: Tensor, theirs: Tensor, roundings: int = LAYER) -> None:
    """
    The same numbers, computed in another order.

    Args:
        ours: one result.
        theirs: the other, of the same shape and type.
        roundings: how many roundings of the largest number they may differ by.
    """
    atol = roundings * torch.finfo(theirs.dtype).eps * theirs.detach().abs().max().item()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)
