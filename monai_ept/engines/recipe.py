# SPDX-License-Identifier: Apache-2.0

"""A recipe: everything that decides how a training goes, in one place and under one name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from monai_ept._moved import moved_names
from monai_ept.checks import check_choice, check_number, check_text, check_whole, did_you_mean, shown
from monai_ept.data.views import VIEW_SETS
from monai_ept.engines.optimizer import OPTIMIZERS, default_lr, default_weight_decay
from monai_ept.methods import Method
from monai_ept.metrics.classification import metric_names
from monai_ept.model import TunedViT
from monai_ept.networks.precision import PRECISIONS
from monai_ept.networks.readout import check_readout_setting
from monai_ept.networks.unwrap_network import unwrap

__all__ = ["RECIPES", "SETTINGS", "Recipe", "recipe_of"]


@dataclass(frozen=True)
class Recipe:
    """
    How a training goes. ``fit``, a bundle and a cell of a sweep take the same recipes and do the same with them.

    Args:
        name: of the recipe that this is, or that it was changed from.
        epochs: passes over the training images; None takes 0 where the head is solved, which is then the result, and
            20 where it is not.
        batch_size: images per step.
        steps_per_epoch: draw images round after round until an epoch has so many steps; by default each image once.
        optimizer: "adamw" or "sgd".
        lr: base learning rate; None takes what suits the method with AdamW, and 6e-4 with SGD.
        head_lr: learning rate of the head; by default ``lr``.
        momentum: of SGD.
        weight_decay: None takes 0.01 (AdamW) or 1e-4 (SGD).
        schedule: "cosine", step by step to zero, or "constant".
        warmup_steps: steps of a climb to the full learning rate, with the cosine.
        class_weighting: let every class count alike, however many training images it has.
        max_norm: clip the gradients to this norm.
        augment: random crops and flips of training images, one by one as they are loaded.
        random_views: random views of each batch instead, made on the device: crops, mirrors, light, and any turn
            where the network's ``views`` are "turned", see :py:class:`monai_ept.data.random_views.RandomViews`.
        label_smoothing: share of each label that is spread over the other classes.
        amp: mixed precision, see ``at_precision``.
        compile: train through ``torch.compile``, in one graph for all batches. The first step then takes a minute or
            so longer.
        solve: begin with the head that ridge regression finds in closed form, see ``solve_head``; None does so
            wherever the head is one linear layer.
        readout: of how many of the last blocks a solved head reads, or "pooled" for the backbone's own features;
            unless the network was built with a wish of its own, see ``TunedViT.prefer``.
        views: "one", "upright" or "turned", the views that it is solved on and that answers are averaged over,
            likewise.
        keep_solved: answer with the mean of the network and of a head that is solved on the backbone as it came, see
            ``TunedViT.keep_solved``: True does so where steps follow a solved head, None where the network starts from
            an adaptation, and False never.
        tuned_start: let methods begin where training moves them, unless their own settings say where: the prompts of
            EPT then start next to nothing and learn thirty times as fast as the head, see ``Ept.begin``.
        select: "last" takes the last epoch; "val" the best epoch on the split's validation images, which costs labels
            that a few-shot comparison must count.
        val_interval: validate every so many epochs; by default each with ``select="val"`` and never otherwise.
        key_metric: what "best" means, see ``build_evaluator``.
        num_resamples: of the bootstrap of the test at the end; 0 leaves intervals out.
        eval_batch_size: images per step of validation and test.

    Raises:
        ValueError: when a setting is out of range.
    """

    name: str = "default"
    epochs: int | None = None
    batch_size: int = 4
    steps_per_epoch: int | None = None
    optimizer: str = "adamw"
    lr: float | None = None
    head_lr: float | None = None
    momentum: float = 0.9
    weight_decay: float | None = None
    schedule: str = "cosine"
    warmup_steps: int = 0
    class_weighting: bool = False
    max_norm: float | None = None
    augment: bool = True
    random_views: bool = False
    label_smoothing: float = 0.0
    amp: str = "auto"
    compile: bool = False
    solve: bool | None = None
    readout: int | str | None = 4
    views: str | None = "upright"
    keep_solved: bool | None = None
    tuned_start: bool = True
    select: str = "last"
    val_interval: int | None = None
    key_metric: str | None = None
    num_resamples: int = 1000
    eval_batch_size: int = 32

    def __post_init__(self) -> None:
        check_text("name", self.name)
        if self.epochs is not None:
            check_whole("epochs", self.epochs, least=1 if self.solve is False else 0)
        check_whole("batch_size", self.batch_size)
        if self.steps_per_epoch is not None:
            check_whole("steps_per_epoch", self.steps_per_epoch)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        for name in ("lr", "head_lr"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), above=0)
        check_number("momentum", self.momentum, least=0, below=1)
        if self.weight_decay is not None:
            check_number("weight_decay", self.weight_decay, least=0)
        check_choice("schedule", self.schedule, ("cosine", "constant"))
        check_whole("warmup_steps", self.warmup_steps, least=0)
        if self.max_norm is not None:
            check_number("max_norm", self.max_norm, above=0)
        check_readout_setting(self.readout)
        if self.views is not None:
            check_choice("views", self.views, VIEW_SETS)
        check_number("label_smoothing", self.label_smoothing, least=0, below=1)
        for name in ("class_weighting", "augment", "random_views", "tuned_start", "compile"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be true or false, got {getattr(self, name)!r}.")
        for name in ("solve", "keep_solved"):
            if getattr(self, name) is not None and not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be true, false or null, got {getattr(self, name)!r}.")
        check_choice("amp", self.amp, PRECISIONS)
        check_choice("select", self.select, ("last", "val"))
        if self.select == "val" and self.epochs == 0:
            raise ValueError("select='val' chooses among epochs and the recipe has none: set epochs, or select='last'.")
        if self.val_interval is not None:
            check_whole("val_interval", self.val_interval)
        if self.key_metric is not None:
            check_choice("key_metric", self.key_metric, metric_names("multilabel"))  # which has all of them
        check_whole("num_resamples", self.num_resamples, least=0)
        check_whole("eval_batch_size", self.eval_batch_size)

    def changed(self, **settings: Any) -> Recipe:
        """
        This recipe with other settings.

        Raises:
            ValueError: for a setting that no recipe has.
        """
        for key in settings:
            if key not in SETTINGS:
                raise ValueError(f"a recipe has no {shown(key)}: {did_you_mean(key, SETTINGS)}")
        return dataclasses.replace(self, **settings)

    def for_methods(self, methods: Iterable[Method]) -> Recipe:
        """The recipe with its ``solve`` and ``epochs`` said, and without what decides nothing then."""
        solve = all(method.linear_head for method in methods) if self.solve is None else self.solve
        epochs = (0 if solve else 20) if self.epochs is None else self.epochs
        unsolved = {} if solve else {"readout": None, "views": None, "keep_solved": None}
        return self.changed(solve=solve, epochs=epochs, **unsolved)

    def prepare(self, network: nn.Module) -> Recipe:
        """
        Let the methods of a network begin as this recipe wants them, and fill in what depends on them.

        Args:
            network: a ``TunedViT``, trained or not; only what is still as it was drawn is changed.

        Returns:
            the recipe with learning rate and weight decay as numbers.
        """
        net = unwrap(network)
        recipe = self.for_methods(net.methods)
        if recipe.solve:
            net.prefer(readout=recipe.readout, views=recipe.views)
        if recipe.tuned_start:
            net.begin()
        recipe.keep_or_drop_solved(net)
        return recipe.filled(network)

    def keep_or_drop_solved(self, net: TunedViT) -> None:
        """Let a network have a second head if it is to answer with one; one that is there stays as it is."""
        wanted = self.keeps_solved(adapted=net.start is not None)
        if wanted != (net.solved is not None):
            net.keep_solved(wanted)

    def keeps_solved(self, *, adapted: bool) -> bool:
        """Whether the network answers with the mean of both, if it starts from an adaptation, or if it does not."""
        if self.solve is False or self.keep_solved is False:
            return False
        return adapted or bool(self.keep_solved and self.epochs)

    def filled(self, network: nn.Module) -> Recipe:
        """The recipe with learning rate and weight decay as numbers, for this network as it is."""
        recipe = self.for_methods(unwrap(network).methods)
        refined = bool(recipe.solve and recipe.epochs)
        return recipe.changed(
            lr=default_lr(network, recipe.optimizer, solved=refined) if recipe.lr is None else recipe.lr,
            weight_decay=default_weight_decay(recipe.optimizer) if recipe.weight_decay is None else recipe.weight_decay,
        )

    def to_dict(self) -> dict[str, Any]:
        """All settings, as JSON and YAML have them; :py:func:`recipe_of` takes them back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Recipe:
        """The recipe that ``to_dict`` described, or a mapping of changes to the recipe that ``name`` names."""
        return recipe_of(settings)

    def described(self, seed: int) -> dict[str, Any]:
        """The settings that decide what is learnt, with the seed, as checkpoints and deltas name them."""
        return {
            "seed": seed,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "optimizer": self.optimizer,
            "lr": self.lr,
            **({"momentum": self.momentum} if self.optimizer == "sgd" else {}),
            "weight_decay": self.weight_decay,
            "schedule": self.schedule,
            "warmup_steps": self.warmup_steps,
            "class_weighting": self.class_weighting,
            "max_norm": self.max_norm if self.max_norm is not None else "none",
            "amp": self.amp,
            "select": self.select,
            **({} if self.augment else {"augment": False}),
            # What came later is named where it differs from what went without saying before.
            **{name: getattr(self, name) for name in _LATER if getattr(self, name)},
        }


SETTINGS = tuple(field.name for field in dataclasses.fields(Recipe) if field.name != "name")
"""What a recipe can say."""

_LATER = ("solve", "random_views", "label_smoothing", "steps_per_epoch", "head_lr", "compile", "keep_solved")

RECIPES = {
    "default": Recipe(),
    "solve": Recipe(name="solve", epochs=0, augment=False, solve=True),
    "train": Recipe(name="train", epochs=20, solve=False, readout=None, views=None),
    "tune": Recipe(
        name="tune",
        epochs=4,
        steps_per_epoch=10,
        batch_size=32,
        head_lr=1e-4,
        warmup_steps=8,
        max_norm=1.0,
        augment=False,
        random_views=True,
        label_smoothing=0.05,
        solve=True,
        keep_solved=True,
    ),
    "paper": Recipe(
        name="paper", epochs=20, solve=False, readout=None, views=None, optimizer="sgd", amp="off", tuned_start=False
    ),
}
"""
Recipes by name. "default" solves the head in closed form, on more features and views, and trains nothing unless
``epochs`` say so; a head of several layers, which no closed form finds, it trains. "solve" solves, or refuses. "train"
trains with AdamW, and prompts that move; "tune" trains from the solved head, on random views, and keeps that head
beside what comes of it; "paper" trains with the paper's SGD in full precision, from the paper's start.
"""


def recipe_of(wanted: str | Mapping[str, Any] | Recipe) -> Recipe:
    """
    A recipe from what a user or a configuration file says.

    Args:
        wanted: a name, a ``Recipe``, or a mapping of changes to the recipe that its ``name`` names, "default" without
            one; a value of None leaves the recipe's own.

    Raises:
        ValueError: for an unknown recipe or setting, or a value out of range.

    Example::

        >>> recipe_of({"name": "paper", "epochs": 5}).optimizer
        'sgd'
    """
    if isinstance(wanted, Recipe):
        return wanted
    if isinstance(wanted, Mapping):
        changes = {key: value for key, value in wanted.items() if key != "name" and value is not None}
        if changes.get("amp") is False:  # YAML reads a plain off so
            changes["amp"] = "off"
        return recipe_of(wanted.get("name") or "default").changed(**changes)
    if not isinstance(wanted, str):
        raise ValueError(f"a recipe is a name or a mapping of settings, got {shown(wanted)}.")
    check_choice("recipe", wanted, tuple(RECIPES))
    return RECIPES[wanted]


__getattr__ = moved_names(__name__)
