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
from typing import Any, NamedTuple

import torch

from monai_ept.benchmark.plan.cell import Cell
from monai_ept.benchmark.plan.sweep_file import expand
from monai_ept.benchmark.run.worker_cache import cell_data, cell_split
from monai_ept.data import DataError, RecordSet
from monai_ept.data.views import test_views, train_views
from monai_ept.engines.frozen_layers import trained_level
from monai_ept.engines.recipe import Recipe
from monai_ept.engines.solve import solvable_layer, starts_of
from monai_ept.methods import Method
from monai_ept.model import TunedViT
from monai_ept.networks import tuners
from monai_ept.networks.readout import readout_width

__all__ = ["CostModel"]

OVERHEAD = 0.8
"""Seconds of a cell beside its passes: network, optimizer, split, metrics."""
BYTES_PER_WEIGHT = 16
"""Of what trains: itself, its gradient, and the two means of AdamW."""
AUGMENT = 0.006
"""Seconds to crop, resize and normalise an image."""
RIDGE = 1e-10
"""Seconds of ridge regression for each number of each pair of views."""


class _Frozen(NamedTuple):
    """What a cell's network has in it that its cost depends on."""

    level: int  # up to where nothing trains
    thawed: float  # the share of the backbone's weights that train
    depth: int  # blocks
    delta: int  # numbers that train beside the head
    tuned: bool  # whether features are not the backbone's own, before a step of training
    starts: int  # that a solved head is tried with
    width: int  # of what the head reads


class _Shared(NamedTuple):
    """Images that several cells look at in the same way: each image is computed once, for all of them."""

    what: str  # a name of the way
    images: int  # of this cell
    among: int  # how many there are to draw them from
    passes: int  # through the backbone, of each
    stored: int = 1  # rows of features of each that are kept on disk


class CostModel:
    """
    Seconds and bytes of cells.

    Work is counted in passes of one image through the backbone: one forward, another for the gradients above the lowest
    layer that trains, a third for weights of the backbone that train. What cells share is counted at the
    first of them that looks at an image. The speed is measured on random images, once, and then on the cells that end.
    """

    def __init__(self, cells: Sequence[Cell], threads: int = 1) -> None:
        self.threads = threads
        self._cells = list(cells)
        self._known: dict[str, Any] = {}
        self._work: dict[str, float] = {}
        self._drawn: dict[str, dict[int, float]] = defaultdict(dict)  # by way to look and sampling: parts of the images
        self._features = 0.0  # bytes
        self._measured: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def prepare(self) -> None:
        """
        Count; this loads the data and measures the backbones.

        Raises:
            ValueError: when data are not there.
        """
        self._drawn.clear()
        self._features = 0.0
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
                delta = self._frozen(cell).delta
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
        """Bytes of decoded images, of features and of results, roughly."""
        results = sum(20_000 + self._size(cell)[2] * 80 for cell in self._cells)
        data = {id(data): data for data in map(self._data, self._cells) if data.records}
        return results + round(self._features) + sum(len(one.records) * _image_bytes(one) for one in data.values())

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

    def _frozen(self, cell: Cell) -> _Frozen:
        what = (cell.backbone, cell.pretrained, cell.backbone_arguments, cell.method, cell.method_settings, cell.frozen)
        return self._once(lambda: _frozen(cell), "frozen", *what, cell.training_recipe.solve)

    def _estimate(self, cell: Cell) -> float:
        train, val, test = self._size(cell)
        recipe, frozen = cell.training_recipe, self._frozen(cell)
        forward = self._once(lambda: _forward(cell, self.threads), "forward", cell.backbone, cell.backbone_arguments)
        above = 1 - frozen.level / (frozen.depth + 1)  # what lies above the frozen part
        epoch = recipe.steps_per_epoch * recipe.batch_size if recipe.steps_per_epoch else train
        steps = epoch * (recipe.epochs or 0)
        passes = steps * (above + above * frozen.thawed)  # gradients of tokens, and of weights
        if recipe.augment or recipe.random_views:
            passes += 0 if self._keeps_augmented(cell) else steps
        else:
            passes += steps * above
        views = len(test_views(_views(recipe)))
        if not self._ends_frozen(cell):  # views are views of an image, so that no layer is left out below them
            kept = _keeps_solved(cell)  # and is asked, too
            passes += (val + test) * (above if views == 1 and not kept else views) * (1 + kept)
        for one in self._shared(cell):
            new = self._new(one, cell.sampling)
            passes += one.passes * new
            self._features += 4 * frozen.width * one.stored * new
        rows = train * len(train_views(_views(recipe)))
        fits = frozen.starts * (1 if cell.shots == 1 else 16)  # three penalties of five folds, and once the whole
        solving = RIDGE * fits * rows**2 * frozen.width if recipe.solve else 0.0
        return OVERHEAD + passes * forward + steps * AUGMENT * recipe.augment + solving

    def _ends_frozen(self, cell: Cell) -> bool:
        """Whether the network that is tested has only a head that is the cell's own."""
        frozen = self._frozen(cell)
        return not _keeps_solved(cell) and (cell.training_recipe.epochs == 0 or frozen.level > frozen.depth)

    def _keeps_augmented(self, cell: Cell) -> bool:
        frozen, recipe = self._frozen(cell), cell.training_recipe
        return frozen.level > frozen.depth and recipe.augment and not (recipe.solve or recipe.random_views)

    def _shared(self, cell: Cell) -> list[_Shared]:
        """What other cells may have computed already: features of views of images."""
        train, val, test = self._size(cell)
        recipe, frozen = cell.training_recipe, self._frozen(cell)
        whole = len(self._data(cell).records)
        begins = [cell.method, cell.method_settings, cell.seed] if frozen.tuned else []
        where = [cell.source_settings, cell.backbone, cell.pretrained, cell.backbone_arguments, recipe.amp]
        what = json.dumps([*where, recipe.solve and recipe.readout, _views(recipe), begins], sort_keys=True)
        pool = max(train, whole - val - test)
        found = []
        if recipe.solve:
            views = frozen.starts * len(train_views(_views(recipe)))
            found.append(_Shared(f"solve {what}", train, pool, views, views))
        if self._keeps_augmented(cell):
            seen = f"augmented {recipe.epochs} {cell.seed} {what}"
            found.append(_Shared(seen, train, pool, recipe.epochs or 0, stored=0))
        elif frozen.level > frozen.depth and recipe.epochs and not (recipe.solve or recipe.random_views):
            found.append(_Shared(f"train {what}", train, pool, 1))
        if self._ends_frozen(cell):
            ends = f"test {what}"
            found.append(_Shared(ends, test, test, len(test_views(_views(recipe)))))
            if val:
                found.append(_Shared(f"val {ends}", val, pool, len(test_views(_views(recipe)))))
        return found

    def _new(self, one: _Shared, sampling: int) -> float:
        """How many of the images no cell before this one has looked at in this way, as far as chance tells."""
        drawn = self._drawn[one.what]
        others = math.prod(1 - part for other, part in drawn.items() if other != sampling)
        # More shots of one sampling are fewer shots and more.
        before, part = drawn.get(sampling, 0.0), min(1.0, one.images / max(one.among, 1))
        drawn[sampling] = max(before, part)
        return others * (drawn[sampling] - before) * one.among


def _keeps_solved(cell: Cell) -> bool:
    return cell.training_recipe.keeps_solved(adapted=cell.adapted is not None)


def _views(recipe: Recipe) -> str:
    return (recipe.views or "one") if recipe.solve else "one"


def _frozen(cell: Cell) -> _Frozen:
    """Look at a cell's network, which is built without its weights where these do not matter."""
    weights = expand(cell.pretrained)
    if isinstance(weights, str) and not Path(weights).exists():
        raise FileNotFoundError(f"there is no file {weights}: correct 'pretrained' of backbone {cell.backbone!r}.")

    def build() -> TunedViT:
        return TunedViT(cell.backbone, 2, method=cell.method, **cell.backbone_arguments, **cell.method_settings)

    with torch.device("meta"):
        net = build()
    if cell.frozen:
        net.train_head_only()
    recipe, starts = cell.training_recipe, 1
    if recipe.solve:
        solvable_layer(net)
        net.prefer(readout=recipe.readout)
        if any(type(method).other_starts is not Method.other_starts for method in net.methods):
            begun = build()
            recipe.prepare(begun)
            starts = len(starts_of(begun))
    count = net.count()
    thawed, tuned = min(1.0, count.delta / count.backbone), any(True for _ in tuners(net.backbone))
    width = readout_width(net.vit, net.readout)
    return _Frozen(trained_level(net), thawed, len(net.vit.blocks), count.delta, tuned, starts, width)


def _memory() -> float:
    """Bytes of this machine's memory, where it says."""
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return math.inf
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _forward(cell: Cell, threads: int) -> float:
    """Seconds of one image through the backbone."""
    net: Any = TunedViT(cell.backbone, 2, method="linear", **cell.backbone_arguments).eval()
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
