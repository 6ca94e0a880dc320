# SPDX-License-Identifier: Apache-2.0

"""What a tuning method is, and the registry of those there are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from monai_ept.checks import did_you_mean
from monai_ept.networks.backbone import ViTFace
from monai_ept.networks.embedded_prompt import EmbeddedPrompt

__all__ = [
    "MOST_ADDED",
    "Method",
    "build_methods",
    "layer_indices",
    "list_methods",
    "method_class",
    "register_method",
    "thaw",
]


MOST_ADDED = 10_000
"""Prompts or tokens that a method may add to a layer. The paper has 100, and a delta may come from anywhere: what it
asks for must not take all memory before anybody has looked at it."""


@dataclasses.dataclass(frozen=True)
class Method:
    """
    A way to adapt a frozen backbone: a frozen dataclass of settings, and ``apply``.

    ``apply`` meets a backbone whose parameters are all frozen. It wraps modules, adds parameters, or thaws some that
    are there; what requires a gradient afterwards is what the method trains, and nothing else is asked anywhere.
    """

    name: ClassVar[str] = ""
    reference: ClassVar[str] = ""
    requires: ClassVar[tuple[str, ...]] = ()  # packages beyond our own, whose releases a delta names
    listed: ClassVar[bool] = True  # in list_methods(); every method is found by its name
    adamw_lr: ClassVar[float] = 3e-3  # learning rate with AdamW where nobody says another, see docs/results.md
    linear_head: ClassVar[bool] = True  # of one layer, which a closed form finds
    solved_lr: ClassVar[float] = 1e-3  # the same where the head is solved before training begins

    adapt_lr: ClassVar[float] = 1e-3  # likewise where it learns from images without labels

    @property
    def lr_scale(self) -> float:
        """Factor of the learning rate for what this method trains; the head always has 1."""
        return 1.0

    def apply(self, vit: ViTFace) -> None:
        """Make the backbone tunable, in place."""
        raise NotImplementedError

    def make_prompt(self, vit: ViTFace, layer: int) -> EmbeddedPrompt | None:
        """A fresh prompt, as ``apply`` embeds one into the attention of that layer; None where it embeds none."""
        return None

    def begin(self, vit: ViTFace) -> Method:
        """
        The method with the settings that the default recipe has for it and nobody has chosen.

        Called before the first step of a training; it may change what ``apply`` made. Nothing changes where training
        has begun already.
        """
        return self

    def begun(self) -> Method:
        """What ``begin`` returns for a network that is as ``apply`` made it."""
        return self

    def make_head(self, in_features: int, num_classes: int, dropout: float) -> nn.Module | None:
        """The head this method wants, or None where the usual linear head will do."""
        return None

    def kept(self, vit: ViTFace) -> dict[str, Tensor]:
        """Frozen tensors that ``apply`` drew at random and a delta must hold too, by their names in the backbone."""
        return {}

    def rebuilt(self, vit: ViTFace) -> dict[str, Tensor]:
        """Frozen tensors that ``apply`` makes alike every time; a delta holds their fingerprint to be sure of it."""
        return {}

    def folded(self) -> Method | None:
        """The method that describes a folded network; None where it has merged into the backbone's weights."""
        return self

    def other_starts(self, vit: ViTFace) -> tuple[Method, ...]:
        """The method with other starts that are worth a try where images can say which is best; none by default."""
        return ()

    def restart(self, vit: ViTFace) -> None:
        """Put what trains where these settings start, for a method with ``other_starts``."""

    def settings(self) -> dict[str, Any]:
        """Name and settings as JSON has them."""
        return {"name": self.name, **dataclasses.asdict(self)}


_METHODS: dict[str, type[Method]] = {}


def register_method(cls: type[Method]) -> type[Method]:
    """Class decorator that makes a method known by its ``name``."""
    if not cls.name:
        raise ValueError(f'method {cls.__name__} has no name: give it `name: ClassVar[str] = "…"`.')
    if cls.name in _METHODS and _METHODS[cls.name].__qualname__ != cls.__qualname__:
        raise ValueError(f"method name {cls.name!r} is taken by {_METHODS[cls.name].__qualname__}: choose another.")
    _METHODS[cls.name] = cls
    return cls


def list_methods() -> list[str]:
    """
    Names of all registered methods that can be built by name alone.

    Example::

        >>> "ept" in list_methods()
        True
    """
    return sorted(name for name, cls in _METHODS.items() if cls.listed)


def method_class(name: str) -> type[Method]:
    """
    The class behind a name.

    Raises:
        ValueError: for a name that is not registered.
    """
    if name not in _METHODS:
        raise ValueError(f"method {name!r} is not registered: {did_you_mean(name, sorted(_METHODS))}")
    return _METHODS[name]


def build_methods(spec: Any, **settings: Any) -> tuple[Method, ...]:
    """
    Methods from what a user or a configuration file says.

    Args:
        spec: a name, a ``Method``, a mapping with ``name`` and settings, a ``peft.PeftConfig``, or a list of these to
            apply one after another.
        settings: settings of the method, allowed when ``spec`` is one name.

    Raises:
        ValueError: for an unknown name or setting.
        TypeError: for anything else.
    """
    if isinstance(spec, Method):
        _no_settings(settings, spec.name)
        return (spec,)
    if isinstance(spec, str):
        return (_build(spec, settings),)
    if hasattr(spec, "peft_type"):
        # Known by its looks: importing PEFT takes seconds, and it may not be there.
        _no_settings(settings, type(spec).__name__)
        return (_build("peft", {"config": spec}),)
    if isinstance(spec, Mapping):
        _no_settings(settings, str(spec.get("name")))
        if "name" not in spec:
            raise ValueError(f"method {dict(spec)} has no 'name': write e.g. {{'name': 'ept', 'prompt_length': 50}}.")
        return (_build(spec["name"], {key: value for key, value in spec.items() if key != "name"}),)
    if isinstance(spec, Sequence) and spec:
        _no_settings(settings, "a list of methods")
        return tuple(method for one in spec for method in build_methods(one))
    raise TypeError(f"method must be a name, a Method, a mapping or a list of these, got {spec!r}.")


def layer_indices(layers: str | Sequence[int], num_layers: int, name: str = "prompt_layers") -> list[int]:
    """
    Indices of the chosen layers, from the bottom up.

    Args:
        layers: ``"deep"``, ``"shallow"``, or indices in any order; negative ones count from the top.
        num_layers: how many layers there are.
        name: of the setting, for errors.

    Raises:
        ValueError: when an index is out of range or named twice, or there is none.
    """
    if isinstance(layers, str):
        if layers not in ("deep", "shallow"):
            raise ValueError(f"{name} must be 'deep', 'shallow' or a list of layer indices, got {layers!r}.")
        return list(range(num_layers)) if layers == "deep" else [0]
    if not isinstance(layers, (list, tuple)):
        raise ValueError(f"{name} must be 'deep', 'shallow' or a list of layer indices, got {layers!r}.")
    chosen: list[int] = []
    for layer in layers:
        if isinstance(layer, bool) or not isinstance(layer, int):
            raise ValueError(f"{name} must hold whole numbers, got {layer!r}.")
        if not -num_layers <= layer < num_layers:
            raise ValueError(
                f"{name} has {layer}, but the backbone's {num_layers} layers are 0 to {num_layers - 1} "
                f"(or -{num_layers} to -1 from the top)."
            )
        index = layer % num_layers
        if index in chosen:
            raise ValueError(f"{name} names layer {index} twice: name each layer once.")
        chosen.append(index)
    if not chosen:
        raise ValueError(f"{name} is empty: name at least one layer, or use method 'linear' for the head alone.")
    return sorted(chosen)


def thaw(found: Iterable[tuple[str, nn.Parameter]], method: str, what: str, vit: ViTFace) -> None:
    """
    Let parameters of the backbone train.

    Args:
        found: the parameters, by name.
        method: name of the method that wants them.
        what: what they are, for the error.
        vit: the backbone they come from.

    Raises:
        ValueError: when there are none.
    """
    params = [param for _, param in found]
    if not params:
        there = sorted({name.split(".", 2)[-1] for name, _ in vit.parameters() if name.startswith("blocks.0.")})
        raise ValueError(
            f"method {method!r} finds no {what} in {type(vit.module).__name__}, whose first block has "
            f"{', '.join(there)}: choose another method or backbone."
        )
    for param in params:
        param.requires_grad_(True)


def _build(name: str, settings: Mapping[str, Any]) -> Method:
    cls = method_class(name)
    known = [field.name for field in dataclasses.fields(cls)]
    for key in settings:
        if key not in known:
            raise ValueError(f"method {name!r} has no setting {key!r}: {did_you_mean(key, known)}")
    return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()})


def _no_settings(settings: Mapping[str, Any], name: str) -> None:
    if settings:
        raise ValueError(
            f"settings {', '.join(settings)} were given beside {name}: settings go inside the method, "
            "or the method is given by its name alone."
        )
