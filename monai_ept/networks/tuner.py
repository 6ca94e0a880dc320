# SPDX-License-Identifier: Apache-2.0

"""A backbone's own module with something learnable around it that can step aside."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

__all__ = [
    "Tuner",
    "copied",
    "innermost",
    "own_modules",
    "own_name",
    "own_parameters",
    "tuners",
    "tuners_disabled",
    "without_tuners",
]


class Tuner(nn.Module):
    """
    Stands where a module of the backbone stood and keeps that module as ``inner``.

    While ``enabled`` is False the inner module answers alone, so that a tuned network can be asked what the backbone
    would have said. Subclasses write ``tuned``; those that can dissolve into plain modules also write ``folded``.

    Args:
        inner: the module to stand around.
    """

    added_tokens = 0  # how many more tokens the inner module sees than come in

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.enabled = True

    def tuned(self, *args, **kwargs):
        """What the inner module's forward becomes."""
        raise NotImplementedError

    def folded(self) -> nn.Module | None:
        """A module with equal outputs and fewer numbers or less work, or None where there is none."""
        return None

    def forward(self, *args, **kwargs):
        return self.tuned(*args, **kwargs) if self.enabled else self.inner(*args, **kwargs)


def copied(module: nn.Module, shared: Iterable[Tensor] = ()) -> nn.Module:
    """
    A deep copy, in half the time.

    Each module has a dozen places for hooks. ``copy.deepcopy`` takes most of its time for them, empty as they are, and
    here is told of their copies.

    Args:
        module: what is copied.
        shared: tensors in it that the copy has too, and no copies of.
    """
    holders = (value for part in module.modules() for value in vars(part).values())
    known: dict[int, Any] = {
        id(value): type(value)() for value in holders if type(value) in (dict, OrderedDict) and not value
    }
    return copy.deepcopy(module, {**known, **{id(tensor): tensor for tensor in shared}})


def without_tuners(backbone: nn.Module, originals: Mapping[str, Tensor]) -> nn.Module:
    """
    A backbone as it came, in the memory of the one that is tuned.

    Args:
        backbone: with tuners inside.
        originals: those of its own weights that have changed, by name, as they were.
    """
    plain = copied(backbone, [*backbone.parameters(), *backbone.buffers()])
    for name, original in originals.items():
        owner, _, key = name.rpartition(".")
        setattr(plain.get_submodule(owner), key, nn.Parameter(original, requires_grad=False))
    for part in list(plain.modules()):
        for name, child in part.named_children():
            if isinstance(child, Tuner):
                setattr(part, name, innermost(child))
    return innermost(plain)


def tuners(module: nn.Module) -> Iterator[tuple[str, Tuner]]:
    """The tuners inside a module, by name, outermost first."""
    for name, child in module.named_modules():
        if isinstance(child, Tuner):
            yield name, child


def innermost(module: Any) -> Any:
    """The backbone's own module inside whatever tuners stand around it."""
    while isinstance(module, Tuner):
        module = module.inner
    return module


def own_modules(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The backbone's own modules by the names they came with: no tuners, and nothing that tuners brought along."""
    module = innermost(module)
    yield prefix, module
    for name, child in module.named_children():
        yield from own_modules(child, f"{prefix}.{name}" if prefix else name)


def own_parameters(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The backbone's own parameters by the names they came with."""
    for name, owner in own_modules(module):
        for key, param in owner.named_parameters(recurse=False):
            yield f"{name}.{key}" if name else key, param


def own_name(name: str) -> str:
    """The name that a weight had before anything was wrapped around its module."""
    return ".".join(part for part in name.split(".") if part != "inner")


@contextmanager
def tuners_disabled(module: nn.Module) -> Iterator[None]:
    """Let every tuner inside ``module`` step aside for a while."""
    active = [tuner for _, tuner in tuners(module) if tuner.enabled]
    try:
        for tuner in active:
            tuner.enabled = False
        yield
    finally:
        for tuner in active:
            tuner.enabled = True
