# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from torch import distributed

from monai_ept.bundle.processes import join_processes, leave_processes, local_device


def test_one_process_alone_is_told_how_to_start_several(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ValueError, match="start it with 'torchrun --nproc_per_node=2"):
        join_processes()
    leave_processes()  # it has met nobody
    assert not distributed.is_initialized()


def test_a_process_meets_the_others_and_parts(monkeypatch):
    place = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "LOCAL_RANK": "0"}
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    try:
        join_processes()
        join_processes()  # once is enough
        assert distributed.is_initialized() and distributed.get_world_size() == 1
        assert distributed.get_backend() == ("nccl" if torch.cuda.is_available() else "gloo")
    finally:
        leave_processes()
    assert not distributed.is_initialized()


def test_each_process_has_a_card_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert local_device() == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ValueError, match="process 3 of this machine, which has 2 GPUs"):
        local_device()
