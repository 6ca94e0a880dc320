# SPDX-License-Identifier: Apache-2.0

"""
Everything that a training, an evaluation or a prediction was given, looked at before anything else is done.

A command line makes of ``--seed x`` a text and of ``--tags x`` another, and where they are used nobody knows any more
what they were called. Here each has its own name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from numbers import Integral
from typing import Any

from torch import nn

from monai_ept.checks import check_choice, check_mapping, check_number, check_text, check_whole, flag, shown
from monai_ept.data import FewShotSplit, RecordSet, list_sources
from monai_ept.data.views import VIEW_SETS
from monai_ept.engines.adaptation_settings import adaptation_of
from monai_ept.engines.loss import task_of
from monai_ept.engines.recipe import recipe_of
from monai_ept.methods import build_methods
from monai_ept.metrics.checked_batch import numbered_classes
from monai_ept.metrics.positive_class import PositiveClass
from monai_ept.model import TunedViT
from monai_ept.networks.backbone_settings import check_backbone_settings
from monai_ept.networks.compiled_network import check_compiler
from monai_ept.networks.device import usable_device
from monai_ept.networks.load_backbone import check_backbone
from monai_ept.networks.precision import at_precision
from monai_ept.networks.readout import check_readout_setting
from monai_ept.start import check_adapted

__all__ = ["check_seed", "check_settings", "meaning_of", "positive_class"]

_Check = Callable[[str, Any], Any]

LARGEST_SEED = 2**63 - 1  # torch's generators take no more


def check_settings(
    *, data: Mapping[str, Any] | None = None, network: Mapping[str, Any] | None = None, **given: Any
) -> None:
    """
    Look at settings as a user wrote them; each is checked under its own name, and those that belong together, together.

    Args:
        data: arguments of ``load_data``.
        network: arguments of ``make_network``.
        given: more settings. ``recipe`` is a name or a mapping, as ``recipe_of`` takes it. What has no check here (the
            parts of a configuration, for one) is passed over.

    Raises:
        ValueError: for a setting that is out of range, of another kind, or unknown; it names the setting.
        TypeError: for a method that is none.
        ImportError: for a method that needs a package that is not there.

    Example::

        >>> check_settings(shots=5, seed=0, recipe={"epochs": 5})
        >>> check_settings(seed="x")
        Traceback (most recent call last):
        ValueError: seed must be a whole number of at least 0, got 'x'.
    """
    about_data = {"source_options" if key == "options" else key: value for key, value in (data or {}).items()}
    if data is not None:
        check_choice("source", data.get("source"), list_sources())
    settings = {**about_data, **(network or {}), **given}
    for name, value in settings.items():
        if name in _CHECKS:
            _CHECKS[name](name, value)
    if "recipe" in settings:
        device, recipe = usable_device(settings.get("device")), recipe_of(settings["recipe"])
        at_precision(nn.Identity(), device, recipe.amp)
        if recipe.compile:
            check_compiler(device)
    if "method" in settings:
        own = dict(settings.get("method_settings") or {})
        if settings.get("prompt_length") is not None:
            own["prompt_length"] = settings["prompt_length"]
        build_methods(settings["method"], **own)


def check_seed(seed: Any) -> int:
    """A seed that everything takes which draws random numbers; NumPy's whole numbers are some too."""
    plain = int(seed) if isinstance(seed, Integral) and not isinstance(seed, bool) else seed
    return check_whole("seed", plain, 0, LARGEST_SEED)


def _whole(least: int = 1, most: int | None = None) -> _Check:
    return lambda name, value: check_whole(name, value, least, most)


def _number(**bounds: float) -> _Check:
    return lambda name, value: check_number(name, value, **bounds)


def _choice(*options: str) -> _Check:
    return lambda name, value: check_choice(name, value, options)


def _mapping(example: str) -> _Check:
    return lambda name, value: check_mapping(name, value, example)


def _or_none(check: _Check) -> _Check:
    return lambda name, value: None if value is None else check(name, value)


def _flag(name: str, value: Any) -> bool:
    return flag(value, name)


def _sizes(name: str, value: Any) -> None:
    """One whole number, or one for each direction."""
    several = list(value) if isinstance(value, (list, tuple)) else [value]
    if not 1 <= len(several) <= 3:
        raise ValueError(f"{name} must be a whole number, or one for each direction, got {shown(value)}.")
    for one in several:
        check_whole(name, one)


def _interval(name: str, value: Any) -> None:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError(f"{name} must be two numbers, [from, to], got {shown(value)}.")
    low, high = (check_number(name, one) for one in value)
    if low >= high:
        raise ValueError(f"{name} must rise from its first number to its second, got {shown(value)}.")


def _names(name: str, value: Any) -> None:
    if not isinstance(value, (list, tuple)) or not value or len(set(map(str, value))) < len(value):
        raise ValueError(f"{name} must be a list of different names, got {shown(value)}.")


def _weights(name: str, value: Any) -> None:
    """Yes, no or a path; a yes and a no may come as a text."""
    if not isinstance(value, (bool, int)):
        check_text(name, value)
    elif value not in (0, 1):
        raise ValueError(f"{name} must be true, false or the path of a checkpoint, got {shown(value)}.")


def _track(name: str, value: Any) -> None:
    """Yes, no, or what ``MLflowTracking`` takes."""
    if not isinstance(value, Mapping):
        flag(value, name)
        return
    for key, one in check_mapping(name, value, "{'experiment': 'derm'}").items():
        if one is not None and key in _CHECKS:
            _CHECKS[key](key, one)


def _recipe(name: str, value: Any) -> None:
    recipe_of(value)


def _store(name: str, value: Any) -> None:
    from monai_ept.tracking import tracking_store

    tracking_store(check_text(name, value))


def _experiment(name: str, value: Any) -> None:
    from monai_ept.tracking.tracked_run import check_run

    check_run(value)


def _adaptation(name: str, value: Any) -> None:
    try:
        adaptation_of(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _model_name(name: str, value: Any) -> None:
    from monai_ept.tracking.model_registry import name_and_alias

    try:
        name_and_alias(value)
    except ValueError as error:
        raise ValueError(f"{name} is no name for it: {error}") from None


_CHECKS: dict[str, _Check] = {
    "source": _or_none(lambda name, value: check_choice(name, value, list_sources())),
    "dataset_dir": _or_none(check_text),
    "source_options": _or_none(_mapping("{'group_pattern': '(.*)_'}")),
    "class_names": _or_none(_names),
    "shots": _whole(),
    "seed": lambda name, value: check_seed(value),
    "sampling": _choice("fresh", "published", "published-clean"),
    "test_fraction": _or_none(_number(above=0, below=1)),
    "part": _choice("train", "val", "test", "external"),
    "against": _or_none(check_text),
    "positive": lambda name, value: PositiveClass.of(value),
    "operating_point": _or_none(lambda name, value: PositiveClass("one", value)),
    "prevalence": _or_none(_number(above=0, below=1)),
    "backbone": lambda name, value: check_backbone(value),
    "pretrained": _or_none(_weights),
    "backbone_settings": lambda name, value: check_backbone_settings(name, value),
    "img_size": _or_none(_sizes),
    "patch_size": _or_none(_sizes),
    "in_channels": _whole(),
    "intensity_range": _or_none(_interval),
    "method_settings": _or_none(_mapping("{'rank': 8}")),
    "dropout": _number(least=0, below=1),
    "readout": lambda name, value: check_readout_setting(value),
    "views": _or_none(_choice(*VIEW_SETS)),
    "recipe": _recipe,
    "unlabelled": _or_none(check_text),
    "adaptation": _adaptation,
    "adapted": lambda name, value: check_adapted(value),
    "batch_size": _whole(),
    "num_resamples": _whole(0),
    "num_workers": _whole(0),
    "device": lambda name, value: usable_device(value),
    "resume": _flag,
    "overwrite": _flag,
    "track": _track,
    "run_name": _or_none(check_text),
    "experiment": _or_none(_experiment),
    "tracking_uri": _or_none(_store),
    "register": _or_none(_model_name),
    "tags": _mapping("{'study': 'first'}"),
}


def meaning_of(
    net: TunedViT, split: FewShotSplit, data: RecordSet | None, positive: PositiveClass | Mapping[str, Any] | str | None
) -> tuple[str, tuple[str, ...], PositiveClass | None]:
    """
    Task, class names and positive class of a training: of the data, of a split made from data, or of the network.

    Raises:
        ValueError: when network and data have different numbers of classes, or the positive class cannot be.
    """
    about = data if data is not None else split
    if about.class_names and len(about.class_names) != net.num_classes:
        raise ValueError(
            f"data has {len(about.class_names)} classes and the network {net.num_classes}: build it with as many."
        )
    names = tuple(about.class_names or net.class_names or numbered_classes(net.num_classes))
    wanted = PositiveClass.of(positive) or about.positive
    if wanted is not None:
        wanted.check(names, validated=bool(split.val))
    return about.task or task_of(split.train), names, wanted


def positive_class(
    positive: PositiveClass | Mapping[str, Any] | str | None,
    operating_point: float | str | None = None,
    prevalence: float | None = None,
) -> PositiveClass | None:
    """
    The class that is looked for, as a bundle's three settings say it.

    Raises:
        ValueError: when there is an operating point or a prevalence, and no class that they are of.
    """
    more: dict[str, Any] = {"operating_point": operating_point, "prevalence": prevalence}
    given = {key: value for key, value in more.items() if value is not None}
    if positive is None and given:
        raise ValueError(f"{next(iter(given))} is that of the class that is looked for: say which, with positive.")
    found = PositiveClass.of(positive)
    return found if found is None else replace(found, **given)
