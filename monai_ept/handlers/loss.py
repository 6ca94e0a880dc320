# SPDX-License-Identifier: Apache-2.0

"""Loss and learning rate of the step that a trainer is at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

__all__ = ["base_lr", "step_loss"]


def step_loss(engine: Any) -> float:
    """The loss in the output of MONAI's trainer: one dictionary, or one for each image after decollating."""
    output = engine.state.output
    loss = output["loss"] if isinstance(output, Mapping) else output[0]["loss"]
    return float(loss.detach() if isinstance(loss, Tensor) else loss)  # decollating makes numbers of scalars


def base_lr(engine: Any) -> float:
    """The learning rate that is not scaled for a method: that of the head, which stands last."""
    return float(engine.optimizer.param_groups[-1]["lr"])
