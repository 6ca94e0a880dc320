# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from monai_ept.data.sources.synthetic import synthetic_derm
from monai_ept.synthetic.derm import render_derm
from tools.measure import synthetic_colour


def test_views_share_a_lesion():
    """Skin and pigments belong to the lesion: views share them up to the light, and lesions differ more."""

    def colour(lesion, view):
        return render_derm("nv", seed=0, lesion=lesion, view=view, img_size=48).mean(axis=(0, 1))

    means = np.array([[colour(lesion, view) for view in range(4)] for lesion in range(12)])
    within = means.std(axis=1).mean()
    between = means.reshape(-1, 3).std(axis=0).mean()
    assert within < between


@pytest.mark.slow  # as long as test_same_bytes.py passes, it has the same pictures as ever
def test_colour_alone_does_not_solve_it():
    """Colours leave most lesions undecided; structure adds a lot. Measured at full size in tools/measure."""
    data = synthetic_derm(40, 25, img_size=64)
    images, labels = {}, {}
    for split in ("train", "test"):
        images[split] = np.stack([record["image"] for record in data.official(split)])
        labels[split] = np.array([record["label"] for record in data.official(split)])

    def score(function):
        features = function(images["train"]), function(images["test"])
        return synthetic_colour.accuracy(features[0], labels["train"], features[1], labels["test"])

    means, colours = score(synthetic_colour.mean_colours), score(synthetic_colour.colour_statistics)
    grey = score(lambda x: synthetic_colour.structure_statistics(x, colour_contrasts=False))
    both = score(lambda x: synthetic_colour.structure_statistics(x, colour_contrasts=True))
    assert means < 0.35
    assert colours < 0.62
    assert grey > colours + 0.05
    assert both > colours + 0.2
