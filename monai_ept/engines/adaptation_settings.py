# SPDX-License-Identifier: Apache-2.0

"""How an adaptation to images without labels goes: its settings, and how they are read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monai_ept.checks import check_choice, check_mapping, check_number, check_whole, did_you_mean
from monai_ept.data.views import VIEW_SETS
from monai_ept.model import TunedViT
from monai_ept.networks.precision import PRECISIONS

__all__ = ["Adaptation", "adaptation_of"]


@dataclass(frozen=True)
class Adaptation:
    """
    How an adaptation to images without labels goes.

    Args:
        steps: of the optimizer; rounded up to whole passes over the images where these are few.
        batch_size: images per step, each seen twice; all images where there are fewer.
        lr: of what the methods train; None takes what suits them, see ``Method.adapt_lr``.
        temperature: of the contrastive loss.
        views: "one", "upright" or "turned", what may happen to an image; None takes the network's views, and "upright"
            where it has no wish.
        amp: mixed precision, see ``at_precision``.
        check: whether a solved head may refuse the result, see ``TunedViT.start_from``.

    Raises:
        ValueError: when a setting is out of range.
    """

    steps: int = 120
    batch_size: int = 128
    lr: float | None = None
    temperature: float = 0.15
    views: str | None = None
    amp: str = "auto"
    check: bool = True

    def __post_init__(self) -> None:
        check_whole("steps", self.steps)
        check_whole("batch_size", self.batch_size, least=2)
        if self.lr is not None:
            check_number("lr", self.lr, above=0)
        check_number("temperature", self.temperature, above=0)
        if self.views is not None:
            check_choice("views", self.views, VIEW_SETS)
        check_choice("amp", self.amp, PRECISIONS)
        if not isinstance(self.check, bool):
            raise ValueError(f"check must be true or false, got {self.check!r}.")

    def prepare(self, net: TunedViT) -> Adaptation:
        """
        Fill in what depends on the network.

        Raises:
            ValueError: when its methods train nothing that could be adapted.
        """
        if not net.count().delta:
            raise ValueError(
                f"method {net.method_name} trains nothing but the head, so that there is nothing to adapt without "
                "labels: choose another method, [ln, bias] for one."
            )
        lr = min(method.adapt_lr for method in net.methods) if self.lr is None else self.lr
        return dataclasses.replace(self, lr=lr, views=self.views or ("upright" if net.views == "one" else net.views))


def adaptation_of(wanted: Mapping[str, Any] | Adaptation | None) -> Adaptation:
    """
    Settings from what a user or a configuration file says.

    Args:
        wanted: an ``Adaptation``, or a mapping of changes to the usual one; None or a value of None changes nothing.

    Raises:
        ValueError: for an unknown setting, or a value out of range.
    """
    if isinstance(wanted, Adaptation):
        return wanted
    known = [field.name for field in dataclasses.fields(Adaptation)]
    changes = check_mapping("adaptation", wanted or {}, "{'steps': 60}")
    for key in changes:
        if key not in known:
            raise ValueError(f"an adaptation has no {key!r}: {did_you_mean(key, known)}")
    if changes.get("amp") is False:  # YAML reads a plain off so
        changes["amp"] = "off"
    return Adaptation(**{key: value for key, value in changes.items() if value is not None})
