# Copyright (c) The monai_ept developers
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#     http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

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
