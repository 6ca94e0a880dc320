# SPDX-License-Identifier: Apache-2.0

"""What a training is put together from: network, split and recipe become loaders, optimizer, engines and handlers."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.data import CacheDataset, Dataset
from monai.engines import SupervisedTrainer
from torch import distributed, nn

from monai_ept.checks import check_choice, did_you_mean
from monai_ept.data import FewShotSplit, RecordSet, SeededDataLoader
from monai_ept.data.records import bare_records
from monai_ept.engines.adaptation import Unlabelled, described_start
from monai_ept.engines.before_training import adapt_and_solve
from monai_ept.engines.images_read import image_hashes
from monai_ept.engines.loss import class_weights, make_loss
from monai_ept.engines.more_epochs import Earlier, find_earlier
from monai_ept.engines.optimizer import cosine_schedule, make_optimizer
from monai_ept.engines.recipe import Recipe, recipe_of
from monai_ept.engines.run_description import describe_run, run_name
from monai_ept.engines.setting_checks import check_seed, check_settings, meaning_of
from monai_ept.engines.solve import Solution, solvable_layer, view_features
from monai_ept.engines.train_batches import seen_at_random, train_batches
from monai_ept.engines.trainer import build_trainer
from monai_ept.evaluation.evaluator import build_evaluator
from monai_ept.files import file_name
from monai_ept.handlers import DeltaCheckpoint, MeanLoss, MLflowTracking, StopOnSignal
from monai_ept.metrics.classification import metric_names
from monai_ept.metrics.positive_class import PositiveClass
from monai_ept.model import TunedViT
from monai_ept.networks.compiled_network import CompiledNetwork
from monai_ept.networks.device import usable_device
from monai_ept.runs.network_inputs import network_transforms
from monai_ept.runs.result_folder import ResultFolder
from monai_ept.runs.training_record import with_absolute_path
from monai_ept.tracking.dataset_input import dataset_of

__all__ = ["TrainingParts"]

logger = logging.getLogger(__name__)


class TrainingParts:
    """
    Loaders, optimizer, engines and handlers of a training, each made when it is asked for, and once.

    Args:
        net: the network; what it starts with is its own business, seed torch before building it.
        split: training, validation and test records.
        recipe: a ``Recipe``, its name, or a mapping of changes, see ``recipe_of``.
        data: the data set of the split, for class names and task; the network's names and the labels' kind otherwise.
        seed: of order, augmentation, dropout and the bootstrap.
        folder: where everything is written; True: in ``runs``, under a name in which everything differs that decides
            the result; None writes nothing.
        resume: go on with a training that ended early, as if it had not.
        overwrite: replace the training that is in the folder, once the new one is complete.
        device: CUDA if there is a card, else CPU, by default.
        num_workers: processes that load images; the result is the same for any number.
        positive: the class that is looked for: its name, a ``PositiveClass``, or a mapping of its arguments; that of
            the data by default.
        unlabelled: images without labels that the network is adapted to first, see ``adapt``.
        network: what the engines call in the place of ``net``; around it, if need be, stands
            ``DistributedDataParallel``.
        train_set: training images, ready for batches; by default those of the split with ``train_transform``.
        val_set: validation images.
        test_set: test images.
        train_transform: replaces ``network_transforms(net, train=True)``.
        eval_transform: replaces ``network_transforms(net)``.
        inferer: replaces MONAI's ``SimpleInferer``.
        tracking: arguments of ``MLflowTracking``: experiment, run_name, tags, tracking_uri; None records nothing.
        progress: show it.
        handlers: more Ignite handlers for the trainer.
        val_handlers: more of them for the evaluator.
        origin: what else the record of the training says: ``name`` of the bundle, and ``data``, ``network`` and
            ``transforms``, the plain values that they were built from.

    Raises:
        ValueError: when things do not go together.
        FileExistsError: when the folder holds a result, and it is neither to be replaced nor gone on with.
        WriteError: when the folder cannot be one.
    """

    def __init__(
        self,
        net: TunedViT,
        split: FewShotSplit,
        recipe: str | Mapping[str, Any] | Recipe = "default",
        *,
        data: RecordSet | None = None,
        seed: int = 0,
        folder: str | Path | bool | None = None,
        resume: bool = False,
        overwrite: bool = False,
        device: str | torch.device | None = None,
        num_workers: int = 0,
        positive: PositiveClass | Mapping[str, Any] | str | None = None,
        unlabelled: Unlabelled | None = None,
        network: nn.Module | None = None,
        train_set: Any = None,
        val_set: Any = None,
        test_set: Any = None,
        train_transform: Any = None,
        eval_transform: Any = None,
        inferer: Any = None,
        tracking: Mapping[str, Any] | None = None,
        progress: bool = True,
        handlers: Sequence[Any] = (),
        val_handlers: Sequence[Any] = (),
        origin: Mapping[str, Any] | None = None,
    ) -> None:
        check_settings(
            recipe=recipe,
            seed=seed,
            device=device,
            num_workers=num_workers,
            resume=resume,
            track=tracking if tracking is not None else False,
        )
        recipe, seed = recipe_of(recipe), check_seed(seed)
        if recipe.select == "val" and not split.val:
            raise ValueError("select='val' needs validation images and the split has none: make it with val='shots'.")
        if recipe.select == "val" and folder is None:
            raise ValueError("select='val' keeps the best epoch on disk: give the training a folder.")
        self.task, self.class_names, self.positive = meaning_of(net, split, data, positive)
        if recipe.key_metric is not None:
            check_choice("key_metric", recipe.key_metric, metric_names(self.task))
        self.device = usable_device(device)
        self.net = net.to(self.device)
        recipe = recipe.for_methods(net.methods)
        if recipe.solve:
            solvable_layer(net)
        self._wanted, self.recipe = recipe, recipe.prepare(net)
        self.split, self.data, self.seed = split, data, seed
        self.resume, self.num_workers, self.progress = resume, num_workers, progress
        self.inferer, self.handlers, self.val_handlers = inferer, list(handlers), list(val_handlers)
        self.origin = dict(origin or {})
        self._network = network
        self._sets = {"train": train_set, "val": val_set, "test": test_set}
        self._transforms = {"train": train_transform, "eval": eval_transform}
        self._tracking = tracking
        self.unlabelled = unlabelled
        self.settings = {**self.recipe.described(seed), **described_start(net, unlabelled, seed)}
        also = {"recipe": self.recipe.name, "augment": self.recipe.augment}
        self.params = describe_run(net, split, {**also, **self.settings})
        loaded = split.origin if data is None else split.origin or data.origin
        self.record: dict[str, Any] = {
            **{"name": "fit", "data": loaded, **self.origin},
            "recipe": self.recipe.to_dict(),
            "seed": seed,
            "class_names": self.class_names,
            "task": self.task,
            "spatial_dims": net.vit.spatial_dims,
            "params": self.params,
            "positive": None if self.positive is None else self.positive.to_dict(),
        }
        self.record["data"] = with_absolute_path(self.record["data"])
        self.place: ResultFolder | None = None
        self.earlier: Earlier | None = None
        runs = Path("runs") / file_name(self.origin.get("name") or split.source)
        if folder is not None and folder is not False:
            where = runs / self.name if folder is True else Path(folder)
            if resume:
                where, overwrite = find_earlier(self, where, runs if folder is True else None, overwrite)
            self.place = ResultFolder(where, "training", resume=resume, overwrite=overwrite)

    @property
    def name(self) -> str:
        """Of the run, and of its folder where that has no other: everything differs in it that decides the result."""
        return run_name(self.record)

    def record_at(self, epochs: int) -> dict[str, Any]:
        """What the record of this training would say, had it another number of epochs."""
        recipe = self._wanted.changed(epochs=epochs).filled(self.net)
        return {**self.record, "recipe": recipe.to_dict(), "params": {**self.params, **recipe.described(self.seed)}}

    @property
    def folder(self) -> Path | None:
        """Where the result will be."""
        return None if self.place is None else self.place.folder

    @property
    def work(self) -> Path | None:
        """Where everything is written until it is complete: the folder, or one beside it if there is a result in it."""
        return None if self.place is None else self.place.work

    # -------------------------------------------------------------------------------------------------------- the parts

    @cached_property
    def network(self) -> nn.Module:
        """What the trainer calls: the network, compiled if so wanted, or ``DistributedDataParallel`` around it."""
        network = self._network if self._network is not None else self.net
        if self.recipe.compile:
            network = CompiledNetwork(network)
        if not distributed.is_initialized():
            return network
        devices = [self.device] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=devices, broadcast_buffers=False)

    def transform(self, phase: str) -> Any:
        """The transforms of "train" or "eval"."""
        if self._transforms[phase] is not None:
            return self._transforms[phase]
        augment = phase == "train" and self.recipe.augment
        return network_transforms(self.net, train=augment, **self.origin.get("transforms", {}))

    def dataset(self, part: str) -> Any:
        """The images of "train", "val" or "test", ready for batches."""
        if self._sets[part] is None:
            records = bare_records(getattr(self.split, part))
            if part == "train":  # decoded once, and augmented anew in each epoch
                self._sets[part] = CacheDataset(records, self.transform("train"), progress=False, num_workers=None)
            else:
                self._sets[part] = Dataset(records, self.transform("eval"))
        return self._sets[part]

    @cached_property
    def solving_loader(self) -> SeededDataLoader:
        """Batches of training images as they are, in their order, for the head in closed form."""
        augmented = self.recipe.augment
        images = Dataset(bare_records(self.split.train), self.transform("eval")) if augmented else self.dataset("train")
        return SeededDataLoader(
            images, batch_size=self.recipe.eval_batch_size, num_workers=self.num_workers, seed=self.seed
        )

    @cached_property
    def train_loader(self) -> SeededDataLoader:
        """Batches of training images; each process takes its share."""
        given = self._sets["train"] is not None or self._transforms["train"] is not None
        kept = None if given or self.recipe.augment else self.device  # images that are no others in the next epoch
        images, size, steps = self.dataset("train"), self.recipe.batch_size, self.recipe.steps_per_epoch
        return train_batches(images, size, steps=steps, seed=self.seed, num_workers=self.num_workers, device=kept)

    def eval_loader(self, part: str) -> SeededDataLoader:
        """Batches of "val" or "test"."""
        return SeededDataLoader(
            self.dataset(part), batch_size=self.recipe.eval_batch_size, num_workers=self.num_workers, seed=self.seed
        )

    @cached_property
    def evaluator(self) -> Any:
        """The engine that validates after an epoch; None when nothing is validated."""
        if not self.split.val or (self.recipe.val_interval is None and self.recipe.select != "val"):
            return None
        return build_evaluator(
            self.net,
            self.eval_loader("val"),
            task=self.task,
            class_names=self.class_names,
            key_metric=self.recipe.key_metric,
            device=self.device,
            handlers=self.val_handlers,
            **self._inferer(),
        )

    def _inferer(self) -> dict[str, Any]:
        """What both engines are told, where somebody chose it."""
        return {} if self.inferer is None else {"inferer": self.inferer}

    @cached_property
    def optimizer(self) -> torch.optim.Optimizer:
        recipe = self.recipe
        assert recipe.lr is not None
        return make_optimizer(
            self.net,
            recipe.optimizer,
            recipe.lr,
            head_lr=recipe.head_lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
        )

    @cached_property
    def scheduler(self) -> Any:
        """The learning rate's schedule, stepped after each step; None where it is constant."""
        if self.recipe.schedule == "constant" or not self.recipe.epochs:
            return None
        steps = self.recipe.epochs * len(self.train_loader)
        return cosine_schedule(self.optimizer, steps, warmup_steps=self.recipe.warmup_steps)

    @cached_property
    def loss(self) -> nn.Module:
        weights = class_weights(self.split.train, self.net.num_classes) if self.recipe.class_weighting else None
        return make_loss(self.task, weights, label_smoothing=self.recipe.label_smoothing).to(self.device)

    @cached_property
    def checkpoint(self) -> DeltaCheckpoint | None:
        """Writes checkpoints and the delta, and resumes; None where nothing is written."""
        if self.work is None:
            return None
        return DeltaCheckpoint(
            self.work,
            self.net,
            self.optimizer,
            self.scheduler,
            evaluator=self.evaluator,
            select=self.recipe.select,
            resume=self.resume,
            identity={**self.settings, "split": self.split.hash, "task": self.task},
            images=image_hashes([*self.split.train, *self.split.val]),
            earlier=None if self.earlier is None else self.earlier.checkpoint,
        )

    @cached_property
    def tracking(self) -> MLflowTracking:
        """The record in MLflow."""
        given = dict(self._tracking or {})
        tracking = MLflowTracking(
            given.pop("run_name", None) or self.name,
            given.pop("experiment", None) or self.split.source,
            given.pop("tracking_uri", None),
            params=self.params,
            tags=given.pop("tags", None),
            dataset=dataset_of(self.split),
            artifacts_dir=self.work,
            enabled=self._tracking is not None and self.folder is not None,
            resume=self.resume,
        )
        if given:
            raise ValueError(
                f"track has no {next(iter(given))!r}: it takes experiment, run_name, tags and tracking_uri."
            )
        if self.evaluator is not None:
            tracking.attach_evaluator(self.evaluator, prefix="val")
        return tracking

    @cached_property
    def stop(self) -> StopOnSignal:
        """Turns Ctrl-C and SIGTERM into an orderly end."""
        return StopOnSignal()

    @cached_property
    def trainer(self) -> Any:
        return self.make_trainer()

    solution: Solution | None = None
    """What solving has chosen, once it is done."""
    look: Any = staticmethod(view_features)
    """What solving sees images with; a sweep has one that remembers."""

    def learn(self) -> Any:
        """Adapt, solve and train, as far as it is wanted; returns the trainer."""
        trainer = self.trainer
        self.net.prediction_sets = None  # which are those of the network as it was
        going_on = self.checkpoint is not None and self.checkpoint.found is not None
        self.solution = adapt_and_solve(self, going_on)
        if self.recipe.epochs:
            trainer.run()
        else:  # nothing is trained, and all that watches a training sees its beginning and its end
            trainer.fire_event(Events.STARTED)
            trainer.fire_event(Events.COMPLETED)
        return trainer

    def make_trainer(self, **kwargs: Any) -> Any:
        """
        The trainer of this training, which ``run`` runs.

        Args:
            kwargs: arguments of ``monai.engines.SupervisedTrainer`` in the place of its own, ``max_epochs`` for one.

        Raises:
            ValueError: for an argument that it does not have.
        """
        there = inspect.signature(SupervisedTrainer).parameters
        for key in kwargs:
            if key not in there:
                raise ValueError(f"the trainer has no {key!r}: {did_you_mean(key, there)}")
        shared = [MeanLoss()] if distributed.is_initialized() else []
        if self.recipe.random_views:
            kwargs.setdefault("prepare_batch", seen_at_random(self.net.views))
        recorded = [self.stop, *shared, *self.handlers, self.tracking] if self.folder is not None else self.handlers
        trainer = build_trainer(
            self.network,
            self.train_loader,
            epochs=kwargs.pop("max_epochs", self.recipe.epochs),
            optimizer=self.optimizer,
            scheduler=self.scheduler,
            loss_function=self.loss,
            device=self.device,
            amp=self.recipe.amp,
            max_norm=self.recipe.max_norm,
            seed=self.seed,
            evaluator=self.evaluator,
            val_interval=self.recipe.val_interval or 1,
            checkpoint=self.checkpoint,
            progress=self.progress,
            handlers=recorded,
            **{**self._inferer(), **kwargs},
        )
        self.__dict__["trainer"] = trainer  # also where a configuration file made it
        return trainer
