# SPDX-License-Identifier: Apache-2.0

"""One cell from beginning to end."""

from __future__ import annotations

import ctypes
import gc
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import Dataset
from torch import Tensor, nn

from monai_ept.benchmark.plan.cell import Cell
from monai_ept.benchmark.run.image_store import RecordImages
from monai_ept.benchmark.run.worker_cache import FORWARD_BATCH, Workbench, cell_split, tokens_dataset
from monai_ept.data import FewShotSplit, RecordSet, SeededDataLoader
from monai_ept.data.records import Record
from monai_ept.data.views import train_views
from monai_ept.engines import Training, evaluate_table, predict
from monai_ept.engines.frozen_layers import UpperPart, trained_level
from monai_ept.handlers.collect_predictions import PredictionTable
from monai_ept.model import TunedViT
from monai_ept.networks.embedded_prompt import EmbeddedPrompt
from monai_ept.tracking.dataset_input import dataset_of

__all__ = ["Outcome", "PeakMemory", "cell_training", "failure", "run_cell", "work_on"]


@dataclass(frozen=True)
class Outcome:
    """What came out of a cell: its ``result.json``, and its ``predictions.npz`` unless it failed."""

    result: dict[str, Any]
    predictions: dict[str, np.ndarray] | None = None


def run_cell(cell: Cell, bench: Workbench) -> Outcome:
    """
    Train and test: the training of ``fit``, without checkpoints, a report and the bootstrap.

    Raises:
        Exception: whatever data, method or training may raise.
    """
    began, cpu = time.time(), time.process_time()
    seconds: dict[str, float] = {}
    data = bench.data(cell)
    split = cell_split(cell, data)
    bench.backbone(cell, 3)
    memory = PeakMemory(bench.device)
    with _timed(seconds, "build"):
        net = bench.network(cell, data)
        cell.training_recipe.prepare(net)
        start = _trained(net), _sinks(net)
    with _timed(seconds, "train"):
        training = cell_training(cell, bench, net, split, data)
        params: dict[str, Any] = {**training.params, **({"frozen": True} if cell.frozen else {})}
        history = training.train()
    if training.solution is not None and training.solution.adapted is not None:
        params["adapted"] = "kept" if training.solution.adapted else "not used"
    tables, evaluations = {}, {}
    names = list(data.class_names)
    with _timed(seconds, "test"):
        for part in ("val", "test"):
            records = getattr(split, part)
            if records:
                tables[part] = _predict(cell, bench, net, records, data)
                evaluations[part] = evaluate_table(tables[part], task=data.task, class_names=names, num_resamples=0)
    seconds["total"] = time.time() - began
    seconds["cpu"] = time.process_time() - cpu  # what it would have taken alone on its cores
    table = tables["test"]
    assert table.labels is not None
    groups = {record["id"]: str(record["group"]) for record in split.test}
    params["sampling_of"] = cell.split["sampling"]
    result = {
        "status": "finished",
        "error": None,
        "metrics": _scalars(evaluations["test"].metrics),
        "val_metrics": _scalars(evaluations["val"].metrics) if "val" in evaluations else {},
        "count": net.count()._asdict(),
        "seconds": seconds,
        "peak_memory_mb": memory.read(),
        "num_train": len(split.train),
        "num_val": len(split.val),
        "num_test": len(split.test),
        "split_hash": split.hash,
        "dataset": dataset_of(split),
        "fingerprint": params["backbone_fingerprint"],
        "class_names": names,
        "task": data.task,
        "versions": {key.partition(".")[2]: value for key, value in params.items() if key.startswith("version.")},
        "run_id": None,
        "started": _iso(began),
        "finished": _iso(time.time()),
        "moved": _moved(*start, _trained(net), _sinks(net)),
        "warnings": list(split.summary.get("warnings", [])),
        "history": history,
        "params": params,
    }
    predictions = {
        "probabilities": table.probabilities.astype(np.float32),
        "labels": np.asarray(table.labels),
        "ids": np.asarray(table.ids, dtype=str),
        "groups": np.asarray([groups[identity] for identity in table.ids], dtype=str),
    }
    return Outcome(result, predictions)


def work_on(cell: Cell, bench: Workbench) -> Outcome:
    """The outcome of a cell; an error is one too."""
    began = time.time()
    try:
        return run_cell(cell, bench)
    except Exception as error:
        return failure(cell, error, began, traceback.format_exc())


def failure(cell: Cell, error: BaseException | str, began: float, details: str = "") -> Outcome:
    """What is written down of a cell that failed: what went wrong, in a sentence, and where."""
    text = error if isinstance(error, str) else f"{type(error).__name__}: {error}" if str(error) else repr(error)
    return Outcome(
        {
            "status": "failed",
            "error": " ".join(text.split()),
            "details": details,
            "metrics": {},
            "val_metrics": {},
            "seconds": {"total": time.time() - began},
            "run_id": None,
            "started": _iso(began),
            "finished": _iso(time.time()),
            "params": {
                "method": cell.name,
                "source": cell.source,
                "backbone": cell.backbone,
                "shots": cell.shots,
                "seed": cell.seed,
                "split_seed": cell.sampling,
            },
        }
    )


def cell_training(cell: Cell, bench: Workbench, net: TunedViT, split: FewShotSplit, data: RecordSet) -> Training:
    """The training of a cell, on images that are decoded already and without the part of the network that is frozen."""
    recipe = cell.training_recipe
    images = bench.images(cell, net, split.train, train=recipe.augment)
    network: nn.Module = net
    dataset: Any = images
    if not (recipe.solve or recipe.random_views):  # which look at images
        network, dataset = _shortened(cell, bench, net, images, fixed=not recipe.augment)
    training = Training(
        net,
        split,
        recipe,
        data=data,
        seed=cell.seed,
        device=bench.device,
        network=network,
        train_set=dataset,
        progress=False,
    )
    if recipe.solve and bench.reuse:
        training.look = partial(_look, cell, bench, bench.images(cell, net, split.train))
    return training


def _look(
    cell: Cell, bench: Workbench, images: RecordImages, net: TunedViT, *_: Any, **__: Any
) -> tuple[Tensor, Tensor]:
    """What solving sees of training images: features of all their views, and the labels."""
    labels = torch.as_tensor([record["label"] for record in images.records])
    return bench.features(cell, net, images, train_views(net.views)), labels


def _predict(
    cell: Cell, bench: Workbench, net: TunedViT, records: Sequence[Record], data: RecordSet
) -> PredictionTable:
    images = bench.images(cell, net, records)
    network, dataset = _shortened(cell, bench, net, images, fixed=True)
    loader = SeededDataLoader(dataset, batch_size=FORWARD_BATCH, num_workers=0, seed=0)
    return predict(network, loader, task=data.task, device=bench.device, amp=cell.recipe["amp"])


def _shortened(
    cell: Cell, bench: Workbench, net: TunedViT, images: RecordImages, *, fixed: bool
) -> tuple[nn.Module, Any]:
    """
    Network and data without the part that is frozen, if the images are fixed and something is gained by it.

    Args:
        fixed: whether an image always looks the same.
    """
    pooled = len(net.vit.blocks) + 1
    level = (trained_level(net) if cell.training_recipe.epochs else pooled) if bench.reuse else 0
    if not fixed:
        # On a card a batch takes as long as an image, so that one by one would be slower than anew.
        if level < pooled or bench.device.type == "cuda":
            return net, images
        return UpperPart(net, pooled), bench.augmented(cell, net, images)
    several = net.views != "one" and level <= len(net.vit.blocks)  # views are views of an image, and not of tokens
    if level < 1 or several or net.solved is not None:
        return net, images
    tokens = bench.lower(cell, net, level, images)
    return UpperPart(net, level), Dataset(tokens_dataset(images, tokens))


def _trained(net: TunedViT) -> dict[str, Tensor]:
    return {name: param.detach().clone() for name, param in net.backbone.named_parameters() if param.requires_grad}


def _sinks(net: TunedViT) -> Tensor | None:
    """The logsumexp of every embedded prompt: all that it does, and so the measure of how far it moved."""
    prompts = [module for module in net.backbone.modules() if isinstance(module, EmbeddedPrompt)]
    prompts = [prompt for prompt in prompts if prompt.embed == "concat"]
    if not prompts:
        return None
    with torch.no_grad():
        return torch.stack([prompt.sink.detach().cpu() for prompt in prompts])


def _moved(
    start: Mapping[str, Tensor], c_start: Tensor | None, end: Mapping[str, Tensor], c_end: Tensor | None
) -> dict[str, float]:
    """How far training moved what it trains: relative to its size at the start, and for prompts in their c."""
    moved: dict[str, float] = {}
    if start:
        change = sum(float((end[name] - tensor).double().square().sum()) for name, tensor in start.items())
        size = sum(float(tensor.double().square().sum()) for tensor in start.values())
        moved = {"distance": change**0.5, "relative": (change / size) ** 0.5 if size else float("nan")}
    if c_start is not None and c_end is not None:
        moved |= {
            **{"c_start": float(c_start.mean()), "c_end": float(c_end.mean())},
            **{"c_moved": float((c_end - c_start).abs().mean()), "c_moved_most": float((c_end - c_start).abs().max())},
        }
    return moved


def _scalars(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if isinstance(value, (int, float))}


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Any:
    began = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - began


class PeakMemory:
    """
    The memory that is taken beyond what the process had at the start, in megabytes.

    On a card it is what torch has allocated at most. On the host it is the highest resident size, which Linux lets a
    process reset; elsewhere the highest of the whole process stands in for it.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        gc.collect()
        self._before = 0.0
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self._before = torch.cuda.memory_allocated(device) / 2**20
            return
        if sys.platform == "linux":
            with suppress(OSError, AttributeError):
                ctypes.CDLL(None).malloc_trim(0)  # what was freed goes back, and is counted when it is taken again
            with suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5")
            self._before = _resident("VmRSS")

    def read(self) -> float:
        """The highest so far."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20 - self._before
        if sys.platform == "linux":
            return max(0.0, _resident("VmHWM") - self._before)
        try:
            import resource
        except ImportError:  # Windows
            return float("nan")
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def _resident(name: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    return float("nan")
