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

"""Classification heads on pooled features."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

__all__ = ["linear_head"]


def linear_head(in_features: int, num_classes: int, dropout: float = 0.0) -> nn.Sequential:
    """
    Dropout and one linear layer, started small so that the first logits are close to zero.

    Args:
        in_features: width of the pooled features.
        num_classes: number of logits.
        dropout: probability of dropping a feature while training.
    """
    fc = nn.Linear(in_features, num_classes)
    nn.init.trunc_normal_(fc.weight, std=0.02)
    nn.init.zeros_(fc.bias)
    return nn.Sequential(OrderedDict(drop=nn.Dropout(dropout), fc=fc))
