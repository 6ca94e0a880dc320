# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import dataclasses

import pytest
import torch
from ignite.engine import Events

from monai_ept.bundle.training import announce, conclude, make_trainer, start, validator
from monai_ept.engines import Training
from tests.engines.scenes import pictures, small_net, small_split

RECIPE = {"name": "train", "epochs": 2, "lr": 1e-2, "num_resamples": 5}
ORIGIN = {"name": "ept_mine", "network": {"backbone": "vit_tiny", "pretrained": False}}


def training_of(folder=None, recipe=RECIPE, **options):
    data = pictures()
    settings = {"data": data, "folder": folder, "progress": False, "origin": ORIGIN, **options}
    return Training(small_net(), small_split(data, val=options.pop("val", "shots")), recipe, **settings)


def test_what_is_going_to_be_trained_is_said(capsys):
    training = training_of()
    announce(training)
    said = capsys.readouterr().out
    count = training.net.count()
    for part in (
        "ept_mine: training None",
        "12 images to train on, 12 to validate, 12 to test",
        "backbone  vit_tiny, 64×64",
        f"method    ept: trains {count.delta:,} numbers and {count.head:,} of the head, of {count.backbone:,}",
        "training  recipe train, epochs 2",
    ):
        assert part in said, said
    assert "never seen a photograph" not in said and "MLflow" not in said and "embedded synthetic" not in said
    solved = training_of(recipe="solve", origin={"network": {"backbone": "embedded"}})
    announce(solved)
    said = capsys.readouterr().out
    assert said.startswith("pictures: training") and "has never seen a photograph" in said
    assert "method    ept: has " in said and "nothing is trained" in said


def test_rounds_of_more_epochs_begin_the_schedule_anew():
    training = training_of()
    rates = []
    trainer = make_trainer(training, max_epochs=2)
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda _: rates.append(training.optimizer.param_groups[0]["lr"]))
    trainer.run()
    trainer.state.max_epochs = 4
    trainer.run()
    assert len(rates) == 4 and rates[:2] == pytest.approx(rates[2:]) and rates[0] > rates[1] > 0


def test_a_validator_is_there_also_where_nothing_is_held_out():
    training = training_of(recipe={**RECIPE, "val_interval": 1})
    assert validator(training) is training.evaluator
    split = dataclasses.replace(training.split, val=[])
    alone = Training(small_net(), split, RECIPE, data=training.data, progress=False)
    assert alone.evaluator is None and len(validator(alone).data_loader.dataset) == 0


def test_the_end_says_where_everything_is_and_what_was_not_registered(tmp_path, capsys):
    training = training_of(tmp_path / "run", {**RECIPE, "epochs": 1})
    start()
    result = training.run()
    conclude(training, result, register="small")
    said = capsys.readouterr().out
    assert f"adapter     {tmp_path / 'run' / 'delta.safetensors'} (" in said and "predictions.csv" in said
    assert "registry    small is not registered: " in said and "MLflow      " not in said
    assert torch.isfinite(torch.tensor(result.metrics["auc"])) and f"{result.metrics['auc']:.3f}" in said
