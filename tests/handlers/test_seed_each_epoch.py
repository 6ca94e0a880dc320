# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import random

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader
from torch.utils.data import DistributedSampler

from monai_ept.handlers import SeedEachEpoch


def draws(seed=0, start=0, epochs=3, noise=0, loader=None):
    """Random numbers of each epoch, of a training that starts after some epochs with any past."""
    seen = {}
    engine = Engine(lambda engine, batch: batch)
    SeedEachEpoch(seed).attach(engine)

    @engine.on(Events.EPOCH_STARTED)
    def draw(engine):
        seen[engine.state.epoch] = (random.random(), float(np.random.rand()), torch.rand(1).item())

    @engine.on(Events.STARTED)
    def jump(engine):
        engine.state.epoch, engine.state.iteration = start, 2 * start

    torch.rand(noise), np.random.rand(noise), [random.random() for _ in range(noise)]
    engine.run(loader or [0, 1], max_epochs=epochs)
    return seen


def test_an_epoch_is_the_same_whatever_was_before():
    whole = draws()
    assert draws(noise=5) == whole
    assert draws(start=2, noise=3) == {3: whole[3]}
    assert len({value for row in whole.values() for value in row}) == 9


def test_another_seed_other_numbers():
    assert not set(draws(0).values()) & set(draws(1).values())


def test_samplers_are_told_the_epoch():
    data = list(range(8))
    sampler = DistributedSampler(data, num_replicas=2, rank=0, seed=0)
    loader = DataLoader(data, batch_size=2, sampler=sampler)
    draws(epochs=3, loader=loader)
    assert sampler.epoch == 2
