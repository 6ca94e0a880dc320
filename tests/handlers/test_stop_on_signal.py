# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import signal
import threading

import pytest
from ignite.engine import Engine, Events

from monai_ept.handlers import StopOnSignal, TrainingStopped
from tests.handlers.scenes import linear_trainer


class TestStopOnSignal:
    """SIGUSR1, so that a mistake here does not end the tests."""

    def test_ends_after_the_step(self):
        steps = []
        trainer = linear_trainer(batches=10)
        with StopOnSignal([signal.SIGUSR1]) as stop:
            stop.attach(trainer)

            @trainer.on(Events.ITERATION_STARTED)
            def send(engine):
                if engine.state.iteration == 3:
                    signal.raise_signal(signal.SIGUSR1)

            trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: steps.append(e.state.iteration))
            with pytest.raises(TrainingStopped, match="stopped by SIGUSR1 in epoch 1 of 2, step 3; no checkpoint"):
                trainer.run()
        assert steps[-1] in (2, 3) and isinstance(TrainingStopped(), KeyboardInterrupt)

    def test_outside_of_a_step_at_once_and_again(self):
        with StopOnSignal([signal.SIGUSR1]):
            for _ in range(2):
                with pytest.raises(TrainingStopped, match="stopped by SIGUSR1; no checkpoint was written yet"):
                    signal.raise_signal(signal.SIGUSR1)

    def test_a_second_signal_does_not_wait_for_the_step(self):
        reached = []

        def step(engine, batch):
            for time in ("first", "second"):
                signal.raise_signal(signal.SIGUSR1)
                reached.append(time)

        engine = Engine(step)
        with StopOnSignal([signal.SIGUSR1]) as stop, pytest.raises(TrainingStopped):
            stop.attach(engine)
            engine.run([0], max_epochs=1)
        assert reached == ["first"]

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
                    linear_trainer().run()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert not failed
