# SPDX-License-Identifier: Apache-2.0

"""A network of two numbers in MONAI's trainer, for handlers that do not look at what is trained."""

from __future__ import annotations

import torch
from monai.engines import SupervisedTrainer
from torch import nn


def linear_trainer(loss=None, batches=4, **options):
    torch.manual_seed(0)
    net = nn.Linear(2, 1)
    data = [{"image": torch.ones(1, 2), "label": torch.zeros(1, 1), "id": [f"i{n}"]} for n in range(batches)]
    return SupervisedTrainer(
        device="cpu",
        max_epochs=2,
        train_data_loader=data,
        network=net,
        optimizer=torch.optim.SGD(net.parameters(), lr=0.1),
        loss_function=loss or nn.MSELoss(),
        decollate=False,
        **options,
    )
