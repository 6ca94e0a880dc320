# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from ignite.engine import Events

from monai_ept.handlers import NanGuard, NonFiniteError
from tests.handlers.scenes import linear_trainer


class TestNanGuard:
    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_stops_before_the_weights_are_touched(self, value):
        def loss(prediction, label):
            return prediction.mean() * (value if trainer.state.iteration == 6 else 1.0)

        trainer = linear_trainer(loss, train_handlers=[NanGuard()])
        weights = []
        trainer.add_event_handler(
            Events.ITERATION_COMPLETED, lambda e: weights.append(e.network.weight.detach().clone())
        )
        with pytest.raises(NonFiniteError, match=r"the loss is -?(nan|inf) in epoch 2, step 6 \(images i1\): lower"):
            trainer.run()
        assert torch.equal(trainer.network.weight, weights[-1]) and len(weights) == 5

    def test_a_finite_loss_with_a_gradient_that_is_not(self):
        class Root(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x

            @staticmethod
            def backward(ctx, gradient):
                return gradient * float("inf")

        trainer = linear_trainer(lambda p, y: Root.apply(p).mean(), train_handlers=[NanGuard()])
        before = trainer.network.weight.detach().clone()
        with pytest.raises(NonFiniteError, match="a gradient is NaN or infinite in epoch 1, step 1.*no checkpoint was"):
            trainer.run()
        assert torch.equal(trainer.network.weight, before)

    def test_leaves_a_good_training_alone(self):
        linear_trainer(train_handlers=[NanGuard()]).run()


class TestOnACard:
    """What is read at the end of an epoch there; tests/engines/test_trainer.py has one on a card itself."""

    @pytest.fixture(autouse=True)
    def a_card_to_wait_for(self, monkeypatch):
        monkeypatch.setattr("monai_ept.handlers.step_values.waits", lambda value: isinstance(value, torch.Tensor))
        monkeypatch.setattr("monai_ept.handlers.nan_guard.waits", lambda value: True)

    def test_says_at_the_end_of_the_epoch_which_step_it_was(self):
        def loss(prediction, label):
            return prediction.mean() * (float("nan") if trainer.state.iteration == 6 else 1.0)

        trainer = linear_trainer(loss, train_handlers=[NanGuard()])
        steps, written = [], []
        trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: steps.append(e.state.iteration))
        trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda e: written.append(e.state.epoch))
        with pytest.raises(
            NonFiniteError, match=r"the loss is NaN or infinite in epoch 2, step 6 \(images i1\): lower"
        ):
            trainer.run()
        assert steps == list(range(1, 9)) and written == [1]

    def test_a_gradient_too(self):
        trainer = linear_trainer(lambda p, y: (p * 0).sqrt().mean(), train_handlers=[NanGuard()])
        with pytest.raises(NonFiniteError, match="a gradient is NaN or infinite in epoch 1, step 1"):
            trainer.run()
