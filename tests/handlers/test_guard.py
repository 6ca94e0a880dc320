# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from torch import nn

from monai_ept.handlers import NanGuard, NonFiniteError, StopOnSignal, TrainingStopped


def trainer_of(loss=None, batches=4, **options):
    torch.manual_seed(0)
    net = nn.Linear(2, 1)
    data = [{"image": torch.ones(1, 2), "label": torch.zeros(1, 1), "id": [f"i{n}"]} for n in range(batches)]
    return SupervisedTrainer(
        device="cpu",
        max_epochs=2,
        train_data_loader=data,
        network=net,
        optimizer=torch.optim.SGD(net.parameters(), lr=0.1),
        loss_function=loss or nn.MSELoss(),
        decollate=False,
        **options,
    )


class TestNanGuard:
    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_stops_before_the_weights_are_touched(self, value):
        def loss(prediction, label):
            return prediction.mean() * (value if trainer.state.iteration == 6 else 1.0)

        trainer = trainer_of(loss, train_handlers=[NanGuard()])
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

        trainer = trainer_of(lambda p, y: Root.apply(p).mean(), train_handlers=[NanGuard()])
        before = trainer.network.weight.detach().clone()
        with pytest.raises(NonFiniteError, match="a gradient is NaN or infinite in epoch 1, step 1.*no checkpoint was"):
            trainer.run()
        assert torch.equal(trainer.network.weight, before)

    def test_leaves_a_good_training_alone(self):
        trainer_of(train_handlers=[NanGuard()]).run()


class TestStopOnSignal:
    """SIGUSR1, so that a mistake here does not end the tests."""

    def test_ends_after_the_step(self):
        steps = []
        trainer = trainer_of(batches=10)
        with StopOnSignal([signal.SIGUSR1]) as stop:
            stop.attach(trainer)

            @trainer.on(Events.ITERATION_STARTED)
            def send(engine):
                if engine.state.iteration == 3:
                    os.kill(os.getpid(), signal.SIGUSR1)

            trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: steps.append(e.state.iteration))
            with pytest.raises(TrainingStopped, match="stopped by SIGUSR1 in epoch 1 of 2, step 3; no checkpoint"):
                trainer.run()
        assert steps[-1] in (2, 3) and isinstance(TrainingStopped(), KeyboardInterrupt)

    def test_outside_of_a_step_at_once_and_a_second_time_too(self):
        with StopOnSignal([signal.SIGUSR1]) as stop:
            for _ in range(2):
                with pytest.raises(TrainingStopped, match="stopped by SIGUSR1; no checkpoint was written yet"):
                    os.kill(os.getpid(), signal.SIGUSR1)
                    time.sleep(1)
            engine = Engine(lambda engine, batch: time.sleep(5))
            stop.attach(engine)

            @engine.on(Events.ITERATION_STARTED)
            def twice(_):
                threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
                threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1)).start()

            began = time.monotonic()
            with pytest.raises(TrainingStopped):  # a step that takes too long is not waited for
                engine.run([0], max_epochs=1)
            assert time.monotonic() - began < 4

    def test_old_handlers_come_back(self):
        before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        with StopOnSignal():
            assert signal.getsignal(signal.SIGTERM) != before[0]
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before

    def test_in_a_thread_it_does_nothing(self):
        failed = []

        def work():
            try:
                with StopOnSignal():
                    trainer_of().run()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert not failed
