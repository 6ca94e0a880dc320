# SPDX-License-Identifier: Apache-2.0

"""What a delta says about the network that it belongs to, and what must fit before another takes it over."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from monai_ept import __version__
from monai_ept.delta import Delta, DeltaError
from monai_ept.methods import build_methods
from monai_ept.metrics.conformal import PredictionSets
from monai_ept.networks.embedded_prompt import resize_tokens
from monai_ept.networks.readout import POOLED
from monai_ept.networks.tuner import own_name

__all__ = ["OF_HEADS", "build_for", "check_claims", "describe", "described_settings", "take_over"]

OF_HEADS = ("head.", "solved.")
"""How the names of tensors begin that belong to no start of a training."""

_Net = Any  # a ``TunedViT``, which stands above this module and uses it


def describe(net: _Net) -> dict[str, Any]:
    """What a delta file says about the network that it belongs to."""
    import monai
    import timm

    vit = net.vit
    return {
        "methods": [method.settings() for method in net.methods],
        "backbone": {
            "name": net.backbone_name,
            "by_name": net.by_name,
            "fingerprint": net.fingerprint(),
            **_how_it_is_built(net),
        },
        "rebuilt": net.rebuilt_fingerprint(),
        "num_classes": net.num_classes,
        "class_names": net.class_names,
        "dropout": net.dropout,
        "in_channels": vit.in_channels,
        "img_size": vit.img_size,
        "patch_size": vit.patch_size,
        "mean": vit.mean,
        "std": vit.std,
        "interpolation": vit.interpolation,
        # Left out where there is none, so that a delta without is the same file as ever.
        **({} if net.temperature == 1 else {"temperature": net.temperature}),
        **({} if net.prediction_sets is None else {"prediction_sets": net.prediction_sets.record}),
        **({} if net.readout == POOLED else {"readout": net.readout}),
        **({} if net.views == "one" else {"views": net.views}),
        **({} if net.solved is None else {"keep_solved": True}),
        **({} if net.start is None else {"start": dict(net.start.about)}),
        "packages": {
            "monai_ept": __version__,
            "monai": monai.__version__,
            "timm": timm.__version__,
            "torch": str(torch.__version__),
            **{name: version(name) for method in net.methods for name in method.requires},
        },
    }


def described_settings(about: Mapping[str, Any]) -> dict[str, Any]:
    """What ``describe`` said of a network, as arguments of ``TunedViT``; those of its backbone apart."""
    return {
        "num_classes": about["num_classes"],
        "method": about["methods"],
        "in_channels": about["in_channels"],
        "dropout": about.get("dropout", 0.0),
        "class_names": about.get("class_names"),
        "readout": about.get("readout", POOLED),
        "views": about.get("views", "one"),
        "keep_solved": about.get("keep_solved", False),
    }


def _how_it_is_built(net: _Net) -> dict[str, Any]:
    """What a backbone's name alone does not say, so that a delta of one by a plain name is the same file as ever."""
    architecture, settings = net.built_from.get("architecture"), net.built_from.get("settings")
    return {
        **({"settings": settings} if settings else {}),
        **({} if architecture in (None, net.backbone_name) else {"architecture": architecture}),
    }


def build_for(path: str | os.PathLike, delta: Delta, *builds: Callable[[], _Net]) -> _Net:
    """
    A new network that has taken over a delta.

    Args:
        path: of the delta, for errors.
        delta: what the file holds.
        builds: each makes a network that its metadata describe; of several, the one with the delta's weights is taken.

    Raises:
        DeltaError: when there is no such network, or the delta belongs to another.
    """
    wanted = delta.metadata["backbone"]["fingerprint"]
    try:
        net = builds[0]()
        for build in builds[1:]:
            if net.fingerprint() != wanted and (other := build()).fingerprint() == wanted:
                net = other
    except ValueError as error:
        raise DeltaError(f"the network of delta {path} cannot be built: {error}") from error
    take_over(net, path, delta)
    return net


def take_over(net: _Net, path: str | os.PathLike, delta: Delta) -> None:
    """
    Let a network take over what was trained elsewhere. Everything is checked before anything changes. Of a delta
    without a head the network's own stays.

    Args:
        net: the network.
        path: of the delta, for errors.
        delta: what the file holds.

    Raises:
        DeltaError: when the delta belongs to another network.
    """
    about = delta.metadata
    _check(net, path, about)
    targets = net.delta_tensors()
    head = about.get("head", True)
    if not head:
        targets = {name: target for name, target in targets.items() if not name.startswith(OF_HEADS)}
    if targets.keys() != delta.tensors.keys():
        odd = sorted(targets.keys() ^ delta.tensors.keys())
        raise DeltaError(f"delta {path} does not hold what this network trains: {odd[0]!r} is on one side only.")
    values = {name: _fitted(net, path, about, name, value, targets[name]) for name, value in delta.tensors.items()}
    for name, value in values.items():
        if value.is_floating_point() != targets[name].is_floating_point() or value.is_complex():
            raise DeltaError(
                f"delta {path} holds {name!r} as {value.dtype}, this network as {targets[name].dtype}: it was changed "
                "after it was saved, copy it again."
            )
    with torch.no_grad():
        for name, value in values.items():
            targets[name].copy_(value)
    # A training begins with settings that nobody needs to name when the network is built again.
    begun = tuple(method.begun() for method in net.methods)
    if about["methods"] == [_as_json(method.settings()) for method in begun]:
        net.set_methods(begun)
    if not head:
        return
    net.class_names = net.class_names or about.get("class_names")
    net.temperature = about.get("temperature", 1.0)
    net.prediction_sets = PredictionSets.from_record(about.get("prediction_sets"), net.num_classes)
    net.views = about.get("views", "one")


def check_claims(path: str | os.PathLike, delta: Delta, build: Callable[[], _Net]) -> None:
    """
    Refuse a delta whose metadata ask for another network than its tensors are of, before memory is taken for one.

    Args:
        path: of the delta, for errors.
        delta: what the file holds.
        build: makes the network that its metadata describe.

    Raises:
        DeltaError: when there is no such network, or the delta's tensors do not fit into it.
        ImportError: when a method needs a package that is not there.
    """
    try:
        build_methods(delta.metadata["methods"])
        if any(method["name"] == "peft" for method in delta.metadata["methods"]):
            return  # PEFT compares numbers as it wraps modules; what it may be asked for has limits of its own
        with torch.device("meta"):  # which has shapes and no numbers
            shapes = {name: tensor.shape for name, tensor in build().delta_tensors().items()}
    except (TypeError, ValueError) as error:
        raise DeltaError(f"the network of delta {path} cannot be built: {error}") from error
    except (NotImplementedError, RuntimeError):
        return  # a backbone that needs its numbers to be built
    for name in sorted(shapes.keys() | delta.tensors.keys()):
        held = delta.tensors[name].shape if name in delta.tensors else None
        if held != shapes.get(name):
            raise DeltaError(
                f"delta {path} does not hold what its metadata speak of: {name!r} "
                f"{'is not there' if held is None else f'has shape {tuple(held)}'} and "
                f"{f'should have {tuple(shapes[name])}' if name in shapes else 'should not be there'}; copy it again."
            )


def _check(net: _Net, path: str | os.PathLike, about: Mapping[str, Any]) -> None:
    ours = [_as_json(method.settings()) for method in net.methods]
    begun = [_as_json(method.begun().settings()) for method in net.methods]
    if about["methods"] not in (ours, begun) and _settings_today(about["methods"]) not in (ours, begun):
        raise DeltaError(
            f"delta {path} is of method {about['methods']}, this network has {ours}: "
            "build the network with that method, or with TunedViT.from_delta."
        )
    head = about.get("head", True)
    if head and about["num_classes"] != net.num_classes:
        raise DeltaError(
            f"delta {path} is for {about['num_classes']} classes, this network has {net.num_classes}: "
            "build the network with as many."
        )
    if net.class_names and about.get("class_names") and list(about["class_names"]) != net.class_names:
        raise DeltaError(
            f"delta {path} is for classes {', '.join(about['class_names'])}, this network has "
            f"{', '.join(net.class_names)}: the logits would mean something else."
        )
    if head and about.get("readout", POOLED) != net.readout:
        raise DeltaError(
            f"delta {path} has a head with readout {about.get('readout', POOLED)!r}, this network has "
            f"{net.readout!r}: build the network with that readout, or with TunedViT.from_delta."
        )
    if head and about.get("keep_solved", False) != (net.solved is not None):
        one, other = ("a", "none") if net.solved is None else ("no", "one")
        raise DeltaError(
            f"delta {path} has {one} solved head beside the tuned network, this network has {other}: build the network "
            f"with keep_solved={net.solved is None}, or with TunedViT.from_delta."
        )
    theirs, mine = about["backbone"], net.fingerprint()
    if theirs["fingerprint"] != mine:
        raise DeltaError(
            f"delta {path} was trained on backbone {theirs['name']} with weights {theirs['fingerprint'][:8]}…, "
            f"this network has {net.backbone_name} with weights {mine[:8]}…: give it the same pretrained weights."
        )
    if about.get("rebuilt", "") != net.rebuilt_fingerprint():
        raise DeltaError(
            f"delta {path} was trained with other frozen random tensors than method "
            f"{net.method_name} makes here: "
            "use the releases of the packages that its metadata name."
        )


def _fitted(
    net: _Net, path: str | os.PathLike, about: Mapping[str, Any], name: str, value: Tensor, target: Tensor
) -> Tensor:
    """One tensor of a delta in the shape that this network has, resized where it belongs to token positions."""
    old_grid = [size // side for size, side in zip(about["img_size"], about["patch_size"], strict=True)]
    if old_grid != list(net.vit.grid_size) and name.startswith("backbone."):
        try:
            value = _resized(net, name, value, old_grid)
        except (ArithmeticError, IndexError, RuntimeError, TypeError, ValueError) as error:
            raise DeltaError(
                f"delta {path} has {name!r} of shape {tuple(value.shape)}, which is not one for images of "
                f"{'×'.join(map(str, about['img_size']))}: copy it again."
            ) from error
    if value.shape != target.shape:
        raise DeltaError(
            f"delta {path} has {name!r} of shape {tuple(value.shape)}, this network {tuple(target.shape)}: "
            "it belongs to another network."
        )
    return value


def _resized(net: _Net, name: str, value: Tensor, old_grid: Sequence[int]) -> Tensor:
    """A tensor that was trained on another grid of patches, for the network's own."""
    module_name, _, key = name.rpartition(".")
    module: Any = dict(net.named_modules()).get(module_name)
    if own_name(name.removeprefix("backbone.")) in net.vit.position_names:
        prefix = value.shape[1] - int(torch.tensor(old_grid).prod())
        return resize_tokens(value[0], prefix, old_grid, net.vit.grid_size)[None]
    if hasattr(module, "resized"):
        prefix = net.vit.num_prefix_tokens + net.vit.added_tokens
        return module.resized(key, value, prefix, old_grid, net.vit.grid_size)
    return value


def _settings_today(methods: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]] | None:
    """A delta's methods as this release would write them down: later releases may know more settings."""
    try:
        return [_as_json(method.settings()) for method in build_methods(list(methods))]
    except (ImportError, TypeError, ValueError):
        return None


def _as_json(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}
