# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
from ignite.engine import Events

from monai_ept.engines import build_evaluator
from monai_ept.handlers import EpochHistory
from tests.engines.scenes import loader_of, pictures, small_net, trainer_of
from tests.handlers.scenes import linear_trainer


@pytest.mark.parametrize("validate", ["before", "after"])
def test_a_row_has_the_validation_of_its_epoch_whoever_comes_first(validate):
    net = small_net()
    evaluator = build_evaluator(net, loader_of(net, pictures().records[:9]))
    trainer = linear_trainer()
    history = EpochHistory(evaluator)
    if validate == "after":
        history.attach(trainer)

    @trainer.on(Events.EPOCH_COMPLETED(every=2))
    def run(engine):
        evaluator.run(engine.state.epoch)

    if validate == "before":
        history.attach(trainer)
    trainer.run()
    first, second = trainer.state.history
    assert first.keys() == {"epoch", "loss", "lr"} and second["val"] == pytest.approx(
        {name: value for name, value in evaluator.state.metrics.items() if isinstance(value, float)}, nan_ok=True
    )
    assert (first["epoch"], second["epoch"], first["lr"]) == (1, 2, 0.1)


def test_the_loss_of_an_epoch_is_the_mean_of_its_steps():
    trainer = trainer_of(small_net())  # the history is one of its handlers
    losses = []
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED, lambda engine: losses.append(engine.state.output["loss"].item())
    )
    trainer.run()
    assert [row["loss"] for row in trainer.state.history] == [sum(losses[:3]) / 3, sum(losses[3:]) / 3]
