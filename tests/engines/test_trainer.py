# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from monai_ept import TunedViT
from monai_ept.engines import build_trainer, cosine_schedule, make_loss, make_optimizer
from monai_ept.engines.train_batches import seen_at_random
from monai_ept.handlers import MLflowTracking
from monai_ept.tracking.uploader import find_journals
from tests.backbones import images_for, monai_vit, timm_vit
from tests.engines.scenes import small_net, trainer_of


def test_trains_the_delta_and_nothing_else():
    net = small_net()
    frozen, delta = net.fingerprint(), {k: v.detach().clone() for k, v in net.delta_tensors().items()}
    trainer = trainer_of(net, lr=0.1)
    assert isinstance(trainer, SupervisedTrainer)
    trainer.run()
    assert net.fingerprint() == frozen
    assert all(not torch.equal(value, delta[name]) for name, value in net.delta_tensors().items())
    assert trainer.state.history[-1]["loss"] < trainer.state.history[0]["loss"]


def test_an_epoch_does_not_depend_on_what_was_before():
    """From the weights after the first epoch on, a trainer that is told so does the second one alike."""
    net, other = small_net(), small_net()
    trainer = trainer_of(net, scheduler=None, lr=0.1)
    kept = {}

    @trainer.on(Events.EPOCH_COMPLETED(once=1))
    def keep(engine):
        kept.update(copy.deepcopy({"net": net.state_dict(), "optimizer": engine.optimizer.state_dict()}))

    trainer.run()
    second = trainer_of(other, scheduler=None, lr=0.1)

    @second.on(Events.STARTED)
    def jump(engine):
        torch.rand(17)  # another past
        other.load_state_dict(kept["net"])
        engine.optimizer.load_state_dict(kept["optimizer"])
        engine.state.epoch, engine.state.iteration = 1, engine.state.epoch_length

    second.run()
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in net.state_dict().items())


def test_a_short_epoch_begins_the_data_anew():
    seen = []
    trainer = trainer_of(small_net(), epochs=3, epoch_length=2, scheduler=None)

    @trainer.on(Events.ITERATION_STARTED)
    def look(engine):
        seen.append((engine.state.epoch, tuple(engine.state.batch["id"])))

    trainer.run()
    assert len(seen) == 6
    for epoch in (1, 2, 3):
        ids = [identity for number, batch in seen if number == epoch for identity in batch]
        assert len(set(ids)) == len(ids)
    assert seen[0][1] != seen[2][1]  # and shuffled anew


def test_gradients_are_clipped():
    norms = []
    trainer = trainer_of(small_net(), max_norm=0.05)

    @trainer.on(IterationEvents.BACKWARD_COMPLETED)
    def look(engine):
        gradients = [p.grad.flatten() for g in engine.optimizer.param_groups for p in g["params"]]
        norms.append(torch.cat(gradients).norm().item())

    trainer.run()
    assert max(norms) <= 0.05 * 1.001 and max(norms) > 0.049


def test_handlers_and_arguments_are_passed_on():
    class Counter:
        steps = 0

        def attach(self, engine):
            engine.add_event_handler(Events.ITERATION_COMPLETED, self)

        def __call__(self, engine):
            self.steps += 1

    counter = Counter()
    trainer = trainer_of(small_net(), handlers=[counter], accumulation_steps=2, scheduler=None)
    trainer.run()
    assert counter.steps == 6 and trainer.accumulation_steps == 2


STOCHASTIC = {"drop_path_rate": 0.4, "proj_drop_rate": 0.3, "attn_drop_rate": 0.3, "pos_drop_rate": 0.3}


class TestFrozenPartsInTraining:
    """A backbone that was built with dropout and drop path, in training."""

    def net(self, method, **settings):
        return TunedViT(timm_vit(**STOCHASTIC), 3, method=method, **settings).train()

    def same_twice(self, net):
        images = images_for(net.vit)
        return torch.equal(net.features(images), net.features(images))

    @pytest.mark.parametrize("method", ["linear", "ept", "lora", "adapter", "vpt", "vp"])
    def test_what_is_frozen_answers_as_always(self, method):
        net = self.net(method)
        assert self.same_twice(net)
        images = images_for(net.vit)
        trained = net.features(images)
        assert torch.equal(trained, net.eval().features(images))

    @pytest.mark.parametrize("method", ["full", "bias"])
    def test_what_trains_has_its_dropout(self, method):
        net = self.net(method)
        assert not self.same_twice(net)
        assert self.same_twice(net.eval())

    def test_only_the_last_block_has_it(self):
        net = self.net("partial")
        assert [block.training for block in net.backbone.blocks] == [False, True]

    def test_tuners_and_head_keep_theirs(self):
        net = self.net("vpt", dropout=0.5)
        assert net.head.training
        net = TunedViT(timm_vit(), 3, method={"name": "vpt", "dropout": 0.5}).train()
        assert not self.same_twice(net)

    def test_monai(self):
        net = TunedViT(monai_vit(dropout_rate=0.3), 3, method="ept", prompt_length=3).train()
        assert self.same_twice(net)

    @pytest.mark.parametrize("method", ["ept", "full"])
    def test_running_statistics_never_move(self, method):
        backbone = timm_vit()
        backbone.patch_embed.norm = nn.BatchNorm1d(48)
        norm = backbone.patch_embed.norm
        norm.forward = lambda x, forward=norm.forward: forward(x.transpose(1, 2)).transpose(1, 2)
        net = TunedViT(backbone, 3, method=method).train()
        before = {name: value.clone() for name, value in net.state_dict().items() if "running" in name}
        net(images_for(net.vit))
        assert before and all(torch.equal(net.state_dict()[name], value) for name, value in before.items())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
@pytest.mark.parametrize("amp", ["auto", "float16", "off"])
def test_mixed_precision(amp):
    net = small_net().cuda()
    trainer = trainer_of(net, device="cuda", amp=amp, max_norm=1.0, lr=0.1)
    trainer.run()
    assert trainer.state.history[-1]["loss"] < trainer.state.history[0]["loss"]
    assert all(value.dtype == torch.float32 for value in net.delta_tensors().values())


class Reads(TorchDispatchMode):
    """Counts how often a number of a tensor is read, for which a card would be waited for."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def trainer_on(device: str, **options) -> SupervisedTrainer:
    """A trainer whose images are on the device already, in four batches."""
    torch.manual_seed(3)
    label = torch.arange(8, device=device) % 3
    images = {"image": torch.rand(8, 3, 64, 64).to(device), "label": label, "id": [*"abcdefgh"]}
    net = small_net().to(device)
    optimizer = make_optimizer(net, "sgd", 1e-2)  # AdamW counts its steps on the CPU, and reads them there
    schedule = cosine_schedule(optimizer, 8)
    settings = {"epochs": 2, "loss_function": make_loss(), "max_norm": 1.0, "progress": False, **options}
    return build_trainer(net, [images] * 4, optimizer=optimizer, scheduler=schedule, device=device, **settings)


def reads_within_epochs(trainer: SupervisedTrainer) -> int:
    reads = Reads()
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda _: reads.__enter__())
    trainer.add_event_handler(Events.ITERATION_COMPLETED(every=4), lambda _: reads.__exit__(None, None, None))
    trainer.run()
    return reads.count


def test_within_an_epoch_nothing_waits_for_a_card(tmp_path, monkeypatch):
    seen = {"prepare_batch": seen_at_random("turned")}
    plain = trainer_on("cpu", **seen)
    assert reads_within_epochs(plain) >= 8
    # On a CPU, where losses are told to be elsewhere: what is read of them is read when an epoch ends.
    for module in ("step_values", "nan_guard"):
        monkeypatch.setattr(f"monai_ept.handlers.{module}.waits", lambda value: isinstance(value, torch.Tensor))
    monkeypatch.setattr(TunedViT, "check_images", lambda *_: None)  # which looks at what is on a CPU
    tracking = MLflowTracking(tracking_uri="http://127.0.0.1:9", artifacts_dir=tmp_path)
    trainer = trainer_on("cpu", handlers=[tracking], **seen)
    with tracking:
        assert reads_within_epochs(trainer) == 0
    assert trainer.state.history == plain.state.history
    (journal,) = find_journals(tmp_path)
    metrics = [record.content.get("metrics", {}) for record in journal.read()]
    losses = [row["train/loss"] for row in metrics if "train/loss" in row]
    assert [row["loss"] for row in plain.state.history] == [sum(losses[:4]) / 4, sum(losses[4:]) / 4]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
def test_on_cuda_nothing_waits_for_the_card_within_an_epoch():
    trainer = trainer_on("cuda", prepare_batch=seen_at_random("turned"))
    trainer.add_event_handler(Events.EPOCH_STARTED(once=2), lambda _: torch.cuda.set_sync_debug_mode("error"))
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=8), lambda _: torch.cuda.set_sync_debug_mode("default"))
    try:
        trainer.run()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(trainer.state.history) == 2
