# SPDX-License-Identifier: Apache-2.0

"""What the pretrained and the tuned network see in the same images, in one pass over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.data import Dataset
from monai.networks.utils import eval_mode

from monai_ept.analysis.kept_attention import KeptAttention, ScalingMaps
from monai_ept.data import SeededDataLoader
from monai_ept.data.records import Record
from monai_ept.model import TunedViT

__all__ = ["Features", "collect_features", "collect_logits"]


@dataclass(frozen=True)
class Features:
    """One row per image."""

    ids: list[str]
    groups: list[str]  # patient, study or lesion of each
    labels: np.ndarray  # class indices (images,), or 0/1 (images, classes)
    pretrained: np.ndarray  # features of the backbone alone, (images, width)
    tuned: np.ndarray  # features of the tuned network, of the same shape
    logits: np.ndarray  # of the tuned network, before any temperature


def collect_features(
    net: TunedViT,
    records: Sequence[Record],
    transform: Any,
    *,
    device: str | torch.device = "cpu",
    batch_size: int = 32,
    num_workers: int = 0,
    progress: bool = False,
) -> tuple[Features, ScalingMaps | None]:
    """
    Run both networks over the images.

    Args:
        net: the network, on ``device`` already.
        records: the images.
        transform: from a record to what the network takes.
        device, batch_size, num_workers and progress: as in ``analyze``.

    Returns:
        the features, and the scaling maps where the method has some.
    """
    labels = np.asarray([record["label"] for record in records], dtype=np.int64)
    member = labels.astype(bool) if labels.ndim == 2 else labels[:, None] == np.arange(net.num_classes)
    rows: dict[str, list[np.ndarray]] = {"pretrained": [], "tuned": [], "logits": []}
    taken: list[torch.Tensor] = []
    seen: list[str] = []
    with eval_mode(net), torch.inference_mode():
        for batch in _batches(records, transform, batch_size, num_workers, progress):
            images = batch["image"].to(device)
            with net.disabled():
                rows["pretrained"].append(_array(net.features(images)))
            with KeptAttention(net) as kept:
                tuned = net.features(images)
            rows["tuned"].append(_array(tuned))
            rows["logits"].append(_answers(net, images))
            if kept.layers:
                taken.append(kept.take().cpu())
            seen += batch["id"]
    features = {name: np.concatenate(parts) for name, parts in rows.items()}
    groups = [str(record["group"]) for record in records]
    return Features(seen, groups, labels, **features), ScalingMaps.of(net, taken, member)


def collect_logits(
    net: TunedViT,
    records: Sequence[Record],
    transform: Any,
    *,
    device: str | torch.device = "cpu",
    batch_size: int = 32,
    num_workers: int = 0,
) -> np.ndarray:
    """Logits ``(images, classes)`` before any temperature."""
    with eval_mode(net), torch.inference_mode():
        batches = _batches(records, transform, batch_size, num_workers, False)
        return np.concatenate([_answers(net, batch["image"].to(device)) for batch in batches])


def _answers(net: TunedViT, images: torch.Tensor) -> np.ndarray:
    """What the network answers, over all its views, before any temperature."""
    return _array(net(images) * net.temperature)


def _batches(records: Sequence[Record], transform: Any, batch_size: int, num_workers: int, progress: bool) -> Any:
    bare = [{"image": record["image"], "id": record["id"]} for record in records]
    loader: Any = SeededDataLoader(Dataset(bare, transform), batch_size=batch_size, num_workers=num_workers, seed=0)
    if progress:
        from tqdm import tqdm

        return tqdm(loader, desc=f"{len(records)} images", unit="batch", leave=False)
    return loader


def _array(tensor: torch.Tensor) -> np.ndarray:
    return np.asarray(tensor.float().cpu().numpy(), dtype=np.float64)
