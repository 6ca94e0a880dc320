# SPDX-License-Identifier: Apache-2.0

"""The device that is asked for, if it is there."""

from __future__ import annotations

from typing import Any

import torch

from monai_ept.checks import shown

__all__ = ["usable_device"]


def usable_device(device: Any = None) -> torch.device:
    """
    A device that can compute.

    Args:
        device: a ``torch.device``, its name, or the number of a CUDA card; by default CUDA if there is a card, else
            the CPU.

    Raises:
        ValueError: when there is no such device; it says which there are.
    """
    if device is None or device == "":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    there = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        there.append("mps")
    try:
        if isinstance(device, bool):
            raise TypeError("no device")
        # A number alone is a card; torch itself takes it for one of whatever accelerator it was built for.
        found = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(f"device {shown(device)} is not known: there is {', '.join(there)}.") from None
    is_there = found.type in there or str(found) in there or (str(found) == "cuda" and torch.cuda.is_available())
    if not is_there and found.type not in ("cuda", "mps"):
        is_there = _computes(found)
    if not is_there:
        cards = "" if torch.cuda.is_available() or found.type != "cuda" else " (torch sees no CUDA card here)"
        raise ValueError(f"device {str(found)!r} is not there{cards}: there is {', '.join(there)}.")
    return found


def _computes(device: torch.device) -> bool:
    """Whether a number survives the way to a device and back: torch has kinds of them that we do not know."""
    try:
        return bool(torch.ones(1, device=device).cpu() == 1)
    except Exception:  # each kind raises its own: not built in, not plugged in, holds no numbers
        return False
