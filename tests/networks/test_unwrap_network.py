# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from torch import nn

from monai_ept.networks.unwrap_network import unwrap


def test_the_network_inside_whatever_stands_around_it(tmp_path):
    net = nn.Linear(2, 1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        parallel = nn.parallel.DistributedDataParallel(net)
        for wrapped in (net, nn.DataParallel(net), torch.compile(net), parallel, torch.compile(parallel)):
            assert unwrap(wrapped) is net
    finally:
        torch.distributed.destroy_process_group()
