# SPDX-License-Identifier: Apache-2.0

"""The device that is asked for, if it is there."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["usable_device"]


def usable_device(device: Any = None) -> torch.device:
    """
    A device that can compute.

    Args:
        device: a ``torch.device`` or its name; by default CUDA if there is a card, else the CPU.

    Raises:
        ValueError: when there is no such device; it says which there are.
    """
    if device is None or device == "":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    there = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        there.append("mps")
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(f"device {device!r} is not known: there is {', '.join(there)}.") from None
    if found.type not in there and str(found) not in there and not (str(found) == "cuda" and len(there) > 1):
        raise ValueError(f"device {str(found)!r} is not there: there is {', '.join(there)}.")
    return found
