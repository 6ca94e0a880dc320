# SPDX-License-Identifier: Apache-2.0

"""A method's own parameters, trained on images without labels before anything is trained with labels."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from monai.data import Dataset
from torch import distributed

from monai_ept.data import FewShotSplit, RecordSet, SeededDataLoader
from monai_ept.data.random_views import RandomViews
from monai_ept.data.records import Record
from monai_ept.data.unlabelled import without_labels
from monai_ept.delta import DeltaError, read_delta
from monai_ept.engines.adaptation_settings import Adaptation, adaptation_of
from monai_ept.engines.contrast import ContrastOfViews, TwoViews
from monai_ept.engines.images_read import image_hashes
from monai_ept.engines.optimizer import cosine_schedule, default_weight_decay
from monai_ept.engines.setting_checks import check_seed
from monai_ept.engines.trainer import build_trainer
from monai_ept.files import file_name, full_disk_is_said, plain_json
from monai_ept.handlers import DeltaCheckpoint, StopOnSignal
from monai_ept.model import TunedViT
from monai_ept.networks.device import usable_device
from monai_ept.networks.precision import at_precision
from monai_ept.runs.network_inputs import network_transforms
from monai_ept.runs.result_folder import ResultFolder
from monai_ept.runs.result_kinds import ADAPTED_FILE
from monai_ept.start import put_state, state_of

__all__ = ["Adapted", "Unlabelled", "adapt", "adapt_before", "described_start"]

logger = logging.getLogger(__name__)

PROJECTION_LR = 1e-3
ROUND = 20
"""Steps between two checkpoints at most; a pass over fewer images is one round."""
LEAST_SIDE = math.sqrt(0.3)
"""Of a view: three tenths of the image's area, which makes the task hard enough to learn from."""


class Unlabelled:
    """
    Images without labels, and what is to be done with them.

    Args:
        records: a data set, whose training images are taken, or records; a label is never read.
        settings: of the adaptation, as ``adaptation_of`` takes them.
        split: the split that the network will be tested on.

    Raises:
        ValueError: when a test image is among them, or a setting is wrong.
    """

    def __init__(
        self,
        records: RecordSet | Sequence[Record],
        settings: Mapping[str, Any] | Adaptation | None = None,
        split: FewShotSplit | None = None,
    ) -> None:
        self.settings = adaptation_of(settings)
        self.records = without_labels(records, split)
        if distributed.is_available() and distributed.is_initialized():
            raise ValueError(
                "an adaptation runs in one process: run 'monai-ept adapt' first, and start the training from its file."
            )

    @cached_property
    def hashes(self) -> dict[str, str]:
        """A hash of each image's content."""
        return image_hashes(self.records)

    def described(self, net: TunedViT, seed: int) -> dict[str, Any]:
        """What decides the result, as plain values: images by the hash of all of them."""
        content = hashlib.sha256("".join(sorted(self.hashes.values())).encode()).hexdigest()[:16]
        settings = dataclasses.asdict(self.settings.prepare(net))
        return {"images": len(self.records), "images_hash": content, "seed": seed, **settings}


@dataclass(frozen=True)
class Adapted:
    """
    A finished adaptation.

    Args:
        path: the delta without a head, which ``TunedViT.start_from`` takes.
        history: loss and learning rate of each round.
        images: how many there were.
    """

    path: Path
    history: list[dict[str, Any]]
    images: int


def adapt(
    net: TunedViT,
    records: RecordSet | Sequence[Record],
    *,
    settings: Mapping[str, Any] | Adaptation | None = None,
    split: FewShotSplit | None = None,
    out_dir: str | Path | None = None,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    device: str | torch.device | None = None,
    num_workers: int = 0,
    transform: Any = None,
    progress: bool = True,
    handlers: Sequence[Any] = (),
) -> Adapted:
    """
    Train what a network's methods train, but for its head, on images without labels.

    Two random views of an image are to have similar features, and those of different images are not. The network then
    starts its next training from there, as with ``net.start_from(result.path)``. On a CPU the result follows from the
    seed bit for bit.

    Args:
        net: the network, not trained yet.
        records: a data set, whose training images are taken, or records with "image" and "id". Labels are not read.
        settings: an ``Adaptation``, or a mapping of changes such as ``{"steps": 60}``.
        split: the split that the network will be tested on, so that none of its test images is learnt from.
        out_dir: where to write; by default a folder in ``runs/adapted`` under a name that follows from all settings.
        seed: of order and views.
        resume: go on with an adaptation that ended early, as if it had not.
        overwrite: replace the adaptation that is in the folder, once the new one is complete.
        device: CUDA if there is a card, else CPU, by default.
        num_workers: processes that load images; the result is the same for any number.
        transform: replaces ``network_transforms(net)``.
        progress: show it.
        handlers: more Ignite handlers for the trainer.

    Raises:
        ValueError: when the methods have nothing to adapt, a test image is among the records, or a setting is wrong.
        FileExistsError: when there is an adaptation in the folder, and it is neither resumed nor to be replaced.
        CheckpointError: when resuming, and the checkpoint is of other images or settings.
        NonFiniteError: when the loss is no number any more.
        WriteError: when the disk is full or the folder cannot be written.
        TrainingStopped: on SIGTERM or Ctrl-C.

    Example::

        net = TunedViT("vit_tiny_patch16_224", data.num_classes, method=["ln", "bias"], pretrained=True, views="turned")
        adapt(net, data, split=split)
        fit(net, split, recipe="solve")
    """
    unlabelled = Unlabelled(records, settings, split)
    seed = check_seed(seed)
    where = usable_device(device)
    net.to(where)
    net.begin()
    identity = unlabelled.described(net, seed)
    at_precision(net, where, identity["amp"])  # an error now, not later
    if out_dir is None:
        about = json.dumps([net.delta_metadata(), identity], sort_keys=True, default=str)
        short = hashlib.sha256(about.encode()).hexdigest()[:6]
        out_dir = Path("runs") / "adapted" / f"{file_name(net.method_name)[:80]}-seed{seed}-{short}"
    done = _done(Path(out_dir), identity) if resume and not overwrite else None
    if done is not None:
        net.start_from(done.path, check=unlabelled.settings.check)
    else:
        place = ResultFolder(out_dir, "adaptation", resume=resume, overwrite=overwrite)
        with place, full_disk_is_said(place.folder, "the same command with resume goes on"), StopOnSignal() as stop:
            done = _adapt_into(
                *(place.begin(), net, unlabelled, seed),
                resume=resume,
                num_workers=num_workers,
                transform=transform,
                progress=progress,
                handlers=[stop, *handlers],
            )
            place.deliver()
            done = dataclasses.replace(done, path=place.find(done.path))
    return done


def described_start(net: TunedViT, unlabelled: Unlabelled | None, seed: int) -> dict[str, Any]:
    """
    Where a training starts from, for its record and its name; empty where nothing was or will be adapted.

    Args:
        unlabelled: images that it will be adapted to before it is trained.

    Raises:
        ValueError: when it starts from an adaptation already, or has nothing to adapt.
    """
    if unlabelled is None:
        return {} if net.start is None else {"start": net.start.about["hash"], "start.check": net.start.check}
    if net.start is not None:
        raise ValueError("the network starts from an adaptation already: leave unlabelled out, or start_from.")
    return {f"adapt.{key}": value for key, value in unlabelled.described(net, seed).items()}


def adapt_before(
    net: TunedViT, unlabelled: Unlabelled, seed: int, work: Path | None, *, trained: bool = False, **settings: Any
) -> None:
    """
    Adapt a network as the first part of a training, which then starts from there.

    Args:
        work: folder of the training, where the adaptation gets one of its own; None writes nothing that stays.
        trained: the training with labels has begun already: what was adapted is only named.
        settings: as ``adapt`` takes them: resume, num_workers, transform, progress.
    """
    if trained and work is not None and (work / "adapted" / ADAPTED_FILE).is_file():
        net.start_from(work / "adapted" / ADAPTED_FILE, check=False)
        return
    if settings.get("progress"):
        print(f"adapting to {len(unlabelled.records)} images without labels", file=sys.stderr, flush=True)
    with (
        tempfile.TemporaryDirectory() if work is None else nullcontext(work / "adapted") as folder,
        StopOnSignal() as stop,
    ):
        _adapt_into(Path(folder), net, unlabelled, seed, handlers=[stop], **settings)


def _done(folder: Path, identity: Mapping[str, Any]) -> Adapted | None:
    """The adaptation of a folder, if it is finished and this one."""
    path = folder / ADAPTED_FILE
    try:
        about = read_delta(path, head=False).metadata["extra"]
    except (DeltaError, OSError, KeyError):
        return None
    return Adapted(path, [], identity["images"]) if about.get("identity") == plain_json(identity) else None


def _adapt_into(
    folder: Path,
    net: TunedViT,
    unlabelled: Unlabelled,
    seed: int,
    *,
    resume: bool = False,
    num_workers: int = 0,
    transform: Any = None,
    progress: bool = True,
    handlers: Sequence[Any] = (),
) -> Adapted:
    """Adapt a network, write checkpoint and result into a folder that is the caller's, and start from there."""
    before = state_of(net)
    device = next(net.parameters()).device
    settings = unlabelled.settings.prepare(net)
    assert settings.lr is not None and settings.views is not None
    number = min(settings.batch_size, len(unlabelled.records))
    loader = SeededDataLoader(
        Dataset(unlabelled.records, network_transforms(net) if transform is None else transform),
        batch_size=number,
        num_workers=num_workers,
        seed=seed,
        shuffle=True,
        drop_last=True,  # a small batch would be an easier task
    )
    steps = min(len(loader), ROUND)
    rounds = math.ceil(settings.steps / steps)
    views = RandomViews(settings.views, least=LEAST_SIDE, gain=0.2, shift=0.3, colour=True, blur=0.5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TwoViews(net, views).to(device)
    *groups, _ = net.trainable_parameters(lr=settings.lr)  # the last is the head
    groups.append({"params": list(network.projection.parameters()), "lr": PROJECTION_LR})
    optimizer = torch.optim.AdamW(groups, lr=settings.lr, weight_decay=default_weight_decay("adamw"))
    total = rounds * steps
    scheduler = cosine_schedule(optimizer, total, warmup_steps=min(10, total // 10))
    checkpoint = DeltaCheckpoint(
        folder,
        network,
        optimizer,
        scheduler,
        resume=resume,
        identity=unlabelled.described(net, seed),
        images=unlabelled.hashes,
        interval=math.ceil(ROUND / steps),
    )
    checkpoint.last_path, checkpoint.delta_path = folder / "adapting.pt", folder / ADAPTED_FILE
    trainer = build_trainer(
        network,
        loader,
        epochs=rounds,
        epoch_length=steps,
        optimizer=optimizer,
        scheduler=scheduler,
        loss_function=ContrastOfViews(settings.temperature),
        device=device,
        amp=settings.amp,
        seed=seed,
        checkpoint=checkpoint,
        progress=progress,
        handlers=handlers,
    )
    logger.info(f"adapting {net.method_name} to {len(unlabelled.records)} images in {total} steps of {number}.")
    trainer.run()
    put_state(net, before)
    net.start_from(checkpoint.delta_path, check=settings.check)
    return Adapted(checkpoint.delta_path, trainer.state.history, len(unlabelled.records))
