# SPDX-License-Identifier: Apache-2.0

"""A small training that takes a second: pictures whose class is a colour, and a ViT of two blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import Dataset
from monai.engines import SupervisedTrainer

from monai_ept import FitResult, TunedViT, fit
from monai_ept.data import FewShotSplit, RecordSet, SeededDataLoader, few_shot_split
from monai_ept.engines import build_trainer, cosine_schedule, make_loss, make_optimizer, network_transforms
from monai_ept.engines.recipe import SETTINGS
from tests.backbones import timm_vit

CLASSES = ("red", "green", "blue")


def pictures(num: int = 36, task: str = "multiclass") -> RecordSet:
    """Noise with one channel brighter than the others; multi-label: with any of them brighter."""
    rng = np.random.default_rng(0)
    records = []
    for index in range(num):
        image = rng.integers(0, 120, (32, 32, 3), dtype=np.uint8)
        bright = [index % 3] if task == "multiclass" else [c for c in range(3) if (index + 1) >> c & 1]
        for channel in bright:
            image[..., channel] += 60
        label: Any = index % 3 if task == "multiclass" else [int(c in bright) for c in range(3)]
        split = "test" if index >= num * 2 // 3 else "train"
        group = f"{label}_{index // 6}"  # of two pictures, all of one class
        records.append({"image": image, "label": label, "group": group, "id": f"img{index:03d}", "split": split})
    return RecordSet("pictures", records, CLASSES, task)  # type: ignore[arg-type]


def small_split(data: RecordSet, **options: Any) -> FewShotSplit:
    return few_shot_split(data, 2, **{"val": "shots", **options})


def small_net(**options: Any) -> TunedViT:
    torch.manual_seed(7)
    settings = {"method": "ept", "prompt_length": 5, "class_names": CLASSES, "dropout": 0.2, **options}
    return TunedViT(timm_vit(), 3, **settings)


def small_fit(folder: Path | None, net: TunedViT | None = None, **options: Any) -> FitResult:
    """A training of three epochs; settings of its recipe may be given beside arguments of ``fit``."""
    data = pictures()
    recipe = {"name": "train", "epochs": 3, "lr": 1e-2, "num_resamples": 10}
    recipe.update({key: options.pop(key) for key in SETTINGS if key in options})
    settings = {"track": False, "progress": False, "recipe": recipe, **options}
    return fit(net or small_net(), small_split(data), data=data, out_dir=folder, **settings)


def result_bytes(folder: Path) -> dict[str, bytes]:
    """What must be equal when two trainings are."""
    names = ("delta.safetensors", "history.json", "evaluation/metrics.json", "evaluation/predictions.csv")
    return {name: (Path(folder) / name).read_bytes() for name in names}


def loader_of(net: TunedViT, records: list[dict], batch_size: int = 5) -> SeededDataLoader:
    """Images as an evaluation reads them, with labels where they have one."""
    rows = [{key: record[key] for key in ("image", "label", "id") if key in record} for record in records]
    return SeededDataLoader(Dataset(rows, network_transforms(net)), batch_size=batch_size)


def trainer_of(
    net: TunedViT, epochs: int = 2, lr: float = 1e-2, optimizer: str = "sgd", **options: Any
) -> SupervisedTrainer:
    """A trainer of three steps an epoch."""
    dataset = Dataset(small_split(pictures()).train, network_transforms(net, train=True))
    loader = SeededDataLoader(dataset, batch_size=4, shuffle=True, seed=0)
    optim = make_optimizer(net, optimizer, lr)
    settings = {"loss_function": make_loss(), "scheduler": cosine_schedule(optim, epochs * len(loader)), **options}
    return build_trainer(net, loader, epochs=epochs, optimizer=optim, progress=False, **settings)
