# SPDX-License-Identifier: Apache-2.0

"""Training by several processes: one for each GPU, or for each share of the CPU."""

from __future__ import annotations

import os

import torch
from torch import distributed

__all__ = ["join_processes", "leave_processes", "local_device"]


def local_device() -> torch.device:
    """
    The GPU of this process, or the CPU where there are none.

    Raises:
        ValueError: when there are more processes on this machine than GPUs.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    number = int(os.environ.get("LOCAL_RANK", 0))
    if number >= torch.cuda.device_count():
        raise ValueError(
            f"this is process {number + 1} of this machine, which has {torch.cuda.device_count()} GPUs: "
            "start torchrun with --nproc_per_node of that many."
        )
    return torch.device("cuda", number)


def join_processes() -> None:
    """
    Meet the other processes that torchrun has started: by NCCL between GPUs, by gloo between CPUs.

    Raises:
        ValueError: when this process was not started by torchrun.
    """
    if distributed.is_initialized():
        return
    if "RANK" not in os.environ:
        raise ValueError(
            "multi_gpu_train.yaml is for several processes: start it with 'torchrun --nproc_per_node=2 -m monai.bundle "
            "run …', or use train.yaml alone."
        )
    device = local_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")


def leave_processes() -> None:
    """Wait until all processes are done, and part."""
    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()
