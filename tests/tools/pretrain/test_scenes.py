# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest
import torch

from tools.pretrain.bank import make_bank
from tools.pretrain.fields import FIELDS
from tools.pretrain.pictures import CHOICES, CONTOURS, VALUES
from tools.pretrain.scenes import draw_patches, draw_scenes, plan_scenes
from tools.pretrain.training import some_patches


@pytest.fixture(scope="module")
def bank():
    return make_bank(0, 0, 64, 64)


def plan_of(bank, things=24, seed=0):
    return plan_scenes(bank, np.random.default_rng(seed), things)


def test_patches_are_those_of_the_whole_picture(bank):
    plan = plan_of(bank)
    plan["noise"].zero_()
    plan["shrunk"].fill_(1)
    pictures = draw_scenes(plan)
    kept = torch.rand(48, 16).argsort(1)[:, :5]
    assert torch.equal(draw_patches(plan, kept, 16), some_patches(pictures, kept, 16))
    assert torch.equal(draw_patches(plan, kept[30:], 16, at_once=7, first=30), some_patches(pictures, kept, 16)[30:])
    assert torch.equal(draw_scenes(plan, at_once=9, views=20), pictures[:20])
    assert pictures.shape == (48, 64, 64, 3) and pictures.float().std(dim=(1, 2)).mean() > 10


def test_both_views_show_one_thing_on_other_grounds(bank):
    plan = plan_of(bank, 200)
    labels = dict(zip(CHOICES, plan["choices"].unbind(1), strict=True))
    whole = labels["contour"] == len(CONTOURS)
    for name in ("contour", "filling", "things", "shells"):
        assert torch.equal(labels[name][:200], labels[name][200:]), name
    assert 0.15 < whole.float().mean() < 0.35 and (labels["filling"][whole] == len(FIELDS)).all()
    on = ~whole[:200]
    assert (labels["ground"][:200] != labels["ground"][200:])[on].float().mean() > 0.5
    values = dict(zip(VALUES, plan["values"].unbind(1), strict=True))
    assert values["area"].isnan().equal(whole) and not torch.equal(values["area"][:200], values["area"][200:])
    known = plan["values"][plan["values"].isfinite()]
    assert -3 < known.min() < -0.3 < 0.3 < known.max() < 3.5


def test_painted_by_hand():
    """Ground (.2, .4, .6) under half of (1, 0, 0) is (.6, .2, .3); half the light, and twice as much blue."""
    colour = torch.zeros(2, 4, 3)  # a cubic curve that does not leave its first colour
    still = torch.zeros(2, 2, 3)
    plan = {
        "ground": torch.zeros(2, 8, 8, dtype=torch.uint8),
        "filling": torch.zeros(1, 8, 8, dtype=torch.uint8),
        "shape": torch.full((1, 8, 8), 5.0),
        "hairs": torch.zeros(2, 16, 16, dtype=torch.uint8),
        **{f"{part}_pose": still for part in ("ground", "filling", "thing")},
        "grounds": colour + torch.tensor([0.2, 0.4, 0.6]) * torch.eye(4)[0, :, None],
        "colours": colour + torch.tensor([1.0, 0.0, 0.0]) * torch.eye(4)[0, :, None],
        "tone": torch.zeros(2, 3),
        "hair": torch.ones(2, 3),
        "light": torch.zeros(2, 3),
        "gain": torch.tensor([[1.0, 1.0, 1.0], [0.5, 0.5, 1.0]]),
        "opacity": torch.full((2,), 0.5),
        "softness": torch.ones(2),
        "shrunk": torch.tensor([1, 4]),
        **dict.fromkeys(("shell", "inset", "noise"), torch.zeros(2)),
        "seed": torch.tensor(0),
    }
    plan["hairs"][0, 3, 7] = 255
    first, second = draw_scenes(plan)
    assert first[3, 7].tolist() == [255, 255, 255]
    first[3, 7] = first[0, 0]
    assert first.view(-1, 3).unique(dim=0).tolist() == [[153, 51, 77]]
    assert second.view(-1, 3).unique(dim=0).tolist() == [[77, 26, 77]]


def test_what_is_blurred_has_less_detail_and_what_is_noisy_has_more(bank):
    plan = plan_of(bank)
    plan["noise"].zero_()

    def detail(shrunk, noise=0.0):
        plan["shrunk"].fill_(shrunk)
        plan["noise"].fill_(noise)
        return draw_scenes(plan).float().diff(n=2, dim=1).abs().mean()

    assert detail(4) < 0.7 * detail(2) < 0.7 * 0.9 * detail(1) and detail(1, 0.05) > 1.3 * detail(1)
