# SPDX-License-Identifier: Apache-2.0

"""Checkpoints of a training: small, whole or not there, and enough to go on as if nothing had happened."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.utils import look_up_option
from torch import Tensor, nn
from torch.optim import Optimizer

from monai_ept.files import WriteError, remove_partials, usable_folder, write_whole
from monai_ept.handlers.sealed_file import is_intact, is_sealed, sealed
from monai_ept.networks.unwrap_network import unwrap

__all__ = ["CONTINUED", "CheckpointError", "DeltaCheckpoint", "last_good_state"]

FORMAT = "monai_ept.checkpoint"
VERSION = 3
"""Earlier ones are read too: 1 held random states besides, which every epoch sets itself (``SeedEachEpoch``); 1 and 2
had neither a checksum nor the hashes of the images."""

CONTINUED = "schedule_ended_at"
"""In the identity of a training that has gone on with more epochs: after which ones a schedule of its had ended."""

_PARTS = ("identity", "epoch", "delta", "optimizer", "scheduler", "scaler", "best", "history")

logger = logging.getLogger(__name__)


class CheckpointError(ValueError):
    """A checkpoint that cannot be used, and why."""


class DeltaCheckpoint:
    """Writes what training changes after each epoch, keeps the last and the best, and goes on from the last.

    A checkpoint holds the delta (what the method trains, and the head), optimizer, schedule, gradient scaler, epoch,
    best score and the history of epochs; not the backbone, and no random states, which ``SeedEachEpoch`` makes the
    same for a process that resumes. A kill at any moment leaves the one before, and no code in it is ever run. It
    carries a checksum: with one bit of it flipped, nobody goes on from it.

    In ``folder`` there will be ``last.pt``, ``best.pt`` where there is an evaluator, and at the end
    ``delta.safetensors``, the result. They are written after all that other handlers do at the end of an epoch.

    Args:
        folder: where to; made if need be, and tried before training starts.
        network: the ``TunedViT`` that trains, or one inside ``DistributedDataParallel``.
        optimizer: its optimizer.
        scheduler: the learning rate schedule, if there is one.
        evaluator: the engine that validates after an epoch and knows the best score.
        select: "last" takes the last epoch as the result, "val" the best one on validation data.
        resume: go on from ``last.pt`` if it is there; without it the training starts over and replaces it.
        identity: whatever must be the same for a training to go on: hash of the split, seed, learning rate, …
        images: hash of each image that is trained or validated on, by its id: none of them may have changed either.
        interval: write after every so many epochs, and after the last.
        earlier: the last checkpoint of the same training with fewer epochs, which is gone on from where there is none
            in ``folder``, or which is the one in ``folder``.

    Raises:
        ValueError: when ``select`` is "val" and there is no evaluator.
        CheckpointError: on start, when the checkpoint is damaged or belongs to another training.
        WriteError: when it cannot be written; the one before is intact then.
    """

    def __init__(
        self,
        folder: str | Path,
        network: nn.Module,
        optimizer: Optimizer,
        scheduler: Any = None,
        *,
        evaluator: Any = None,
        select: str = "last",
        resume: bool = False,
        identity: Mapping[str, Any] | None = None,
        images: Mapping[str, str] | None = None,
        interval: int = 1,
        earlier: Path | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.last_path, self.best_path = self.folder / "last.pt", self.folder / "best.pt"
        self.delta_path = self.folder / "delta.safetensors"
        self.network, self.optimizer, self.scheduler, self.evaluator = network, optimizer, scheduler, evaluator
        self.select = look_up_option(select, ("last", "val"))
        if select == "val" and evaluator is None:
            raise ValueError("select='val' needs an evaluator that validates: give one, or select='last'.")
        self.resume, self.interval, self._earlier = resume, interval, earlier
        self._given = dict(identity or {})
        self._images = dict(images or {})
        self._identity: dict[str, Any] = {}
        self._hooked = False

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._start)

    @property
    def found(self) -> Path | None:
        """The checkpoint that is gone on from; None where the training begins with its first epoch."""
        places = (self.last_path, self._earlier) if self.resume else ()
        return next((path for path in places if path is not None and path.is_file()), None)

    def _start(self, engine: Any) -> None:
        if not self._hooked:
            # Only now, so that what others do at the end of an epoch (validate, for one) is done before.
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch_completed)
            engine.add_event_handler(Events.COMPLETED, self._completed)
            self._hooked = True
        self._identity = self._describe(engine)
        engine.state.last_checkpoint = None
        if engine.state.rank == 0:
            usable_folder(self.folder)
            for path in (self.last_path, self.best_path, self.delta_path):
                remove_partials(self.folder, path.name)
        if self.found is not None:
            self._go_on(engine)
        elif self.resume:
            logger.info(f"{self.last_path} is not there: the training starts from the beginning.")
        elif self.last_path.exists() and engine.state.rank == 0:
            if not engine.state.epoch:
                logger.warning(
                    f"{self.last_path} is from an earlier training and will be replaced: resume would go on from it."
                )
            # An earlier training's best must not be taken for ours; its last is replaced at the end of an epoch.
            self.best_path.unlink(missing_ok=True)
        if self.found is None and self.evaluator is not None:  # nor that of an earlier round of a federation
            self.evaluator.state.best_metric, self.evaluator.state.best_metric_epoch = -1, -1

    def _epoch_completed(self, engine: Any) -> None:
        state = engine.state
        if engine.state.rank != 0 or (state.epoch % self.interval and state.epoch != state.max_epochs):
            return
        content = self._content(engine)
        # The best first: killed between the two, the training goes on from an epoch that will write this best again.
        if self.evaluator is not None and self.evaluator.state.best_metric_epoch == state.epoch:
            self._write(self.best_path, content, engine)
        self._write(self.last_path, content, engine)
        state.last_checkpoint = (str(self.last_path), state.epoch)

    def _completed(self, engine: Any) -> None:
        if self.select == "val":
            if torch.distributed.is_available() and torch.distributed.is_initialized():
                torch.distributed.barrier()  # the first process may still be writing it
            content = self.read(self.best_path)
            self._put_delta(content["delta"], self.best_path)
            logger.info(f"epoch {content['epoch']} was best on validation data and is the result.")
        if engine.state.rank == 0:
            self.save_delta(epoch=self.evaluator.state.best_metric_epoch if self.select == "val" else None)

    def save_delta(self, epoch: int | None = None) -> Path:
        """Write the delta of the network as it is now, the file that users carry away."""
        extra: dict[str, Any] = {"select": self.select, "identity": _plain(self._given)}
        unwrap(self.network).save_delta(self.delta_path, **extra, **({} if epoch is None else {"epoch": epoch}))
        return self.delta_path

    def _describe(self, engine: Any) -> dict[str, Any]:
        about = unwrap(self.network).delta_metadata()
        network = {key: about[key] for key in ("methods", "num_classes", "class_names", "img_size", "in_channels")}
        network["backbone"] = about["backbone"]["fingerprint"]
        settings = {"epochs": engine.state.max_epochs, "steps_per_epoch": engine.state.epoch_length}
        return _plain({**network, **settings, **self._given})

    def _content(self, engine: Any) -> dict[str, Any]:
        state = engine.state
        best = self.evaluator.state if self.evaluator is not None else state
        scaler = getattr(engine, "scaler", None)
        return {
            "format": FORMAT,
            "version": VERSION,
            "identity": self._identity,
            "images": self._images,
            "epoch": state.epoch,
            "delta": {k: v.detach().cpu().clone() for k, v in unwrap(self.network).delta_tensors().items()},
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "best": {"metric": float(best.best_metric), "epoch": int(best.best_metric_epoch)},
            "history": list(getattr(state, "history", [])),
        }

    def _write(self, path: Path, content: Mapping[str, Any], engine: Any) -> None:
        buffer = io.BytesIO()
        torch.save(content, buffer)
        try:
            write_whole(path, sealed(buffer.getvalue()))
        except WriteError as error:
            left = getattr(engine.state, "last_checkpoint", None)
            if left and not Path(left[0]).is_file():
                raise WriteError(
                    f"the checkpoint of epoch {engine.state.epoch} cannot be written: {self.folder} was removed while "
                    "the training ran, and the checkpoint before with it; start it again."
                ) from error
            kept = f"the checkpoint of epoch {left[1]} is intact" if left else "no checkpoint was written yet"
            reason = error.__cause__ or error
            raise WriteError(
                f"the checkpoint of epoch {engine.state.epoch} cannot be written to {path} "
                f"({getattr(reason, 'strerror', None) or reason}); {kept}: make room, and the same command with "
                "resume goes on."
            ) from error

    @staticmethod
    def read(path: str | Path) -> dict[str, Any]:
        """Read a checkpoint.

        Raises:
            CheckpointError: when it is damaged or none of ours.
            FileNotFoundError: when it is not there.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"checkpoint {path} does not exist: train first, or give the folder of a training.")
        try:
            raw = path.read_bytes()
            content = torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
        except Exception as error:  # torch, zipfile and pickle each raise their own
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise _damaged(path, reason[:200]) from error
        if not is_intact(raw):
            raise _damaged(path, "its content is not what its checksum says")
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise CheckpointError(f"{path} is no checkpoint of monai_ept: give the folder of a training.")
        if content.get("version") not in range(1, VERSION + 1):
            raise CheckpointError(
                f"checkpoint {path} has version {content.get('version')}, this release reads up to {VERSION}: "
                "go on with the release of monai_ept that wrote it."
            )
        missing = [part for part in _PARTS if part not in content]
        if missing or (content["version"] >= 3 and not is_sealed(raw)):
            raise _damaged(path, f"it has no {missing[0] if missing else 'checksum'!r}")
        return content

    def check(self, engine: Any) -> dict[str, Any] | None:
        """
        The checkpoint that a trainer will go on from, if there is one, and it is its own.

        Raises:
            CheckpointError: when it is damaged or belongs to another training.
        """
        path = self.found
        if path is None:
            return None
        content = self.read(path)
        theirs, ours = content["identity"], self._describe(engine)
        more = self._earlier is not None and theirs["epochs"] < ours["epochs"]
        for key in sorted((theirs.keys() | ours.keys()) - ({"epochs", CONTINUED} if more else set())):
            if theirs.get(key) != ours.get(key):
                raise CheckpointError(
                    f"checkpoint {path} belongs to another training: its {key} is {theirs.get(key)!r} and here it is "
                    f"{ours.get(key)!r}; resume with the same settings, or train into another folder."
                )
        read = content.get("images") or {}
        changed = sorted(key for key in read if key in self._images and read[key] != self._images[key])
        if changed:
            more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
            raise CheckpointError(
                f"checkpoint {path} was trained on other images: {', '.join(map(repr, changed[:3]))}{more} of "
                f"{len(read)} have changed since; put back what they were, or train into another folder."
            )
        if more and self.scheduler is not None and content["epoch"] != theirs["epochs"]:
            raise CheckpointError(
                f"checkpoint {path} is of epoch {content['epoch']} of {theirs['epochs']}: end it first."
            )
        return content

    def _go_on(self, engine: Any) -> None:
        path, content = self.found, self.check(engine)
        assert path is not None and content is not None
        self._put_delta(content["delta"], path)
        self.optimizer.load_state_dict(content["optimizer"])
        if self.scheduler is not None and content["scheduler"] is not None:
            self.scheduler.load_state_dict(content["scheduler"])
            if content["identity"]["epochs"] < engine.state.max_epochs:  # the rate that the longer schedule has here
                self.scheduler.last_epoch -= 1
                self.scheduler.step()
        if getattr(engine, "scaler", None) is not None and content["scaler"]:
            engine.scaler.load_state_dict(content["scaler"])
        state = engine.state
        state.epoch = content["epoch"]
        state.iteration = content["epoch"] * (state.epoch_length or 0)
        state.history = list(content["history"])
        best = self.evaluator.state if self.evaluator is not None else state
        best.best_metric, best.best_metric_epoch = content["best"]["metric"], content["best"]["epoch"]
        best_path = path.with_name(self.best_path.name)
        if best_path != self.best_path and best_path.is_file() and state.rank == 0:
            write_whole(self.best_path, best_path.read_bytes())
        state.last_checkpoint = (str(path), state.epoch)
        logger.info(f"resumed from {path}: epoch {state.epoch} of {state.max_epochs} is done.")

    def _put_delta(self, delta: Mapping[str, Tensor], path: Path) -> None:
        targets = unwrap(self.network).delta_tensors()
        ours, theirs = ({name: tensor.shape for name, tensor in one.items()} for one in (targets, delta))
        odd = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
        if odd:
            raise CheckpointError(f"checkpoint {path} does not hold what this network trains: {odd[0]!r} differs.")
        with torch.no_grad():
            for name, value in delta.items():
                targets[name].copy_(value)


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"checkpoint {path} cannot be read ({reason}): it is damaged; delete it and train again.")


def last_good_state(engine: Any) -> str:
    """What is left of a training that ends early, for its last message."""
    written = getattr(engine.state, "last_checkpoint", None) if engine is not None else None
    if written is None:
        return "no checkpoint was written yet."
    path, epoch = written
    if not Path(path).is_file():
        return f"{path}, the last good state, was removed while the training ran."
    return f"the last good state is {path} (epoch {epoch}): the same command with resume goes on from there."


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON has it, so that what was written and what is here can be compared."""
    return json.loads(json.dumps(values, default=str))
