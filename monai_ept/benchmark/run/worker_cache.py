# SPDX-License-Identifier: Apache-2.0

"""What a worker keeps over many cells: data, backbones, decoded images, and results of what is frozen."""

from __future__ import annotations

import json
import os
import stat
import tempfile
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from monai_ept.benchmark.plan.cell import Cell
from monai_ept.benchmark.plan.sweep_file import expand
from monai_ept.benchmark.run.feature_store import FeatureStore
from monai_ept.benchmark.run.image_store import ImageStore, RecordImages, image_key, split_transform
from monai_ept.data import FewShotSplit, PerSampleRandom, RecordSet, few_shot_split, load_source
from monai_ept.data.meta_data import plain_image
from monai_ept.data.records import Record
from monai_ept.data.views import View, test_views
from monai_ept.engines import network_transforms
from monai_ept.engines.frozen_layers import frozen_tuners, lower_part
from monai_ept.model import TunedViT
from monai_ept.networks import create_backbone
from monai_ept.networks.device import usable_device
from monai_ept.networks.precision import autocast
from monai_ept.start import start_as_written

__all__ = ["Workbench", "cell_data", "cell_split", "default_cache", "tokens_dataset"]

TOKENS_AT_MOST = 2**30
"""Bytes of results of frozen layers that a worker keeps; those of the cell at work may go beyond."""

FORWARD_BATCH = 8  # on a CPU larger batches are slower: they leave its cache


class Workbench:
    """
    Loads each thing once and keeps it.

    Args:
        reuse: False computes everything anew for each cell, to measure what the reuse is worth.
    """

    def __init__(
        self, cache: str | os.PathLike | None = None, device: str | torch.device | None = None, *, reuse: bool = True
    ) -> None:
        self.cache = Path(cache) if cache is not None else default_cache()
        self.device = usable_device(device)
        self.reuse = reuse
        self._data: dict[str, RecordSet] = {}
        self._backbones: dict[str, nn.Module] = {}
        self._stores: dict[str, ImageStore] = {}
        self._keys: dict[int, str] = {}
        self._features: FeatureStore | None = None
        self._tokens: OrderedDict[tuple[str, int, str], dict[str, Tensor]] = OrderedDict()

    def data(self, cell: Cell) -> RecordSet:
        """The cell's data set."""
        name = json.dumps(cell.source_settings, sort_keys=True)
        if name not in self._data:
            self._data[name] = cell_data(cell)
        return self._data[name]

    def backbone(self, cell: Cell, in_channels: int) -> nn.Module:
        """The cell's backbone as it came; whoever adapts it makes a copy."""
        name = _backbone_name(cell, in_channels)
        if name not in self._backbones:
            self._backbones[name] = create_backbone(
                cell.backbone, pretrained=expand(cell.pretrained), in_channels=in_channels, **cell.backbone_arguments
            )
        return self._backbones[name]

    def network(self, cell: Cell, data: RecordSet) -> TunedViT:
        """The cell's network before training; with the same seed it always begins alike."""
        backbone = self.backbone(cell, 3)
        torch.manual_seed(cell.seed)
        net = TunedViT(
            backbone,
            data.num_classes,
            method=cell.method,
            img_size=cell.img_size,
            class_names=data.class_names,
            backbone_name=cell.backbone,
            **cell.method_settings,
        )
        start_as_written(net, expand(cell.adapted))
        if cell.frozen:
            net.train_head_only()
        return net.to(self.device)

    def images(self, cell: Cell, net: TunedViT, records: Sequence[Record], train: bool = False) -> RecordImages:
        """A data set of the records, decoded once for all cells and transformed anew each time."""
        load, rest = split_transform(network_transforms(net, train=train))
        place = f"{net.vit.spatial_dims}d-{net.vit.in_channels}ch"
        if not self.reuse:
            return _Undecoded(records, load, rest)
        if place not in self._stores:
            self._stores[place] = ImageStore(self.cache / place, load)
        store = self._stores[place]
        keys = [self._key(record) for record in records]
        store.add(dict(zip(keys, records, strict=True)))
        return RecordImages(records, keys, store, rest)

    def lower(self, cell: Cell, net: TunedViT, level: int, images: RecordImages) -> list[Tensor]:
        """
        What the frozen part of the cell's network makes of images; cells whose frozen part is the same share it.

        Args:
            level: how much of it is frozen, see ``frozen_layers``; features of all of it are shared by all workers.
        """
        if level > len(net.vit.blocks):
            return list(self.features(cell, net, images, test_views(net.views), mean=True))
        known = self._known(cell, net, level)
        missing = [at for at, key in enumerate(images.keys) if key not in known]
        net.eval()
        with torch.no_grad(), autocast(self.device, cell.recipe["amp"]):
            for start in range(0, len(missing), FORWARD_BATCH):
                chosen = missing[start : start + FORWARD_BATCH]
                batch = torch.stack([plain_image(images[at]["image"]) for at in chosen]).to(self.device)
                for at, tokens in zip(chosen, lower_part(net, level, batch).float().cpu(), strict=True):
                    known[images.keys[at]] = tokens.clone()
        tokens = [known[key] for key in images.keys]
        while len(self._tokens) > 1 and _bytes(self._tokens.values()) > TOKENS_AT_MOST:
            self._tokens.popitem(last=False)
        if _bytes(self._tokens.values()) > TOKENS_AT_MOST:
            self._tokens.clear()
        return tokens

    def features(
        self, cell: Cell, net: TunedViT, images: RecordImages, views: Sequence[View], *, mean: bool = False
    ) -> Tensor:
        """Features of views of images that the network makes as it is now, see ``FeatureStore``."""
        if self._features is None:
            self._features = FeatureStore(self.cache / "features", self.device)
        of = _backbone_name(cell, net.vit.in_channels)
        return self._features.features(net, images, views, amp=cell.recipe["amp"], mean=mean, of=of)

    def augmented(self, cell: Cell, net: TunedViT, images: RecordImages) -> _AugmentedFeatures:
        """
        Pooled features of augmented images, where nothing in the backbone trains.

        How an image is augmented follows from seed, epoch and id: other heads, learning rates and shots see the same.
        """
        level = len(net.vit.blocks) + 1

        def features(image: Tensor) -> Tensor:
            with torch.no_grad(), autocast(self.device, cell.recipe["amp"]):
                return lower_part(net, level, plain_image(image)[None].to(self.device))[0].float().cpu()

        return _AugmentedFeatures(images, self._known(cell, net, level), features, cell.seed)

    def _known(self, cell: Cell, net: TunedViT, level: int) -> dict[str, Tensor]:
        read = f" {net.readout} {net.views}"
        name = _backbone_name(cell, net.vit.in_channels), level, frozen_tuners(net) + cell.recipe["amp"] + read
        known = self._tokens.setdefault(name, {})
        self._tokens.move_to_end(name)
        return known

    def _key(self, record: Record) -> str:
        # A data set stays in memory as long as the bench, so that its records keep their identities.
        if id(record) not in self._keys:
            self._keys[id(record)] = image_key(record)
        return self._keys[id(record)]


class _AugmentedFeatures(Dataset):
    """Features of images that look different in each epoch; ``known`` has those of earlier cells, and grows."""

    def __init__(
        self, images: RecordImages, known: dict[str, Tensor], features: Callable[[Tensor], Tensor], seed: int
    ) -> None:
        self.images, self.known, self.features, self.seed = images, known, features, seed
        self.transform = images.transform  # the loader tells it which epoch it is
        self._random = next(step for step in images.transform.transforms if isinstance(step, PerSampleRandom))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        record = self.images.records[index]
        key = json.dumps([self.images.keys[index], record["id"], self.seed, self._random.epoch])
        if key not in self.known:
            self.known[key] = self.features(self.images[index]["image"])
        return _row(record, self.known[key])


class _Undecoded(RecordImages):
    """Images that are decoded each time."""

    def __init__(self, records: Sequence[Record], load: Any, rest: Any) -> None:
        self.records, self.keys = records, [record["id"] for record in records]
        self.load, self.transform = load, rest

    def __getitem__(self, index: int) -> Any:
        record = self.records[index]
        return self.transform(self.load({key: record[key] for key in ("image", "label", "id")}))


def cell_data(cell: Cell) -> RecordSet:
    """
    Load the data of a cell.

    Raises:
        ValueError: when they are not there, or not right.
    """
    settings = expand(cell.source_settings)
    if settings["name"].startswith("synthetic") and not settings.get("cache_dir"):
        settings.setdefault("lazy", True)  # each picture is drawn once, into the store of decoded images
    try:
        return load_source(**settings)
    except TypeError as error:  # an option that there is not, or that is of another kind
        raise ValueError(f"source {settings['name']!r} cannot be loaded with {settings}: {error}") from error


def cell_split(cell: Cell, data: RecordSet) -> FewShotSplit:
    """
    The split of a cell; its warnings stand in its summary.

    Raises:
        ValueError: when the data have none such, or none with test images.
    """
    options: dict[str, Any] = dict(cell.split)
    options["val"] = cell.val if options["sampling"] == "fresh" or cell.val != "none" else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        split = few_shot_split(data, cell.shots, cell.sampling, **options)
    if not split.test:
        raise ValueError(f"the split of {data.name} has no test images: set test_fraction of the source.")
    return split


def default_cache() -> Path:
    """A folder of this user on this machine, which nobody else has made or can write into."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    first = Path(tempfile.gettempdir()) / f"monai_ept-images-{user}"
    for number in range(1, 100):
        folder = first if number == 1 else first.with_name(f"{first.name}-{number}")
        if _is_private(folder):
            return folder
    return Path(tempfile.mkdtemp(prefix=f"{first.name}-"))


def _is_private(folder: Path) -> bool:
    """Make a folder for this user alone if it is not there; whether it is one that only this user can have filled."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    about = folder.lstat()  # a link may lead anywhere
    if not stat.S_ISDIR(about.st_mode):
        return False
    if hasattr(os, "getuid"):
        if about.st_uid != os.getuid() or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return False
        folder.chmod(0o700)
    return True


def _backbone_name(cell: Cell, in_channels: int) -> str:
    named = [cell.backbone, cell.pretrained, cell.img_size, in_channels]
    return json.dumps([*named, cell.backbone_settings] if cell.backbone_settings else named, sort_keys=True)


def _bytes(tables: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for table in tables for tensor in table.values())


def tokens_dataset(images: RecordImages, tokens: Sequence[Tensor]) -> list[Mapping[str, Any]]:
    """Rows as an engine wants them, with what frozen layers made in the image's place."""
    return [_row(record, value) for record, value in zip(images.records, tokens, strict=True)]


def _row(record: Record, value: Tensor) -> Mapping[str, Any]:
    label = torch.as_tensor(record["label"])
    dtype = torch.int64 if label.ndim == 0 else torch.float32
    return {"image": value, "label": label.to(dtype), "id": record["id"]}
