# SPDX-License-Identifier: Apache-2.0

"""What a sweep will cost: counted in passes through a backbone, and corrected by what cells have taken."""

from __future__ import annotations

import json
import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from monai_ept.benchmark.plan.cell import Cell
from monai_ept.benchmark.plan.sweep_file import expand
from monai_ept.benchmark.run.worker_cache import cell_data, cell_split
from monai_ept.data import DataError, RecordSet
from monai_ept.engines.frozen_layers import trained_level
from monai_ept.model import TunedViT

__all__ = ["CostModel"]

OVERHEAD = 0.8
"""Seconds of a cell beside its passes: network, optimizer, split, metrics."""
BYTES_PER_WEIGHT = 16
"""Of what trains: itself, its gradient, and the two means of AdamW."""
AUGMENT = 0.006
"""Seconds to crop, resize and normalise an image."""


class CostModel:
    """
    Seconds and bytes of cells.

    Work is counted in passes of one image through the backbone: one forward, another for the gradients above the lowest
    layer that trains, a third for weights of the backbone that train; nothing for what is kept from other cells. The
    speed is measured on random images, once, and then on the cells that end.

    Args:
        cells: all cells of the sweep.
        threads: threads of a worker.
    """

    def __init__(self, cells: Sequence[Cell], threads: int = 1) -> None:
        self.threads = threads
        self._cells = list(cells)
        self._known: dict[str, Any] = {}
        self._work: dict[str, float] = {}
        self._measured: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def prepare(self) -> None:
        """
        Count; this loads the data and measures the backbones.

        Raises:
            ValueError: when data are not there.
        """
        self._work = {cell.id: self._estimate(cell) for cell in self._cells}

    def look(self, cells: Sequence[Cell]) -> dict[str, RecordSet]:
        """
        Load the data of cells, split them, and build the networks without their weights.

        Returns:
            the data by the label of their source.

        Raises:
            ValueError: when something of it cannot be, in one sentence.
        """
        for cell in cells:
            try:
                self._size(cell)
                delta = self._frozen(cell)[3]
            except DataError as error:
                more = f" ({len(error.problems) - 1} more problems are there)" * (len(error.problems) > 1)
                raise ValueError(
                    f"the data of {cell.source!r} cannot be used: {error.source}: {error.problems[0]}{more}: "
                    "mend them, or leave this source out."
                ) from error
            except (ValueError, TypeError, RuntimeError, OSError) as error:
                said = " ".join(str(error).split())
                raise ValueError(f"cell {cell.label!r} on {cell.source!r} cannot be: {said}") from error
            if delta * BYTES_PER_WEIGHT > _memory():
                raise ValueError(
                    f"{cell.label!r} would train {delta:,} numbers, which is more than the memory of this machine: "
                    "take smaller settings."
                )
        return {cell.source: self._data(cell) for cell in cells}

    def seconds(self, cell: Cell) -> float:
        """What a cell should take, by all that is known."""
        work = self._work.get(cell.id)
        if work is None:
            return 0.0
        for name in _kinds(cell):
            known = self._measured.get(name)
            if known:
                taken, expected = (sum(values) for values in zip(*known[-20:], strict=True))
                return work * taken / expected
        return work

    def left(self, cells: Sequence[Cell]) -> float:
        """What several cells should take on one worker."""
        return sum(self.seconds(cell) for cell in cells)

    def measured(self, cell: Cell, seconds: float) -> None:
        """A cell has ended."""
        if cell.id in self._work:
            for name in _kinds(cell):
                self._measured[name].append((seconds, self._work[cell.id]))

    def disk(self) -> int:
        """Bytes of decoded images and of results, roughly."""
        results = sum(20_000 + self._size(cell)[2] * 80 for cell in self._cells)
        data = {id(data): data for data in map(self._data, self._cells) if data.records}
        return results + sum(len(one.records) * _image_bytes(one) for one in data.values())

    def _once(self, make: Callable[[], Any], *key: Any) -> Any:
        name = json.dumps(key, sort_keys=True)
        if name not in self._known:
            self._known[name] = make()
        return self._known[name]

    def _data(self, cell: Cell) -> RecordSet:
        return self._once(lambda: cell_data(cell), "data", cell.source_settings)

    def _size(self, cell: Cell) -> tuple[int, int, int]:
        """Images of training, validation and test; those of one sampling stand for all."""

        def count() -> tuple[int, int, int]:
            split = cell_split(cell, self._data(cell))
            return len(split.train), len(split.val), len(split.test)

        return self._once(count, "size", cell.source_settings, cell.shots, cell.val)

    def _frozen(self, cell: Cell) -> tuple[int, float, int, int]:
        what = (cell.backbone, cell.pretrained, cell.img_size, cell.method, cell.method_settings, cell.frozen)
        return self._once(lambda: _frozen(cell), "frozen", *what)

    def _estimate(self, cell: Cell) -> float:
        train, val, test = self._size(cell)
        level, thawed, depth, _ = self._frozen(cell)
        forward = self._once(lambda: _forward(cell, self.threads), "forward", cell.backbone, cell.img_size)
        above = 1 - level / (depth + 1)  # what lies above the frozen part
        steps = train * cell.recipe["epochs"]
        augment = cell.recipe["augment"]
        passes = steps * (above + above * thawed)  # gradients of tokens, and of weights
        passes += steps if augment else steps * above
        passes += (val + test) * above
        return OVERHEAD + passes * forward + steps * AUGMENT * augment


def _frozen(cell: Cell) -> tuple[int, float, int, int]:
    """Up to where nothing trains, the share of the backbone's weights that do, its blocks, and what trains."""
    weights = expand(cell.pretrained)
    if isinstance(weights, str) and not Path(weights).is_file():
        raise FileNotFoundError(f"there is no file {weights}: correct 'pretrained' of backbone {cell.backbone!r}.")
    with torch.device("meta"):
        net = TunedViT(cell.backbone, 2, method=cell.method, img_size=cell.img_size, **cell.method_settings)
    if cell.frozen:
        net.train_head_only()
    count = net.count()
    return trained_level(net), min(1.0, count.delta / count.backbone), len(net.vit.blocks), count.delta


def _memory() -> float:
    """Bytes of this machine's memory, where it says."""
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return math.inf
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _forward(cell: Cell, threads: int) -> float:
    """Seconds of one image through the backbone."""
    net: Any = TunedViT(cell.backbone, 2, method="linear", img_size=cell.img_size).eval()
    images = torch.rand(4, net.vit.in_channels, *net.vit.img_size)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.no_grad():
            net(images)
            began = time.perf_counter()
            net(images)
            return (time.perf_counter() - began) / len(images)
    finally:
        torch.set_num_threads(before)


def _kinds(cell: Cell) -> tuple[str, str, str]:
    """From the nearest to what was measured: the same method in the same place, the same method, anything."""
    method = f"{cell.backbone} {cell.label}"
    return f"{method} {cell.source} {cell.shots} {cell.recipe['epochs']}", method, ""


def _image_bytes(data: RecordSet) -> int:
    from monai_ept.data.image_transforms import LoadRecordd

    record: dict[Any, Any] = dict(data.records[0])
    image = LoadRecordd("image", spatial_dims=data.spatial_dims)(record)["image"]
    return int(image.numel() * image.element_size())
