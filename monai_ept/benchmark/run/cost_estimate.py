# SPDX-License-Identifier: Apache-2.0

"""What a sweep will cost: counted in passes through a backbone, and corrected by what cells have taken."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch

from monai_ept.benchmark.plan.cell import Cell
from monai_ept.benchmark.run.worker_cache import cell_data, cell_split
from monai_ept.data import RecordSet
from monai_ept.engines.frozen_layers import trained_level
from monai_ept.model import TunedViT

__all__ = ["CostModel"]

OVERHEAD = 0.8
"""Seconds of a cell beside its passes: network, optimizer, split, metrics."""
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

    def _estimate(self, cell: Cell) -> float:
        train, val, test = self._size(cell)
        level, thawed, depth = self._once(
            lambda: _frozen(cell),
            *("frozen", cell.backbone, cell.img_size, cell.method, cell.method_settings, cell.frozen),
        )
        forward = self._once(lambda: _forward(cell, self.threads), "forward", cell.backbone, cell.img_size)
        above = 1 - level / (depth + 1)  # what lies above the frozen part
        steps = train * cell.recipe["epochs"]
        augment = cell.recipe["augment"]
        passes = steps * (above + above * thawed)  # gradients of tokens, and of weights
        passes += steps if augment else steps * above
        passes += (val + test) * above
        return OVERHEAD + passes * forward + steps * AUGMENT * augment


def _frozen(cell: Cell) -> tuple[int, float, int]:
    """Up to where nothing trains, the share of the backbone's weights that do, and the number of blocks."""
    with torch.device("meta"):
        net = TunedViT(cell.backbone, 2, method=cell.method, img_size=cell.img_size, **cell.method_settings)
    if cell.frozen:
        net.train_head_only()
    count = net.count()
    return trained_level(net), min(1.0, count.delta / count.backbone), len(net.vit.blocks)


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
