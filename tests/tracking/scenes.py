# SPDX-License-Identifier: Apache-2.0

"""A store that is not there, trained networks, and waiting for another thread or process."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence

import pytest
import torch
from mlflow import MlflowClient

from monai_ept import TunedViT

_taken = socket.socket()
_taken.bind(("127.0.0.1", 0))  # it never listens, and nobody else can
NOWHERE = f"http://127.0.0.1:{_taken.getsockname()[1]}"
"""A store that refuses every connection."""

NAMES = ["nevus", "melanoma", "other"]
MONAI_VIT = {  # what monai_vit(3) builds
    "_target_": "monai.networks.nets.ViT",
    **{"in_channels": 1, "img_size": 32, "patch_size": 8, "hidden_size": 48, "mlp_dim": 96, "num_layers": 2},
    **{"num_heads": 3, "classification": True, "spatial_dims": 3, "qkv_bias": True},
}


def trained(backbone: object, method: object, *, names: Sequence[str] = NAMES, **settings: object) -> TunedViT:
    """A network whose every number is at random, those that are trained too."""
    torch.manual_seed(0)
    net = TunedViT(backbone, len(names), method=method, class_names=names, **settings)
    for group in net.trainable_parameters(lr=1.0):
        for param in group["params"]:
            torch.nn.init.normal_(param, std=0.1)
    return net.eval()


def runs_of(uri: str, experiment: str) -> list:
    client = MlflowClient(uri)
    return client.search_runs([client.get_experiment_by_name(experiment).experiment_id])


def steps_of(uri: str, run_id: str, key: str = "train/loss") -> list[int]:
    return sorted(metric.step for metric in MlflowClient(uri).get_metric_history(run_id, key))


def wait_until(condition: Callable[[], object], seconds: float = 300) -> None:
    """Wait for what another thread or process does; only a thing that never comes takes all of the time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"waited {seconds} seconds for what did not come")
        time.sleep(0.02)
