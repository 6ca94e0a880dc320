# SPDX-License-Identifier: Apache-2.0

"""Batches of training images: in which order, how many to an epoch, and seen how."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.engines import default_prepare_batch
from torch import Tensor, distributed
from torch.utils.data import DistributedSampler, Subset

from monai_ept.data.images_on_device import ImagesOnDevice, take_whole
from monai_ept.data.random_views import RandomViews
from monai_ept.data.seeded_loader import SeededDataLoader

__all__ = ["seen_at_random", "train_batches"]


def train_batches(
    images: Any,
    batch_size: int,
    *,
    steps: int | None = None,
    seed: int = 0,
    num_workers: int = 0,
    device: torch.device | None = None,
) -> SeededDataLoader:
    """
    The loader of a training; each process takes its share.

    Args:
        steps: of an epoch, which draws images round after round until there are enough; by default each image once.
        device: if it is a card with room for them, all images are moved there once, and batches taken from there.
    """
    order: dict[str, Any] = {"shuffle": True}
    if device is not None and ImagesOnDevice.suits(images, device):
        images = ImagesOnDevice(images, device)
    if isinstance(images, ImagesOnDevice):
        order["collate_fn"], num_workers = take_whole, 0  # nothing is left for other processes to do
    if steps is not None:
        images = Subset(images, _rounds(len(images), steps * batch_size, seed))
    if distributed.is_initialized():
        order |= {"shuffle": False, "sampler": DistributedSampler(images, shuffle=True, seed=seed)}
    return SeededDataLoader(images, batch_size=batch_size, num_workers=num_workers, seed=seed, drop_last=False, **order)


def _rounds(count: int, wanted: int, seed: int) -> list[int]:
    """So many indices, all as often as can be; which ones come once more is drawn."""
    generator = torch.Generator().manual_seed(seed)
    rounds = [torch.randperm(count, generator=generator) for _ in range(-(-wanted // count))]
    return torch.cat(rounds)[:wanted].tolist()


def seen_at_random(views: str) -> Callable[..., tuple[Tensor, Tensor | None]]:
    """A ``prepare_batch`` for MONAI's engines that shows random views of the images, made on the device."""
    look = RandomViews(views)

    def prepare(
        batch: Any, device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[Tensor, Tensor | None]:
        images, labels = default_prepare_batch(batch, device, non_blocking, **kwargs)
        return look(images), labels

    return prepare
