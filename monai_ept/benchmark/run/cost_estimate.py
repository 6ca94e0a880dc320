# SPDX-License-Identifier: Apache-2.0

"""What a sweep will cost: counted in passes through a backbone, and corrected by what cells have taken."""

from __future__ import annotations

import json
import time
import warnings
from collections import defaultdict
from collections.abc import Sequence
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

    A cell's work is counted in passes of one image through the backbone: one forward, another for the gradients above
    the lowest layer that trains, a third for weights of the backbone that train; nothing for what is kept from other
    cells. The speed is measured on a few images of random numbers, once, and then on the cells that end.

    Args:
        cells: all cells of the sweep.
        threads: threads of a worker.
    """

    def __init__(self, cells: Sequence[Cell], threads: int = 1) -> None:
        self.threads = threads
        self._cells = list(cells)
        self._data: dict[str, RecordSet] = {}
        self._sizes: dict[str, tuple[int, int, int]] = {}
        self._shares: dict[str, tuple[float, float, float]] = {}
        self._speed: dict[str, float] = {}
        self._work: dict[str, float] = {}
        self._measured: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self.images = 0
        """Images that will be decoded."""

    def prepare(self) -> None:
        """
        Count; this loads the data and measures the backbones.

        Raises:
            ValueError: when data are not there.
        """
        for cell in self._cells:
            self._work[cell.id] = self._estimate(cell)

    def seconds(self, cell: Cell) -> float:
        """What a cell should take, by all that is known."""
        work = self._work.get(cell.id)
        if work is None:
            return 0.0
        # The nearest that was measured: the same method in the same place, the same method, anything.
        for name in (_kind(cell), f"{cell.backbone} {cell.label}", ""):
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
            for name in (_kind(cell), f"{cell.backbone} {cell.label}", ""):
                self._measured[name].append((seconds, self._work[cell.id]))

    def disk(self) -> int:
        """Bytes of decoded images and of results, roughly."""
        pixels: dict[str, int] = {}
        results = 0
        for cell in self._cells:
            _, _, test = self._size(cell)
            results += 20_000 + test * 80
            data = self._data[_source(cell)]
            if data.records:
                pixels[_source(cell)] = len(data.records) * _image_bytes(data)
        return results + sum(pixels.values())

    def _size(self, cell: Cell) -> tuple[int, int, int]:
        """Images of training, validation and test; those of one sampling stand for all."""
        source = _source(cell)
        name = json.dumps([source, cell.shots, cell.val])
        if name not in self._sizes:
            if source not in self._data:
                self._data[source] = cell_data(cell)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                split = cell_split(cell, self._data[source])
            self._sizes[name] = (len(split.train), len(split.val), len(split.test))
        return self._sizes[name]

    def _estimate(self, cell: Cell) -> float:
        train, val, test = self._size(cell)
        level, thawed, depth = self._share(cell)
        above = 1 - level / (depth + 1)  # what lies above the frozen part
        forward = self._forward(cell)
        recipe = cell.recipe
        steps = train * recipe["epochs"]
        passes = steps * (above + above * thawed)  # gradients of tokens, and of weights
        seen_before = level > 0
        if recipe["augment"]:
            passes += steps
        else:
            passes += steps * above if seen_before else steps
        passes += (val + test) * (above if seen_before else 1)
        return OVERHEAD + passes * forward + (steps * AUGMENT if recipe["augment"] else 0.0)

    def _share(self, cell: Cell) -> tuple[float, float, float]:
        name = json.dumps([cell.backbone, cell.img_size, cell.method, cell.method_settings, cell.frozen])
        if name not in self._shares:
            with torch.device("meta"):
                net = TunedViT(cell.backbone, 2, method=cell.method, img_size=cell.img_size, **cell.method_settings)
            if cell.frozen:
                net.train_head_only()
            count, depth = net.count(), len(net.vit.blocks)
            self._shares[name] = (float(trained_level(net)), min(1.0, count.delta / count.backbone), float(depth))
        return self._shares[name]

    def _forward(self, cell: Cell) -> float:
        """Seconds of one image through the backbone."""
        name = json.dumps([cell.backbone, cell.img_size])
        if name not in self._speed:
            net: Any = TunedViT(cell.backbone, 2, method="linear", img_size=cell.img_size).eval()
            images = torch.rand(4, net.vit.in_channels, *net.vit.img_size)
            before = torch.get_num_threads()
            torch.set_num_threads(self.threads)
            try:
                with torch.no_grad():
                    net(images)
                    began = time.perf_counter()
                    net(images)
                    self._speed[name] = (time.perf_counter() - began) / len(images)
            finally:
                torch.set_num_threads(before)
        return self._speed[name]


def _source(cell: Cell) -> str:
    return json.dumps(cell.source_settings, sort_keys=True)


def _kind(cell: Cell) -> str:
    return f"{cell.backbone} {cell.source} {cell.label} {cell.shots} {cell.recipe['epochs']}"


def _image_bytes(data: RecordSet) -> int:
    from monai_ept.data.image_transforms import LoadRecordd

    record: dict[Any, Any] = dict(data.records[0])
    image = LoadRecordd("image", spatial_dims=data.spatial_dims)(record)["image"]
    return int(image.numel() * image.element_size())
