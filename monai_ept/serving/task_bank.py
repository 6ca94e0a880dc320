# SPDX-License-Identifier: Apache-2.0

"""One frozen backbone, every task."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from functools import partial
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from monai_ept.checks import check_text, did_you_mean, shown
from monai_ept.data.meta_data import plain_image
from monai_ept.data.views import test_views
from monai_ept.delta import read_delta
from monai_ept.delta_contents import build_for, described_settings
from monai_ept.networks.backbone import vit_face
from monai_ept.networks.device import usable_device
from monai_ept.networks.readout import POOLED, read_tokens
from monai_ept.serving.routes import Route, open_routes, travel
from monai_ept.serving.shared_weights import SharingViT, share_weights
from monai_ept.serving.task import Task, task_of

__all__ = ["TaskBank"]


class TaskBank:
    """
    One frozen backbone with many tasks, each as large as its delta.

    Images of different tasks go through the backbone in one batch, each with the sinks (``ept``, ``damp``), the
    low-rank updates (``lora``) and the head of its own task. A task of another method has a network of its own, whose
    frozen weights are the bank's, and its images go through that, see :py:meth:`groups`. Logits are those of
    ``TunedViT.from_delta`` with the same backbone and image size.

    Tasks may be added, replaced and removed while other threads predict: a prediction uses the tasks that were there
    when it began.

    Args:
        backbone: name of a timm ViT, or a module, which is copied: a timm ViT or a MONAI ``ViT``, 2-D or 3-D.
        pretrained: for a backbone by name: True (hub), False (random), or the path of a local checkpoint.
        img_size: size of the images, the same for all tasks; the backbone's own by default. Deltas of another size
            are resized.
        in_channels: channels of the images; a backbone given as a module knows its own.
        backbone_settings: of a backbone by name, see ``create_backbone``.
        device: where it computes; by default where the backbone's weights are.

    Raises:
        ValueError: when an argument is out of range.
        TypeError: when the backbone is of a class that cannot be adapted.

    Example::

        bank = TaskBank("vit_base_patch16_224.augreg_in21k")
        bank.add("derm", "derm.safetensors")
        bank.add("colon", "colon.safetensors")
        derm, colon = bank(images, tasks=["derm", "colon"])
    """

    def __init__(
        self,
        backbone: str | nn.Module,
        pretrained: bool | str | os.PathLike = True,
        img_size: int | Sequence[int] | None = None,
        in_channels: int = 3,
        backbone_settings: Mapping[str, Any] | None = None,
        *,
        device: Any = None,
    ) -> None:
        self._fingerprints: dict[frozenset[str], str] = {}
        self._plain = SharingViT(
            backbone,
            self._fingerprints,
            num_classes=1,
            method="linear",
            pretrained=False if pretrained is True and isinstance(backbone, nn.Module) else pretrained,
            img_size=img_size,
            in_channels=in_channels,
            backbone_settings=backbone_settings,
        ).eval()
        if device is not None:
            self._plain.to(usable_device(device))
        share_weights(self._plain.backbone)
        self.vit = self._plain.vit
        self.device = next(self._plain.parameters()).device
        self.fingerprint = self._plain.fingerprint()
        self._routed = vit_face(copy.deepcopy(self._plain.backbone), self.vit.img_size)
        open_routes(self._routed)
        self._tasks: Mapping[str, Task] = {}  # never changed, only exchanged as a whole
        self._lock = Lock()

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of all tasks, in the order in which they were added."""
        return tuple(self._tasks)

    def task(self, name: str) -> Task:
        """
        One of the tasks.

        Raises:
            ValueError: when there is none of that name.
        """
        return _find(self._tasks, name)

    def add(self, name: str, path: str | os.PathLike, *, replace: bool = False) -> Task:
        """
        Take in a task; it is there, for predictions that begin from now on, when this returns.

        Args:
            name: how the bank shall call it.
            path: its delta, what ``save_delta`` wrote.
            replace: take the place of a task of that name, if there is one.

        Raises:
            ValueError: when there is a task of that name, unless it is to be replaced.
            DeltaError: when the delta is damaged or belongs to another backbone; the bank stays as it was.
        """
        check_text("the name of a task", name)
        if not replace:
            _check_new(self._tasks, name)  # before time is spent on it
        task = self._read(name, path)
        with self._lock:
            if not replace:
                _check_new(self._tasks, name)
            self._tasks = {**self._tasks, name: task}
        return task

    def _read(self, name: str, path: str | os.PathLike) -> Task:
        delta = read_delta(path)
        build = partial(
            SharingViT,
            self._plain.backbone,
            self._fingerprints,
            img_size=self.vit.img_size,
            backbone_name=self._plain.backbone_name,
            **described_settings(delta.metadata),
        )
        net = build_for(path, delta, build)
        return task_of(name, net.eval().to(self.device), delta.metadata)

    def remove(self, name: str) -> None:
        """
        Forget a task; predictions that have begun still use it.

        Raises:
            ValueError: when there is none of that name.
        """
        with self._lock:
            _find(self._tasks, name)
            self._tasks = {other: task for other, task in self._tasks.items() if other != name}

    def groups(self, tasks: Sequence[str] | None = None) -> tuple[tuple[str, ...], ...]:
        """
        Which tasks share a pass through the backbone when images of all of them come in one batch.

        Args:
            tasks: their names; by default all.

        Returns:
            those that mix, in one group, and each other task alone.

        Raises:
            ValueError: when one of them is not there.

        Example::

            >>> bank.groups()
            (("derm", "colon"), ("layer norms of the chest",))
        """
        held = self._tasks
        chosen = [_find(held, name) for name in dict.fromkeys(held if tasks is None else tasks)]
        mixed = tuple(task.name for task in chosen if task.mixes)
        alone = [(task.name,) for task in chosen if not task.mixes]
        return (mixed, *alone) if mixed else (*alone,)

    @torch.no_grad()
    def __call__(self, images: Tensor, tasks: str | Sequence[str]) -> list[Tensor]:
        """
        Logits of images, each of the task that is asked of it.

        Args:
            images: ``(batch, channels, *img_size)``, each normalised as its task wants it.
            tasks: the name of each image's task, or one for all.

        Returns:
            for each image its logits ``(num_classes,)``, divided by the temperature, the mean over the views.

        Raises:
            ValueError: when a task is not there, or the images are not what the backbone takes.
        """
        names = [tasks] * len(images) if isinstance(tasks, str) else list(tasks)
        if len(names) != len(images):
            raise ValueError(f"there are {len(images)} images and {len(names)} tasks: name one for each image.")
        held = self._tasks
        rows: dict[Task, list[int]] = {}
        for row, name in enumerate(names):
            rows.setdefault(_find(held, name), []).append(row)
        images = self._checked(images)
        logits = self._mixed(images, {task: where for task, where in rows.items() if task.mixes})
        kept = {task: task.solved for task in rows if task.solved is not None}
        plain = self._mixed(images, {solved: rows[task] for task, solved in kept.items()})
        logits.update({task: (logits[task] + plain[solved]) / 2 for task, solved in kept.items()})
        for task, where in rows.items():
            if task.network is not None:
                logits[task] = task.network(images[where])
        answers = {row: one for task, where in rows.items() for row, one in zip(where, logits[task], strict=True)}
        return [answers[row] for row in range(len(names))]

    @torch.no_grad()
    def features_once(self, images: Tensor, tasks: Sequence[str]) -> dict[str, Tensor]:
        """
        Logits of all images for each of several tasks that have only a head: one pass through the backbone serves all.

        Args:
            images: ``(batch, channels, *img_size)``.
            tasks: names of the tasks.

        Returns:
            by task, its logits ``(batch, num_classes)``.

        Raises:
            ValueError: when a task is not there or has more than a head, or the images are not what the backbone takes.
        """
        held = self._tasks
        chosen = [_find(held, name) for name in dict.fromkeys(tasks)]
        for task in chosen:
            if not task.head_only:
                raise ValueError(
                    f"task {task.name!r} is of method {task.method!r}, which changes the features, so that it shares "
                    "them with no other: ask for it by bank(images, tasks=…)."
                )
        everything = range(len(images))
        logits = self._mixed(self._checked(images), dict.fromkeys(chosen, everything))
        return {task.name: logits[task] for task in chosen}

    def _checked(self, images: Tensor) -> Tensor:
        images = plain_image(images)
        self._plain.check_images(images)
        return images

    def _mixed(self, images: Tensor, rows: Mapping[Task, Sequence[int]]) -> dict[Task, Tensor]:
        """Logits of each task's images; where tasks share an image, they share the way of it."""
        logits: dict[Task, list[Tensor]] = {task: [] for task in rows}
        views = {task: test_views(task.views) for task in rows}
        for view in dict.fromkeys(view for seen in views.values() for view in seen):
            here = [task for task in rows if view in views[task]]
            which = {row: number for number, task in enumerate(here) for row in rows[task]}
            features = self._features(view(images[[*which]], self.vit.img_size), here, [*which.values()])
            place = {row: index for index, row in enumerate(which)}
            for task in here:
                logits[task].append(task.head(features[task.readout][[place[row] for row in rows[task]]]))
        return {task: torch.stack(said).mean(dim=0) / task.temperature for task, said in logits.items()}

    def _features(self, images: Tensor, tasks: Sequence[Task], which: list[int]) -> dict[str | int, Tensor]:
        """Features of images by readout, each image on the way of its task."""
        lasts = {task.readout for task in tasks if isinstance(task.readout, int)}
        with travel(Route(tasks, torch.tensor(which, device=images.device), max(lasts, default=0))) as route:
            pooled = self._routed.features(images)
        tokens = list(route.tokens)
        return {POOLED: pooled, **{last: read_tokens(self._routed, tokens[-last:]) for last in lasts}}


def _find(tasks: Mapping[str, Task], name: str) -> Task:
    if name not in tasks:
        raise ValueError(f"the bank has no task {shown(name)}: {did_you_mean(name, tasks)}")
    return tasks[name]


def _check_new(tasks: Mapping[str, Task], name: str) -> None:
    if name in tasks:
        raise ValueError(f"the bank has a task {name!r} already: choose another name, or pass replace=True.")
