# SPDX-License-Identifier: Apache-2.0
"""The settings of a pretraining."""

from __future__ import annotations

from dataclasses import dataclass

from monai_ept.checks import check_number, check_whole
from monai_ept.networks.embedded_weights import SHAPE

__all__ = ["PairsRecipe", "Recipe"]

VALIDATION = 500
"""Pictures at the end of the pool that are never trained on."""


@dataclass(frozen=True)
class Shared:
    """
    What both parts of a pretraining have to say.

    Args:
        lr: highest learning rate.
        weight_decay: of AdamW.
        drop: share of the patches that are left out.
        seed: of pictures, start values, order, and patches left out.
        embed_dim: width of the network.
        depth: its layers.
        num_heads: of each layer's attention.
        img_size: side of the pictures in pixels.
        amp: compute in bfloat16 where that loses nothing.

    Raises:
        ValueError: when a setting is out of range.
    """

    lr: float = 1e-3
    weight_decay: float = 0.05
    drop: float = 0.75
    seed: int = 0
    embed_dim: int = SHAPE["embed_dim"]
    depth: int = SHAPE["depth"]
    num_heads: int = SHAPE["num_heads"]
    img_size: int = 224
    amp: bool = True

    def __post_init__(self) -> None:
        for name in ("embed_dim", "depth", "num_heads", "img_size"):
            check_whole(name, getattr(self, name))
        check_number("drop", self.drop, least=0, below=1)
        for name in ("lr", "weight_decay"):
            check_number(name, getattr(self, name), least=0)


@dataclass(frozen=True)
class Recipe(Shared):
    """
    Everything that decides what comes out of the first part, which learns to describe pictures.

    Args:
        pictures: in the pool; the last 500 are kept for validation.
        steps: of the optimizer.
        whole: share of the steps, at the end, that see whole pictures; before, most patches are left out.
        batch_size: pictures per step.

    Raises:
        ValueError: when a setting is out of range.
    """

    pictures: int = 16_000
    steps: int = 4_600
    whole: float = 0.04
    batch_size: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "batch_size"):
            check_whole(name, getattr(self, name))
        least = VALIDATION + self.batch_size
        if self.pictures < least:
            raise ValueError(f"pictures is {self.pictures}: {least} are needed, {VALIDATION} of them to validate on.")
        check_number("whole", self.whole, least=0, below=1)


@dataclass(frozen=True)
class PairsRecipe(Shared):
    """
    Everything that decides what comes out of the second part, which learns what views show the same.

    Args:
        lr: highest learning rate; the last third of the steps, it falls to nothing.
        steps: of the optimizer.
        climb: steps until the highest learning rate is reached.
        things: in a step, each seen twice.
        described: views in a step that are described; to describe one costs more than to paint it.
        fields: patterns in a bank, and in proportion shapes and hairs; eight banks are in use for 384 steps.
        match: what finding pairs weighs beside describing.
        temperature: of finding pairs.

    Raises:
        ValueError: when a setting is out of range.
    """

    lr: float = 5e-4
    steps: int = 7_500
    climb: int = 100
    things: int = 64
    described: int = 16
    fields: int = 512
    match: float = 2.0
    temperature: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "climb", "described", "fields"):
            check_whole(name, getattr(self, name))
        check_whole("things", self.things, least=2)
        check_whole("described", self.described, most=2 * self.things)
        check_number("match", self.match, least=0)
        check_number("temperature", self.temperature, above=0)
