# SPDX-License-Identifier: Apache-2.0

"""Random augmentation that depends on the seed, the epoch and the record, and on nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.data import DataLoader
from monai.transforms import Compose, RandomizableTransform
from torch.utils.data import Dataset, RandomSampler, get_worker_info

__all__ = ["PerSampleRandom", "SeededDataLoader"]


class PerSampleRandom(RandomizableTransform):
    """Runs random dictionary transforms with a random state of their own for each record.

    MONAI gives each worker one random stream, so what happens to a record depends on how many workers there are.
    Here the state is drawn afresh from (seed, epoch, record id), so that an epoch of :py:class:`SeededDataLoader` is
    the same for any number of workers. With MONAI's loader it is the same from one worker upwards; none is different.

    Args:
        transforms: random dictionary transforms, run in this order.
    """

    def __init__(self, transforms: Sequence[Callable]) -> None:
        super().__init__()
        self.random = Compose(transforms)
        self._seed: int | None = None
        # Shared memory, so that workers that outlive an epoch learn of the next one. -1: nobody counts epochs.
        self._epoch = torch.full((1,), -1, dtype=torch.int64).share_memory_()
        self._visits: dict[Hashable, int] = {}

    def set_random_state(self, seed: int | None = None, state: Any = None) -> PerSampleRandom:
        """Called by MONAI's loader: once without workers, and in each worker at the start of its life."""
        super().set_random_state(seed, state)
        if self._epoch.item() < 0:  # otherwise SeededDataLoader has set the seed already
            worker = get_worker_info()
            # Torch numbers the seeds of the workers of one epoch; taking the number off leaves what they share.
            self._seed = int(worker.seed - worker.id) if worker is not None else seed
            self._visits = {}
        return self

    @property
    def epoch(self) -> int:
        """The epoch that a ``SeededDataLoader`` has started; -1 where nobody counts epochs."""
        return int(self._epoch.item())

    def start_epoch(self, seed: int, epoch: int) -> None:
        """Called by :py:class:`SeededDataLoader` at the start of an epoch."""
        self._seed = seed
        self._epoch.fill_(epoch)

    def __call__(self, data: Mapping[Hashable, Any]) -> Any:
        self.random.set_random_state(seed=self._sample_seed(data))
        return self.random(data)

    def _sample_seed(self, data: Mapping[Hashable, Any]) -> int:
        if self._seed is None or "id" not in data:
            return int(self.R.randint(2**32, dtype="uint32"))
        identity = data["id"]
        turn = int(self._epoch.item())
        if turn < 0:
            turn = self._visits[identity] = self._visits.get(identity, -1) + 1
        digest = hashlib.sha256(f"{self._seed}\n{turn}\n{identity}".encode()).digest()
        return int.from_bytes(digest[:4], "little")


class SeededDataLoader(DataLoader):
    """MONAI's data loader, with the same order and the same augmentation for any number of workers.

    It counts its epochs and tells the dataset's :py:class:`PerSampleRandom` (which ``train_transforms`` uses).
    A record that comes twice in one epoch is augmented alike both times.

    Args:
        dataset: any MONAI dataset.
        num_workers: number of worker processes.
        seed: seed of order and augmentation; None takes torch's, which ``monai.utils.set_determinism`` sets.
        kwargs: passed on to :py:class:`monai.data.DataLoader`.

    Example::

        loader = SeededDataLoader(CacheDataset(split.train, train_transforms(224, 0.5, 0.5)), batch_size=4)
    """

    def __init__(self, dataset: Dataset, num_workers: int = 0, seed: int | None = None, **kwargs: Any) -> None:
        self.seed = torch.initial_seed() if seed is None else seed
        self.epoch = -1
        # A generator of its own for the order: torch draws worker seeds from the loader's, at times that depend on
        # whether workers stay.
        self._order = torch.Generator()
        if kwargs.pop("shuffle", False):
            if kwargs.get("sampler") is not None or kwargs.get("batch_sampler") is not None:
                raise ValueError("shuffle and a sampler exclude each other; the sampler decides the order.")
            kwargs["sampler"] = RandomSampler(dataset, generator=self._order)  # type: ignore[arg-type]
        super().__init__(dataset, num_workers=num_workers, **kwargs)

    def __iter__(self) -> Any:
        self.epoch += 1
        self._order.manual_seed((self.seed + self.epoch) % 2**63)
        for transform in _find(self.dataset):
            transform.start_epoch(self.seed, self.epoch)
        return super().__iter__()

    def set_epoch(self, epoch: int) -> None:
        """Make the next epoch this one, e.g. when training resumes."""
        self.epoch = epoch - 1


def _find(thing: Any) -> list[PerSampleRandom]:
    """The PerSampleRandom transforms of a dataset, also inside Compose, Subset and the like."""
    if isinstance(thing, PerSampleRandom):
        return [thing]
    if isinstance(thing, Compose):
        return [found for item in thing.transforms for found in _find(item)]
    parts = [getattr(thing, name, None) for name in ("transform", "dataset", "datasets")]
    items = [item for part in parts for item in (part if isinstance(part, (list, tuple)) else [part])]
    return [found for item in items if item is not None for found in _find(item)]
