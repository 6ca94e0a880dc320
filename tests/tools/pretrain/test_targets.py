# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch

from tools.pretrain.pictures import make_picture
from tools.pretrain.targets import COMPONENTS, Describer, variance_explained


@pytest.fixture(scope="module")
def pictures():
    return torch.from_numpy(np.stack([make_picture(0, index, 56).image for index in range(160)]))


@pytest.fixture(scope="module")
def describer(pictures):
    return Describer.fit(lambda: pictures.split(40))


def test_descriptions_are_uncorrelated_and_every_picture_has_its_own(pictures, describer):
    described = describer(pictures).double()
    assert described.shape == (160, COMPONENTS)
    few = described[:, :40] - described[:, :40].mean(0)
    correlation = torch.corrcoef(few.T) - torch.eye(40)
    assert correlation.abs().mean() < 0.05  # what is clamped keeps it from being exactly 0
    distance = torch.cdist(described, described) + torch.eye(160) * 1e6
    assert distance.min() > 0.1


def test_a_description_does_not_depend_on_its_batch(pictures, describer):
    together = describer(pictures[:6])
    alone = torch.cat([describer(picture[None]) for picture in pictures[:6]])
    torch.testing.assert_close(together, alone, atol=1e-3, rtol=1e-3)


def test_the_same_seed_finds_the_same_words(pictures):
    one, again, other = (Describer.fit(lambda: pictures[:40].split(20), seed=seed).tensors for seed in (0, 0, 1))
    assert all(torch.equal(again[name], tensor) for name, tensor in one.items())
    assert not torch.equal(other["words28.centres"], one["words28.centres"])


def test_a_change_of_colour_or_of_detail_changes_the_description(pictures, describer):
    pictures = pictures[:40]
    described = describer(pictures)
    for changed in (pictures.flip(-1), (pictures // 64) * 64):
        moved = ((describer(changed) - described) / described.std(0)).square().mean().sqrt()
        assert moved > 0.3
    # Upside down it has the same colours and edges; only the words that have a direction are others.
    turned = (describer.raw(pictures.flip(1)) - describer.raw(pictures)).abs().amax(0)
    colours_and_edges = 24 + 216 + 3 * 8
    assert turned[:colours_and_edges].max() < 1e-3 < turned[colours_and_edges:].max()


def test_variance_explained():
    described = torch.randn(50, 4)
    assert variance_explained(described, described) == 1
    assert abs(variance_explained(described.mean(0).expand(50, 4), described)) < 1e-6
