# SPDX-License-Identifier: Apache-2.0

"""Where the modules and names of release 0.1 are now: for one release their old paths work, with a warning."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["MOVED", "MOVED_NAMES", "find_moved_modules", "moved_names"]

# Old module: new module, or several where one was divided; all inside monai_ept. Two are left out, since their package
# exports a function of the same name, which an import of the module would replace: handlers.unwrap and tracking.sync.
MOVED: dict[str, str | tuple[str, ...]] = {
    "analysis.classes": "analysis.distances",
    "analysis.features": "analysis.collect",
    "analysis.figures": (
        "analysis.sections.attention",
        "analysis.sections.calibration",
        "analysis.sections.features",
        "analysis.sections.prompts",
    ),
    "analysis.figures.calibration": "analysis.sections.calibration",
    "analysis.figures.features": "analysis.sections.features",
    "analysis.figures.kept": "analysis.sections.attention",
    "analysis.figures.sinks": "analysis.sections.prompts",
    "analysis.projections": "analysis.project_2d",
    "analysis.prompts": "analysis.prompt_sinks",
    "analysis.report": "analysis.analysis",
    "analysis.scaling": "analysis.kept_attention",
    "benchmark.cell": "benchmark.plan.cell",
    "benchmark.cells": "benchmark.plan.expand",
    "benchmark.command": "benchmark.run.command",
    "benchmark.cost": "benchmark.run.cost_estimate",
    "benchmark.folder": "benchmark.run.sweep_folder",
    "benchmark.frozen": "engines.frozen_layers",
    "benchmark.images": "benchmark.run.image_store",
    "benchmark.memory": "benchmark.run.train_cell",
    "benchmark.pool": "benchmark.run.local_pool",
    "benchmark.progress": "benchmark.run.sweep_progress",
    "benchmark.ray_pool": "benchmark.run.ray_pool",
    "benchmark.record": "benchmark.run.mlflow_record",
    "benchmark.report.words": "reporting.numbers",
    "benchmark.run_cell": "benchmark.run.train_cell",
    "benchmark.runner": "benchmark.run.run_sweep",
    "benchmark.sweep": "benchmark.plan.sweep_file",
    "benchmark.workbench": "benchmark.run.worker_cache",
    "benchmark.worker": "benchmark.run.local_pool",
    "bundle.data": "runs.data_loading",
    "bundle.images": "bundle.images_to_predict",
    "bundle.network": "bundle.release_0_1",
    "bundle.trained": "bundle.release_0_1",
    "bundle.where": "bundle.options",
    "data.episodes": "data.episode_sampler",
    "data.random_state": "data.seeded_loader",
    "data.reading": "data.read_image",
    "data.sources.synthetic.body": "synthetic.chest_anatomy",
    "data.sources.synthetic.chest": "synthetic.chest",
    "data.sources.synthetic.derm": "synthetic.derm",
    "data.sources.synthetic.findings": "synthetic.chest",
    "data.sources.synthetic.paint": "synthetic.paint",
    "data.sources.synthetic.scene": "synthetic.skin",
    "data.sources.synthetic.sets": "data.sources.synthetic.datasets",
    "data.sources.synthetic.store": "data.sources.synthetic.picture_store",
    "data.sources.synthetic.structures": "synthetic.lesion_structures",
    "data.sources.synthetic.volume": "synthetic.volume",
    "data.sources.tables": "data.sources.csv_file",
    "data.validate": "data.check_records",
    "engines.describe": "engines.run_description",
    "engines.evaluation": "evaluation.evaluator",
    "engines.gallery": "evaluation.gallery",
    "engines.inputs": "runs.network_inputs",
    "engines.report": (
        "evaluation.evaluation_files",
        "evaluation.confusion_matrix",
        "evaluation.predictions_csv",
        "evaluation.reliability",
        "reporting.csv_file",
        "reporting.figure",
        "reporting.metrics_table",
    ),
    "engines.tested": "evaluation.evaluator",
    "handlers.checkpoint": "handlers.delta_checkpoint",
    "handlers.clip": "handlers.clip_gradients",
    "handlers.guard": ("handlers.nan_guard", "handlers.stop_on_signal"),
    "handlers.history": "handlers.epoch_history",
    "handlers.loss": "handlers.step_values",
    "handlers.predictions": "handlers.collect_predictions",
    "handlers.reproducible": "handlers.seed_each_epoch",
    "handlers.tracking": "handlers.mlflow_tracking",
    "networks.convert": "networks.monai_from_timm",
    "networks.create": "networks.load_backbone",
    "networks.embedded": "networks.embedded_weights",
    "networks.opened": "networks.open_attention_module",
    "networks.projections": "networks.attention_classes",
    "networks.prompt": "networks.embedded_prompt",
    "networks.prompted": "networks.prompted_attention_module",
    "networks.vit": "networks.backbone",
    "statistics": "reporting.statistics",
    "tables": "reporting.markdown",
    "tracking.locks": "tracking.process_lock",
    "tracking.registry": "tracking.model_registry",
    "tracking.run": "tracking.tracked_run",
    "tracking.search": "tracking.search_runs",
    "tracking.store": "tracking.mlflow_client",
    "tracking.upload": "tracking.uploader",
}

# Names that left a module which is still there. That module ends with `__getattr__ = moved_names(__name__)`, or has
# lazy exports.
_BY_PARTS = "bundle.release_0_1"  # what bundles called when they put a training together part by part
MOVED_NAMES: dict[str, dict[str, str]] = {
    "": dict.fromkeys(
        ["Adapter", "Bias", "Damp", "Ept", "Full", "Linear", "Ln", "Lora", "Mlp", "Partial", "Proj", "Vp", "Vpt"],
        "methods",
    ),
    "bundle": {
        "MeanLoss": "handlers",
        "class_weights": "engines",
        "describe_run": "engines",
        **dict.fromkeys(("Training", "begin_training", "finish_training"), _BY_PARTS),
        **dict.fromkeys(("defined_above", "optimizer_settings"), _BY_PARTS),
    },
    "bundle.options": {"flag": "checks"},
    "bundle.processes": {"MeanLoss": "handlers"},
    "bundle.training": dict.fromkeys(("begin_training", "defined_above", "finish_training", "run_name"), _BY_PARTS),
    "data.split": {"describe": "data.split_summary"},
    "engines": {"optimizer_settings": _BY_PARTS},
    "engines.recipe": {
        **dict.fromkeys(("amp_settings", "at_precision", "autocast"), "networks.precision"),
        **dict.fromkeys(("cosine_schedule", "make_optimizer"), "engines.optimizer"),
        **dict.fromkeys(("class_weights", "make_loss", "task_of"), "engines.loss"),
        **dict.fromkeys(("method_of", "optimizer_settings"), _BY_PARTS),
    },
    "engines.training": {"build_trainer": "engines"},
    "tracking": dict.fromkeys(("Comparison", "compare"), "benchmark.report"),
    "tracking.mlflow_client": dict.fromkeys(("tracking_store", "without_password"), "tracking.address"),
    "tracking.tracked_run": {"own_store": "tracking.address", "read_about": "tracking.run_file"},
}


def moved_names(module: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module that finds what has left it."""

    def load(name: str) -> Any:
        new = MOVED_NAMES.get(module.removeprefix("monai_ept").removeprefix("."), {}).get(name)
        if new is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(f"{module}.{name} has moved: import it from monai_ept.{new}.", DeprecationWarning, stacklevel=2)
        return getattr(importlib.import_module(f"monai_ept.{new}"), name)

    return load


def find_moved_modules() -> None:
    """Let imports find modules by their old paths, where there is none of that name any more."""
    if not any(isinstance(finder, _MovedFinder) for finder in sys.meta_path):
        sys.meta_path.append(_MovedFinder())  # the last to be asked


class _MovedFinder(MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        package, _, old = name.partition(".")
        new = MOVED.get(old) if package == "monai_ept" else None
        if new is None:
            return None
        targets = [f"monai_ept.{one}" for one in ([new] if isinstance(new, str) else new)]
        warnings.warn(f"{name} has moved to {' and '.join(targets)}.", DeprecationWarning, stacklevel=2)
        package_too = any(one.startswith(f"{old}.") for one in MOVED)
        return ModuleSpec(name, _MovedLoader(targets), is_package=package_too)


class _MovedLoader(Loader):
    def __init__(self, targets: Sequence[str]) -> None:
        self.targets = targets

    def exec_module(self, module: ModuleType) -> None:
        found = [importlib.import_module(target) for target in self.targets]
        if len(found) == 1:
            sys.modules[module.__name__] = found[0]  # the import goes on with what it finds there
            return
        for one in reversed(found):
            module.__dict__.update({key: value for key, value in vars(one).items() if not key.startswith("__")})
