# SPDX-License-Identifier: Apache-2.0

"""A training that has ended and is asked for more epochs goes on, and says where that is not the same."""

from __future__ import annotations

import json
import logging
import math
import shutil
from pathlib import Path

import pytest
from ignite.engine import Events

from monai_ept.delta import read_delta
from monai_ept.handlers.delta_checkpoint import CheckpointError, DeltaCheckpoint
from tests.engines.scenes import result_bytes, small_fit

CONSTANT = {"schedule": "constant", "select": "val", "num_resamples": 2}
COSINE = {"optimizer": "sgd", "num_resamples": 2}
LR = 1e-2
STEPS = 3  # of an epoch


def contents(folder):
    """All of a result that is no picture."""
    about = {name: (folder / name).read_bytes() for name in ("training.json", "split.json")}
    return {**result_bytes(folder), **about}


class StopAt:
    """What a power cut does, as far as files are concerned."""

    def __init__(self, epoch):
        self.epoch = epoch

    def attach(self, engine):
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine):
        if engine.state.epoch == self.epoch:
            raise KeyboardInterrupt


def files(folder):
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def at_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("once") / "run"
    small_fit(folder, epochs=4, **CONSTANT)
    return contents(folder)


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """Two finished trainings of two epochs, with a constant learning rate and with a cosine."""
    folder = tmp_path_factory.mktemp("short")
    small_fit(folder / "constant", epochs=2, **CONSTANT)
    small_fit(folder / "cosine", epochs=2, **COSINE)
    return folder


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_constant_rate_goes_on_to_the_same_bytes(short, at_once, interrupted, tmp_path, caplog):
    folder = tmp_path / "run"
    shutil.copytree(short / "constant", folder)
    if interrupted:
        with pytest.raises(KeyboardInterrupt):
            small_fit(folder, epochs=4, resume=True, handlers=[StopAt(4)], **CONSTANT)
        assert DeltaCheckpoint.read(folder / "last.pt")["epoch"] == 2  # whole until the new one is complete
        assert json.loads((folder / "training.json").read_text())["recipe"]["epochs"] == 2
        assert DeltaCheckpoint.read(tmp_path / "run.next" / "last.pt")["epoch"] == 3
    result = small_fit(folder, epochs=4, resume=True, **CONSTANT)
    assert contents(folder) == at_once
    assert len(result.history) == 4 and [path.name for path in tmp_path.iterdir()] == ["run"]
    assert f"going on after the 2 epochs of {folder} to 4" in caplog.text
    assert "as if 4 had been asked for at once" in caplog.text


def test_one_that_was_interrupted_goes_on_with_more_too(at_once, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        small_fit(folder, epochs=3, handlers=[StopAt(2)], **CONSTANT)
    small_fit(folder, epochs=4, resume=True, **CONSTANT)
    assert contents(folder) == at_once


def test_a_cosine_goes_on_with_the_rest_of_the_longer_one_and_says_so(short, tmp_path, caplog):
    folder = tmp_path / "run"
    shutil.copytree(short / "cosine", folder)
    result = small_fit(folder, epochs=4, resume=True, **COSINE)

    def rate(step, epochs):
        return LR * (1 + math.cos(math.pi * step / (epochs * STEPS))) / 2

    # The rate of an epoch is that of its last step: steps 2 and 5 of a cosine of 6 steps, steps 8 and 11 of one of 12.
    rates = [rate(2, 2), rate(5, 2), rate(8, 4), rate(11, 4)]
    assert [row["lr"] for row in result.history] == pytest.approx(rates)
    assert rates == pytest.approx([0.0075, 0.00067, 0.0025, 0.00017], abs=1e-5)
    assert "whose cosine had fallen to zero, goes on as the cosine of 4 epochs does from there" in caplog.text
    assert result.record["params"]["schedule_ended_at"] == "2"
    assert read_delta(result.delta_path).metadata["extra"]["identity"]["schedule_ended_at"] == "2"

    before = (folder / "last.pt").stat().st_mtime_ns
    with caplog.at_level(logging.INFO):
        again = small_fit(folder, epochs=4, resume=True, **COSINE)
    assert "epoch 4 of 4 is done" in caplog.text and again.record == result.record
    assert (folder / "last.pt").stat().st_mtime_ns == before
    longer = small_fit(folder, epochs=5, resume=True, **COSINE)
    assert longer.record["params"]["schedule_ended_at"] == "2, 4"
    once = small_fit(tmp_path / "once", epochs=4, **COSINE)
    assert [row["lr"] for row in once.history] != pytest.approx(rates)


def test_a_cosine_that_has_not_ended_is_ended_first(tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        small_fit(folder, epochs=3, handlers=[StopAt(3)], **COSINE)
    before = files(tmp_path)
    with pytest.raises(CheckpointError, match="resume it with 3 epochs first, then with 4"):
        small_fit(folder, epochs=4, resume=True, **COSINE)
    assert files(tmp_path) == before


@pytest.mark.parametrize("kind", ["constant", "cosine"])
def test_a_default_name_finds_the_training_with_fewer_epochs(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = CONSTANT if kind == "constant" else COSINE
    first = small_fit(None, epochs=1, **recipe)
    before = files(first.folder)
    small_fit(None, epochs=1, seed=5, **recipe)  # another one
    if kind == "cosine":
        with pytest.raises(KeyboardInterrupt):
            small_fit(None, epochs=2, resume=True, handlers=[StopAt(2)], **recipe)
    longer = small_fit(None, epochs=2, resume=True, **recipe)
    assert files(first.folder) == before  # which stays
    assert longer.record["params"].get("schedule_ended_at") == (None if kind == "constant" else "1")
    again = small_fit(None, epochs=2, resume=True, **recipe)
    assert again.folder == longer.folder
    once = small_fit(None, epochs=2, overwrite=kind == "constant", **recipe)
    assert (once.folder == longer.folder) is (kind == "constant")
    assert len(list(Path("runs/pictures").iterdir())) == (3 if kind == "constant" else 4)


def test_a_solved_head_is_solved_once_and_then_trained(tmp_path):
    tune = {"name": "tune", "steps_per_epoch": 2, "batch_size": 4, "warmup_steps": 1, "num_resamples": 2}
    nothing = small_fit(tmp_path / "run", recipe={**tune, "epochs": 0})
    assert nothing.history == []
    # Nothing was trained: with more epochs it is the training that had been asked for at once.
    one = small_fit(tmp_path / "run", recipe={**tune, "epochs": 1}, resume=True)
    assert "schedule_ended_at" not in one.record["params"]
    small_fit(tmp_path / "once", recipe={**tune, "epochs": 1})
    assert contents(tmp_path / "run") == contents(tmp_path / "once")
    two = small_fit(tmp_path / "run", recipe={**tune, "epochs": 2}, resume=True)
    assert two.record["chosen"] == one.record["chosen"] and two.history[0] == one.history[0]
    assert two.record["params"]["schedule_ended_at"] == "1"


def test_another_training_with_fewer_epochs_is_refused_by_what_differs(short, tmp_path):
    shutil.copytree(short / "cosine", tmp_path / "run")
    before = files(tmp_path)
    with pytest.raises(CheckpointError, match="belongs to another training: its seed is 0 and here it is 1"):
        small_fit(tmp_path / "run", epochs=4, seed=1, resume=True, **COSINE)
    assert files(tmp_path) == before
    small_fit(tmp_path / "run", epochs=4, seed=1, resume=True, overwrite=True, **COSINE)
    assert json.loads((tmp_path / "run" / "training.json").read_text())["seed"] == 1
