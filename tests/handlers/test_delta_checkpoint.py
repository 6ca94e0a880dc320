# SPDX-License-Identifier: Apache-2.0

"""What ``tests/engines/test_fit.py`` and ``test_interrupted.py`` do not look at: the file itself, and all its parts."""

from __future__ import annotations

import random

import pytest
import torch
from ignite.engine import Events

from monai_ept.engines import build_evaluator, cosine_schedule, make_optimizer
from monai_ept.handlers import CheckpointError, DeltaCheckpoint
from tests.engines.scenes import loader_of, pictures, small_net, trainer_of


def checkpointed(folder, net=None, optimizer="sgd", epochs=2, **options):
    """A trainer whose checkpoint knows the optimizer that it trains with."""
    net = net or small_net()
    trainer = trainer_of(net, epochs, optimizer=optimizer, scheduler=None)
    schedule = cosine_schedule(trainer.optimizer, epochs * 3)
    checkpoint = DeltaCheckpoint(folder, net, trainer.optimizer, schedule, **options)
    checkpoint.attach(trainer)
    return trainer, checkpoint


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_everything_comes_back(tmp_path, optimizer):
    first, _ = checkpointed(tmp_path, optimizer=optimizer, identity={"split": "abc"})
    first.run()
    net = small_net()
    second, checkpoint = checkpointed(tmp_path, net, optimizer, identity={"split": "abc"}, resume=True)
    second.run()
    assert (second.state.epoch, second.state.iteration) == (2, 6)
    for name, value in first.network.delta_tensors().items():
        assert torch.equal(net.delta_tensors()[name], value)
    ours, theirs = second.optimizer.state_dict(), first.optimizer.state_dict()
    assert ours["param_groups"] == theirs["param_groups"] and ours["state"].keys() == theirs["state"].keys()
    for index, parts in theirs["state"].items():
        assert all(torch.equal(torch.as_tensor(ours["state"][index][k]), torch.as_tensor(v)) for k, v in parts.items())
    assert checkpoint.scheduler.state_dict() == DeltaCheckpoint.read(tmp_path / "last.pt")["scheduler"]


def test_a_checkpoint_of_the_first_version_is_resumed(tmp_path):
    """It held random states too, which every epoch sets anew."""
    wanted, _ = checkpointed(tmp_path / "whole", epochs=3)
    wanted.run()
    first, checkpoint = checkpointed(tmp_path, epochs=3)
    first.add_event_handler(Events.EPOCH_STARTED(once=3), lambda engine: engine.terminate())
    first.run()
    old = {**DeltaCheckpoint.read(checkpoint.last_path), "version": 1, "random": {"torch": torch.get_rng_state()}}
    assert old.pop("images") == {} and old["epoch"] == 2
    torch.save(old, checkpoint.last_path)
    second, _ = checkpointed(tmp_path, epochs=3, resume=True)
    second.run()
    assert (tmp_path / "delta.safetensors").read_bytes() == (tmp_path / "whole" / "delta.safetensors").read_bytes()
    torch.save({**old, "version": 4}, checkpoint.last_path)
    with pytest.raises(CheckpointError, match="has version 4, this release reads up to 3"):
        DeltaCheckpoint.read(checkpoint.last_path)


def test_one_flipped_bit_anywhere_is_noticed(tmp_path):
    trainer, checkpoint = checkpointed(tmp_path)
    trainer.run()
    whole = checkpoint.last_path.read_bytes()
    end = len(whole)
    draw = random.Random(0)
    places = {0, 1, *range(end - 100, end, 3), *(draw.randrange(end) for _ in range(100))}  # the checksum's too
    for place in places:
        flipped_is_refused(checkpoint.last_path, whole, place, draw.randrange(8))


def flipped_is_refused(path, whole, place, bit):
    """With one bit of it flipped a checkpoint is not read, and without it is."""
    flipped = bytearray(whole)
    flipped[place] ^= 1 << bit
    path.write_bytes(flipped)
    with pytest.raises(CheckpointError, match="cannot be read .* it is damaged; delete it and train again"):
        DeltaCheckpoint.read(path)
    path.write_bytes(whole)
    assert DeltaCheckpoint.read(path)["epoch"] == 2


def test_a_bit_of_a_weight_is_noticed_in_checkpoints_of_before(tmp_path):
    """They have no checksum of ours, and their zip file has one of each part."""
    trainer, checkpoint = checkpointed(tmp_path)
    trainer.run()
    content = DeltaCheckpoint.read(checkpoint.last_path)
    torch.save({**content, "version": 2}, checkpoint.last_path)
    old = checkpoint.last_path.read_bytes()
    at = old.index(content["delta"]["head.fc.weight"].numpy().tobytes())
    flipped_is_refused(checkpoint.last_path, old, at, 0)


def test_a_checksum_cannot_be_left_out(tmp_path):
    trainer, checkpoint = checkpointed(tmp_path)
    trainer.run()
    torch.save(DeltaCheckpoint.read(checkpoint.last_path), checkpoint.last_path)
    with pytest.raises(CheckpointError, match="it has no 'checksum'"):
        DeltaCheckpoint.read(checkpoint.last_path)


def test_it_is_small_and_runs_no_code(tmp_path):
    trainer, checkpoint = checkpointed(tmp_path)
    trainer.run()
    count = trainer.network.count()
    assert checkpoint.last_path.stat().st_size < 4 * 2 * count.trained + 60_000 < 4 * count.backbone
    assert isinstance(torch.load(checkpoint.last_path, weights_only=True), dict)
    assert checkpoint.delta_path.exists() and not checkpoint.best_path.exists()
    evil = tmp_path / "evil"
    evil.mkdir()
    torch.save({"format": "monai_ept.checkpoint", "run": print}, evil / "last.pt")
    with pytest.raises(CheckpointError, match="cannot be read"):
        DeltaCheckpoint.read(evil / "last.pt")


def test_interval_and_last_epoch(tmp_path):
    trainer, checkpoint = checkpointed(tmp_path, epochs=5, interval=2)
    written = []

    @trainer.on(Events.EPOCH_STARTED)
    def look(engine):
        written.append(engine.state.last_checkpoint and engine.state.last_checkpoint[1])

    trainer.run()
    assert written == [None, None, 2, 2, 4] and DeltaCheckpoint.read(checkpoint.last_path)["epoch"] == 5


def test_best_is_written_after_validation_wherever_it_stands(tmp_path):
    net = small_net()
    trainer = trainer_of(net, 3, scheduler=None)
    evaluator = build_evaluator(net, loader_of(net, pictures().records[:9]))
    checkpoint = DeltaCheckpoint(tmp_path, net, trainer.optimizer, evaluator=evaluator, select="val")
    checkpoint.attach(trainer)  # before the one that validates
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda e: evaluator.run(e.state.epoch))
    trainer.run()
    best = DeltaCheckpoint.read(checkpoint.best_path)
    assert best["epoch"] == evaluator.state.best_metric_epoch == best["best"]["epoch"]
    assert best["best"]["metric"] == evaluator.state.best_metric


def test_select_val_needs_an_evaluator(tmp_path):
    net = small_net()
    with pytest.raises(ValueError, match="select='val' needs an evaluator"):
        DeltaCheckpoint(tmp_path, net, make_optimizer(net), select="val")


def test_no_such_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist: train first"):
        DeltaCheckpoint.read(tmp_path / "last.pt")
