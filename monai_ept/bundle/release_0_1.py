# SPDX-License-Identifier: Apache-2.0

"""
What a bundle's folder that was copied with release 0.1 calls and there is no more; to be removed in the next release.

Its configuration put a training together part by part. The parts are still there under their names; here are the
others, made of today's.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from monai_ept.bundle.training import announce, conclude
from monai_ept.bundle.untrained import Untrained, trained_or_not
from monai_ept.data import FewShotSplit, RecordSet
from monai_ept.engines import training as engines
from monai_ept.engines.optimizer import default_lr
from monai_ept.engines.recipe import SETTINGS, recipe_of
from monai_ept.evaluation.evaluator import Evaluation
from monai_ept.handlers import MLflowTracking
from monai_ept.methods import build_methods
from monai_ept.model import TunedViT
from monai_ept.networks.unwrap_network import unwrap
from monai_ept.runs import build_network, fit_result
from monai_ept.runs.build_network import backbone_recipe
from monai_ept.runs.fit_result import FitResult
from monai_ept.runs.training_record import read_record

__all__ = [
    "Training",
    "backbone_recipe",
    "begin_training",
    "defined_above",
    "find_training",
    "finish_training",
    "make_network",
    "method_of",
    "optimizer_settings",
    "run_name",
]


class Training(FitResult):
    """A finished training; whoever asked for ``checked()`` wanted no other."""

    def checked(self) -> Training:
        return self


class _NotTrained(Untrained):
    """What stands for it before the first training."""

    folder = None

    def checked(self) -> Training:
        raise FileNotFoundError(self.missing)


def find_training(
    run_dir: str | os.PathLike | None = None, *, runs: str | os.PathLike, untrained: Mapping[str, Any] | None = None
) -> FitResult | _NotTrained:
    """``monai_ept.runs.find_training``; with ``untrained`` as it was in release 0.1, see ``trained_or_not``."""
    if untrained is None:
        return fit_result.find_training(run_dir, runs=runs)
    _warn("find_training(untrained=…)")
    found = trained_or_not(run_dir, runs=runs, untrained=untrained)
    return _NotTrained(untrained, found.missing) if isinstance(found, Untrained) else Training.load(found.folder)


def make_network(class_names: Sequence[str], *, recipe: str | None = None, **settings: Any) -> TunedViT:
    """``monai_ept.runs.make_network``; with ``recipe`` the network begins as that recipe wants it."""
    net = build_network.make_network(class_names, **settings)
    if recipe is not None and recipe_of(recipe).tuned_start:
        net.begin()
    return net


def method_of(method: Any, recipe: str = "train") -> Any:
    """Methods with the settings that a recipe has for them and nobody has chosen; today ``Recipe.prepare`` does it."""
    return [one.begun() for one in build_methods(method)] if recipe_of(recipe).tuned_start else method


def optimizer_settings(
    network: nn.Module, recipe: str = "train", optimizer: str | None = None, lr: float | None = None
) -> tuple[str, float]:
    """Optimizer and base learning rate of a recipe, or those that somebody asks for instead."""
    chosen = recipe_of({"name": recipe, "optimizer": optimizer, "lr": lr})
    return chosen.optimizer, default_lr(network, chosen.optimizer) if chosen.lr is None else chosen.lr


def run_name(method: Any, shots: int, seed: int) -> str:
    """
    A name for a run and its folder, as it was: without the hash that today's has.

    Example::

        >>> run_name("ept", 5, 0)
        'ept-5shot-seed0'
    """
    listed = list(method) if isinstance(method, (list, tuple)) else [method]
    methods = [one["name"] if isinstance(one, Mapping) else str(one) for one in listed]
    return f"{'+'.join(methods)}-{shots}shot-seed{seed}"


def defined_above(handler: Any) -> Any:
    """A handler that a configuration defines elsewhere."""
    return handler


def begin_training(
    bundle: str,
    run_dir: str | os.PathLike,
    *,
    network: nn.Module,
    data: RecordSet,
    split: FewShotSplit,
    data_settings: Mapping[str, Any],
    network_settings: Mapping[str, Any],
    transform_settings: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    evaluator: Any = None,
    tracking: MLflowTracking | None = None,
    resume: bool = False,
) -> None:
    """Write down what is trained, and say it."""
    if engines.rank() > 0:
        return
    _warn("begin_training")
    if tracking is not None and evaluator is not None:
        tracking.attach_evaluator(evaluator, prefix="val")
    said = dict(training or {})
    name = network_settings.get("recipe")
    recipe = {
        "name": "train" if name in (None, "default") else name,
        **{key: said[key] for key in SETTINGS if key in said},
    }
    origin = {
        "name": bundle,
        "data": data_settings,
        "network": network_settings,
        "transforms": transform_settings or {},
    }
    more = {"data": data, "seed": said.get("seed", 0), "resume": resume, "origin": origin}
    today = _today(network, split, recipe, run_dir, tracking, **more)
    today.begin()
    if today.place is not None:
        today.place.close()  # these bundles write on their own, and say to nobody when they are done
    announce(today)


def finish_training(
    network: nn.Module,
    test_loader: Any,
    *,
    run_dir: str | os.PathLike,
    task: str,
    class_names: Sequence[str],
    split: FewShotSplit,
    trainer: Any,
    seed: int = 0,
    device: Any = None,
    tracking: MLflowTracking | None = None,
    num_resamples: int = 1000,
    transform_settings: Mapping[str, Any] | None = None,
    network_settings: Mapping[str, Any] | None = None,
    register: str | None = None,
) -> Evaluation | None:
    """Test what was trained, write the report, close the run in MLflow, and say where everything is."""
    epochs = read_record(run_dir)["recipe"]["epochs"]
    recipe = {"name": "paper", "num_resamples": num_resamples, "epochs": epochs}  # it leaves the network as it is
    origin = {"network": network_settings or {}, "transforms": transform_settings or {}}
    today = _today(network, split, recipe, run_dir, tracking, seed=seed, origin=origin, resume=True)
    today.class_names, today.task, today.trainer = tuple(class_names), task, trainer
    today.eval_loader = lambda part: test_loader
    conclude(today, today.finish(), register)
    return today.evaluation


def _today(network: nn.Module, split: FewShotSplit, recipe: Any, run_dir: Any, tracking: Any, **more: Any) -> Any:
    """The training as it is put together today, for what it writes and says."""
    net = unwrap(network)
    device = next(net.parameters()).device
    today = engines.Training(net, split, recipe, folder=run_dir, device=device, **more)
    if tracking is not None:
        today.tracking = tracking
    return today


def _warn(name: str) -> None:
    text = f"this bundle's folder is of release 0.1, whose {name} the next release will not know"
    warnings.warn(f"{text}: copy the bundle anew with 'monai-ept bundle copy'.", FutureWarning, stacklevel=3)
