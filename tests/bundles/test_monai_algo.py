# SPDX-License-Identifier: Apache-2.0

"""MONAI's own client of federations trains and evaluates our bundles, told no more than the names of their files."""

from __future__ import annotations

import math

import pytest
from monai.fl.client import MonaiAlgo
from monai.fl.utils.exchange_object import ExchangeObject
from monai.networks.utils import get_state_dict

from tests.bundles.cases import DERM, ROOT

pytestmark = pytest.mark.filterwarnings("ignore:executing the bundle config", "ignore:.*class ", "ignore:`dataloader`")

FILES = {"config_train_filename": "configs/train.yaml", "config_evaluate_filename": "configs/train.yaml"}


def client(**settings):
    own = {"source_options": DERM, "img_size": 32, "shots": 1, "track": False, **settings}
    return MonaiAlgo(str(ROOT / "ept_derm"), **FILES, train_kwargs=dict(own), eval_kwargs=dict(own))


def round_of(algo):
    algo.train(ExchangeObject(weights={name: t.clone() for name, t in get_state_dict(algo.trainer.network).items()}))
    return algo.get_weights().weights


@pytest.mark.parametrize("select", ["last", "val"])
def test_two_rounds(select, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    algo = client(select=select, **({"epochs": 2} if select == "val" else {}))
    algo.initialize()
    for number in (1, 2):
        moved = round_of(algo)
        assert algo.trainer.state.epoch == number
        assert moved["head.fc.weight"].abs().max() > 0
        assert moved["backbone.blocks.0.attn.prompt.logits"].abs().max() > 0
        assert moved["backbone.patch_embed.proj.weight"].abs().max() == 0
    metrics = algo.evaluate(ExchangeObject(weights=get_state_dict(algo.trainer.network))).metrics
    assert ("balanced_accuracy" in metrics) == (select == "val")  # no image is held out where nothing is selected
    algo.finalize()


def test_rounds_after_the_end_of_the_schedule_begin_it_anew(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    algo = client(recipe="train", epochs=1)
    algo.initialize()
    first = algo.trainer.optimizer.param_groups[-1]["lr"]
    round_of(algo)
    assert algo.trainer.optimizer.param_groups[-1]["lr"] == 0
    moved = round_of(algo)
    assert moved["head.fc.weight"].abs().max() > 0.1 * first
    assert math.isclose(algo.trainer.optimizer.param_groups[-1]["lr"], 0)
