# SPDX-License-Identifier: Apache-2.0

"""How much memory a piece of work takes, in a process that does many pieces one after another."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress
from pathlib import Path

import torch

__all__ = ["PeakMemory"]


class PeakMemory:
    """
    The memory that is taken beyond what the process had at the start, in megabytes.

    On a card it is what torch has allocated at most. On the host it is the highest resident size, which Linux lets a
    process reset; elsewhere the highest of the whole process stands in for it.

    Args:
        device: where the work is done.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        gc.collect()
        self._before = 0.0
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self._before = torch.cuda.memory_allocated(device) / 2**20
            return
        if sys.platform == "linux":
            with suppress(OSError, AttributeError):
                ctypes.CDLL(None).malloc_trim(0)  # what was freed goes back, and is counted when it is taken again
            with suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5")
            self._before = _resident("VmRSS")

    def read(self) -> float:
        """The highest so far."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20 - self._before
        if sys.platform == "linux":
            return max(0.0, _resident("VmHWM") - self._before)
        try:
            import resource
        except ImportError:  # Windows
            return float("nan")
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def _resident(name: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    return float("nan")
