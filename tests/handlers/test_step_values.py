# SPDX-License-Identifier: Apache-2.0

"""History, progress and MLflow speak of the same loss and the same learning rate."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from monai_ept.engines import cosine_schedule, make_optimizer
from monai_ept.handlers import MLflowTracking, Progress
from monai_ept.handlers.step_values import step_loss
from monai_ept.tracking.uploader import find_journals
from tests.engines.scenes import small_net, trainer_of


def test_history_progress_and_mlflow_have_the_learning_rate_that_the_head_was_trained_with(tmp_path):
    net = small_net(prompt_lr_scale=30.0, start=0.0)
    shown = io.StringIO()
    tracking = MLflowTracking(tracking_uri="http://127.0.0.1:9", artifacts_dir=tmp_path)
    # Attached first, last, or twice over: whether the schedule has been before or not, the rate is that of the step.
    trainer = trainer_of(net, epochs=2, lr=1e-2, handlers=[tracking, Progress(stream=shown)])
    assert [group["lr"] for group in trainer.optimizer.param_groups] == [0.3, 0.01]
    with tracking:
        trainer.run()

    planned = make_optimizer(small_net(), "sgd", 1e-2)
    schedule = cosine_schedule(planned, 6)
    wanted = []
    for _ in range(6):
        wanted.append(planned.param_groups[-1]["lr"])
        planned.step()
        schedule.step()
    (journal,) = find_journals(tmp_path)
    steps = [record.content["metrics"] for record in journal.read() if "train/lr" in record.content.get("metrics", {})]
    assert [step["train/lr"] for step in steps] == wanted
    assert [row["lr"] for row in trainer.state.history] == [wanted[2], wanted[5]]
    assert re.findall(r"lr (\S+)", shown.getvalue()) == [f"{wanted[2]:.2e}", f"{wanted[5]:.2e}"]
    losses = [step["train/loss"] for step in steps]
    assert [row["loss"] for row in trainer.state.history] == [sum(losses[:3]) / 3, sum(losses[3:]) / 3]


@pytest.mark.parametrize(
    ("output", "loss"),
    [
        ({"loss": torch.tensor(0.5, requires_grad=True)}, 0.5),
        ([{"loss": 0.5}, {"loss": 0.5}], 0.5),
        (0.5, 0.5),
        (np.float32(0.5), 0.5),
        ({"loss": torch.ones(2)}, None),
        ({"pred": torch.ones(1)}, None),
        ("loss", None),
        (None, None),
    ],
)
def test_the_loss_in_whatever_a_trainer_puts_out(output, loss):
    assert step_loss(SimpleNamespace(state=SimpleNamespace(output=output))) == loss
