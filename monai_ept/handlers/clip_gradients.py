# SPDX-License-Identifier: Apache-2.0

"""Clips gradients between the backward pass and the optimizer's step."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine
from monai.engines.utils import IterationEvents
from torch.nn.utils import clip_grad_norm_

from monai_ept.checks import check_number

__all__ = ["ClipGradients"]


class ClipGradients:
    """Keeps the norm of all gradients together at or below a limit, with and without mixed precision.

    Args:
        max_norm: the limit.

    Raises:
        ValueError: when the limit is not above 0.
    """

    def __init__(self, max_norm: float) -> None:
        self.max_norm = check_number("max_norm", max_norm, above=0)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        if getattr(engine, "scaler", None) is not None:
            engine.scaler.unscale_(engine.optimizer)  # the limit is meant for true gradients, not for scaled ones
        clip_grad_norm_([p for group in engine.optimizer.param_groups for p in group["params"]], self.max_norm)
