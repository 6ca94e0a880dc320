# SPDX-License-Identifier: Apache-2.0

"""Episodes for prototype evaluation and meta-training: N classes, K images of each to learn from, Q to ask about."""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import torch.distributed
from torch.utils.data import Sampler

__all__ = ["EpisodeBatchSampler"]

T = TypeVar("T")


class EpisodeBatchSampler(Sampler[list[int]]):
    """Batches of indices, each an N-way K-shot episode with Q queries a class.

    A batch has ``n_way * k_shot`` support indices first, class by class, then ``n_way * q_query`` query indices
    likewise. Support and query of an episode share no image, and no group if groups are given.

    Episode i of an epoch depends on the seed, the epoch and i only. Rank r of R replicas takes the episodes r, r + R,
    r + 2R, …: together they see what one process would see.

    Args:
        labels: class index of each image of the dataset, in its order.
        n_way: classes per episode.
        k_shot: support images per class.
        q_query: query images per class.
        episodes: episodes per epoch, over all replicas (rounded up to a multiple of their number).
        groups: patient, study or lesion of each image.
        seed: the same seed gives the same episodes.
        rank: this process's number; default: torch.distributed's, or 0.
        num_replicas: number of processes; default: torch.distributed's, or 1.

    Raises:
        ValueError: when too few classes have enough images (and groups), naming each class that has not.
        TypeError: when labels are lists: episodes need one class per image.

    Example::

        sampler = EpisodeBatchSampler.from_dataset(dataset, n_way=5, k_shot=1, q_query=5, episodes=100)
        for batch in monai.data.DataLoader(dataset, batch_sampler=sampler):
            support, query = sampler.split(net.features(batch["image"]))
    """

    def __init__(
        self,
        labels: Sequence[int],
        n_way: int,
        k_shot: int,
        q_query: int,
        episodes: int,
        *,
        groups: Sequence[str] | None = None,
        seed: int = 0,
        rank: int | None = None,
        num_replicas: int | None = None,
    ) -> None:
        for name, value in {"n_way": n_way, "k_shot": k_shot, "q_query": q_query, "episodes": episodes}.items():
            if value < 1:
                raise ValueError(f"{name} is {value}, it must be at least 1.")
        self.n_way, self.k_shot, self.q_query, self.episodes = n_way, k_shot, q_query, episodes
        self.seed, self.epoch = seed, 0

        active = torch.distributed.is_available() and torch.distributed.is_initialized()
        if num_replicas is None:
            num_replicas = torch.distributed.get_world_size() if active else 1
        if rank is None:
            rank = torch.distributed.get_rank() if active else 0
        if not 0 <= rank < num_replicas:
            raise ValueError(f"rank is {rank}, it must lie between 0 and num_replicas - 1 = {num_replicas - 1}.")
        self.rank, self.num_replicas = rank, num_replicas

        if groups is not None and len(groups) != len(labels):
            raise ValueError(f"there are {len(labels)} labels, but {len(groups)} groups.")
        members: dict[int, dict[Any, list[int]]] = defaultdict(lambda: defaultdict(list))
        for index, label in enumerate(labels):
            if isinstance(label, Sequence) or getattr(label, "ndim", 0) > 0:
                raise TypeError("episodes need one class per image, but the labels are lists (multi-label).")
            members[int(label)][index if groups is None else groups[index]].append(index)
        self._members = {label: list(units.values()) for label, units in sorted(members.items())}
        too_small = {label: units for label, units in self._members.items() if not self._enough(units)}
        self.classes = [label for label in self._members if label not in too_small]
        if len(self.classes) < n_way:
            sizes = ", ".join(f"{c}: {sum(map(len, u))} in {len(u)} groups" for c, u in too_small.items())
            raise ValueError(
                f"{n_way}-way episodes need {n_way} classes with {k_shot} support groups and {q_query} query images in "
                f"other groups; only {len(self.classes)} of {len(self._members)} classes have them"
                + (f", these have not ({sizes})." if sizes else ".")
            )

    @classmethod
    def from_dataset(cls, dataset: Any, *episode: int, **options: Any) -> EpisodeBatchSampler:
        """Make a sampler for a MONAI dataset from the records in its ``data``; no image is read.

        Args:
            dataset: any MONAI dataset whose ``data`` is a list of records, with "label" and perhaps "group".
            episode: n_way, k_shot, q_query and episodes, which may also be given by name.
            options: more arguments of the class.

        Raises:
            TypeError: when the dataset has no such ``data``.
        """
        records = getattr(dataset, "data", None)
        if records is None or not all(isinstance(record, dict) and "label" in record for record in records):
            raise TypeError("dataset.data must be a list of dictionaries with 'label'; otherwise pass labels.")
        groups = [record["group"] for record in records] if all("group" in record for record in records) else None
        return cls([record["label"] for record in records], *episode, groups=groups, **options)

    def set_epoch(self, epoch: int) -> None:
        """Draw other episodes; as for :py:class:`torch.utils.data.DistributedSampler`, call it before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.episodes // self.num_replicas)

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(len(self)):
            yield self.episode(step * self.num_replicas + self.rank)

    def episode(self, number: int) -> list[int]:
        """The indices of one episode of this epoch."""
        # Only random(), whose sequence Python promises to keep, and a seed that is the same on every machine.
        digest = hashlib.sha256(f"{self.seed}\n{self.epoch}\n{number}".encode()).digest()
        draw = random.Random(int.from_bytes(digest, "big"))
        support: list[int] = []
        query: list[int] = []
        for label in _pick(self.classes, self.n_way, draw):
            units = self._members[label]
            chosen = _pick(range(len(units)), self.k_shot, draw)
            support += [_pick(units[n], 1, draw)[0] for n in chosen]
            others = set(range(len(units))) - set(chosen)
            query += _pick([index for n in sorted(others) for index in units[n]], self.q_query, draw)
        return support + query

    def split(self, batch: T) -> tuple[T, T]:
        """Cut a batch (tensor or list) into support and query."""
        border = self.n_way * self.k_shot
        return batch[:border], batch[border:]  # type: ignore[index]

    def _enough(self, units: list[list[int]]) -> bool:
        """Whether any choice of K support groups leaves Q query images in other groups."""
        sizes = sorted(map(len, units), reverse=True)
        return len(sizes) >= self.k_shot and sum(sizes[self.k_shot :]) >= self.q_query


def _pick(items: Sequence[T], count: int, draw: random.Random) -> list[T]:
    """``count`` different items, in random order: the start of a Fisher-Yates shuffle."""
    pool = list(items)
    for position in range(count):
        other = position + int(draw.random() * (len(pool) - position))
        pool[position], pool[other] = pool[other], pool[position]
    return pool[:count]
