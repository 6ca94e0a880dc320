# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.tools.pretrain.scenes import SMALL_PAIRS
from tools.pretrain import PairsRecipe
from tools.pretrain.loop import save_weights
from tools.pretrain.pairs import PairTeller, Scenes, match_loss, painted, pretrain_pairs, share_matched
from tools.pretrain.pictures import make_picture
from tools.pretrain.targets import Describer
from tools.pretrain.training import build_network, good_start, losses


@pytest.fixture(scope="module")
def describer():
    pictures = torch.from_numpy(np.stack([make_picture(0, index, SMALL_PAIRS.img_size).image for index in range(80)]))
    return Describer.fit(lambda: pictures.split(40))


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    torch.manual_seed(0)
    network = build_network(SMALL_PAIRS)
    good_start(network, torch.randint(0, 255, (50, 64, 64, 3), dtype=torch.uint8))
    return save_weights(network, tmp_path_factory.mktemp("start") / "first.safetensors")


def test_finding_the_other_view_by_hand():
    """Each view is like its other one (cosine 1) and unlike the two others (0); and when all are alike, by chance."""
    codes = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 3.0]])
    assert match_loss(codes, 1.0).item() == pytest.approx((math.log(math.e + 2) - 1) / math.log(3))
    assert match_loss(codes, 0.5).item() == pytest.approx((math.log(math.e**2 + 2) - 2) / math.log(3))
    assert match_loss(torch.ones(6, 4), 0.1).item() == pytest.approx(1)
    assert share_matched(codes) == 1 and share_matched(codes[[0, 1, 3, 2]]) == 0


def test_a_step_has_the_same_scenes_whoever_draws_them(describer):
    one, other = Scenes(SMALL_PAIRS, describer), Scenes(SMALL_PAIRS, describer)
    before = one[3]
    ours, theirs = one[11], other[11]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)
    assert not torch.equal(before["patches"], ours["patches"])
    # A card gets the plan, and paints it itself.
    plan = Scenes(SMALL_PAIRS, describer, painted=False)[11]
    assert "patches" not in plan
    there = painted(plan, describer, SMALL_PAIRS.described)
    torch.testing.assert_close(ours, there, rtol=0, atol=0, equal_nan=True)
    assert ours["patches"].shape == (8, 12, 768) and len(ours["described"]) == 4


@pytest.mark.slow
def test_an_interrupted_training_ends_as_one_that_was_not(describer, start, tmp_path):
    settings = {"save_every": 4, "workers": 0}
    pretrain_pairs(start, describer, SMALL_PAIRS, tmp_path / "whole", **settings)
    pretrain_pairs(start, describer, SMALL_PAIRS, tmp_path / "parts", stop_after=5, **settings)
    pretrain_pairs(start, describer, SMALL_PAIRS, tmp_path / "parts", **settings)
    whole, parts = (load_file(tmp_path / name / "step-00012.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], tensor) for name, tensor in parts.items())
    with pytest.raises(ValueError, match="belongs to a training with other settings"):
        pretrain_pairs(start, describer, PairsRecipe(**{**vars(SMALL_PAIRS), "lr": 1e-4}), tmp_path / "whole")


@pytest.mark.slow
def test_a_longer_training_goes_on_where_the_rate_began_to_fall(describer, start, tmp_path):
    """Of 12 steps the last 4 have a falling rate; with 24 steps, those from the 8th on are other ones."""
    longer = PairsRecipe(**{**vars(SMALL_PAIRS), "steps": 24})
    for folder, recipes in (("whole", [longer]), ("on", [SMALL_PAIRS, longer])):
        for recipe in recipes:
            pretrain_pairs(start, describer, recipe, tmp_path / folder, workers=0, save_every=4)
    steps = [entry["step"] for entry in json.loads((tmp_path / "on" / "history.json").read_text())]
    assert steps == [4, 8, 12, 16, 20, 24]
    whole, on = (load_file(tmp_path / name / "step-00024.safetensors") for name in ("whole", "on"))
    assert all(torch.equal(whole[name], tensor) for name, tensor in on.items())


def test_it_learns_both(describer):
    """On the same scenes again and again, pairs are found and descriptions told."""
    torch.manual_seed(0)
    batch = Scenes(SMALL_PAIRS, describer)[1]
    teller = PairTeller(build_network(SMALL_PAIRS), batch["described"].shape[1])
    optimizer = torch.optim.AdamW(teller.parameters(), lr=2e-3)
    seen = []
    for _ in range(30):
        told = teller(batch)
        parts = {**losses(told, batch), "match": match_loss(told["codes"], 0.2)}
        optimizer.zero_grad()
        torch.stack(list(parts.values())).sum().backward()
        optimizer.step()
        seen.append({name: float(part.detach()) for name, part in parts.items()})
    least = {"match": 0.3, "choices": 0.6, "described": 0.95}
    assert all(seen[-1][name] < share * seen[0][name] for name, share in least.items()), seen[-1]
