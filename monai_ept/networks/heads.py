# SPDX-License-Identifier: Apache-2.0

"""Classification heads on pooled features."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

__all__ = ["linear_head", "mlp_head"]


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


def mlp_head(
    in_features: int,
    num_classes: int,
    dropout: float = 0.0,
    *,
    num_layers: int = 3,
    hidden_size: int | None = None,
) -> nn.Sequential:
    """
    Linear layers with ReLU between them, the last one started as that of ``linear_head``.

    Args:
        in_features: width of the pooled features.
        num_classes: number of logits.
        dropout: probability of dropping a feature, before each layer, while training.
        num_layers: number of linear layers.
        hidden_size: width between the layers, ``in_features`` by default.
    """
    hidden_size = hidden_size or in_features
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    width = in_features
    for index in range(num_layers - 1):
        hidden = nn.Linear(width, hidden_size)
        nn.init.kaiming_normal_(hidden.weight, nonlinearity="relu")
        nn.init.zeros_(hidden.bias)
        layers[f"hidden{index}"] = nn.Sequential(OrderedDict(drop=nn.Dropout(dropout), fc=hidden, act=nn.ReLU()))
        width = hidden_size
    layers["last"] = linear_head(width, num_classes, dropout)
    return nn.Sequential(layers)
