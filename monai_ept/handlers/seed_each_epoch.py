# SPDX-License-Identifier: Apache-2.0

"""Random numbers that depend on the seed and the epoch, and not on how the process came there."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events

__all__ = ["SeedEachEpoch"]


class SeedEachEpoch:
    """Seeds Python, NumPy and torch at the start of each epoch, from the seed, the epoch and the rank.

    An epoch then is the same whether the process trained the epochs before it or read a checkpoint. The loader, its
    sampler and its batch sampler are told the epoch where they have ``set_epoch``, and every epoch begins a new pass
    over the loader, also where ``epoch_length`` cuts it short.

    Args:
        seed: the seed of the run.

    Example::

        trainer = SupervisedTrainer(..., train_handlers=[SeedEachEpoch(0)])
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = int(seed)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Any) -> None:
        epoch = engine.state.epoch
        rank = getattr(engine.state, "rank", 0)
        digest = hashlib.sha256(f"{self.seed}\n{epoch}\n{rank}".encode()).digest()
        random.seed(int.from_bytes(digest[:8], "little"))
        np.random.seed(int.from_bytes(digest[8:12], "little"))
        torch.manual_seed(int.from_bytes(digest[12:20], "little") >> 1)

        loader = engine.state.dataloader
        part: Any
        for part in (loader, getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None)):
            if hasattr(part, "set_epoch"):
                part.set_epoch(epoch - 1)  # loaders count from 0, Ignite from 1
        if loader is not None:
            engine.set_data(loader)
