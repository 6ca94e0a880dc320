# SPDX-License-Identifier: Apache-2.0

"""What a training starts from: a network as it was drawn, or as ``adapt`` has left it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monai_ept.checks import check_choice, check_text, flag
from monai_ept.delta import Delta, DeltaError, read_delta, write_delta
from monai_ept.delta_contents import OF_HEADS, describe, take_over
from monai_ept.files import plain_json
from monai_ept.methods import Method

__all__ = [
    "Start",
    "State",
    "check_adapted",
    "headless",
    "put_state",
    "start_as_written",
    "start_hash",
    "start_in",
    "start_network",
    "state_of",
    "write_start",
]

_Net = Any  # a ``TunedViT``, which stands above this module and uses it

_OF_HEAD = (
    *("num_classes", "class_names", "dropout", "temperature", "prediction_sets"),
    *("readout", "views", "keep_solved", "start"),
)


@dataclass(frozen=True)
class State:
    """
    What methods have made of a backbone, at one moment.

    Args:
        methods: with their settings.
        tensors: what they train and what they drew at random, by name, copied.
    """

    methods: tuple[Method, ...]
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True)
class Start:
    """
    The adaptation that a network starts from.

    Args:
        about: what the adapted delta says of itself, and its hash; deltas trained from it keep this.
        check: whether a solved head may put the network back if the adaptation makes it worse.
        before: the network without it; None where that is not known any more.
    """

    about: Mapping[str, Any]
    check: bool = True
    before: State | None = field(default=None, repr=False)


def headless(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a delta without those of its heads."""
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(OF_HEADS)}


def state_of(net: _Net) -> State:
    """A copy of what methods have made of a network's backbone."""
    return State(net.methods, {name: one.detach().clone() for name, one in headless(net.delta_tensors()).items()})


@torch.no_grad()
def put_state(net: _Net, state: State) -> None:
    """Let a network be again what it was."""
    targets = net.delta_tensors()
    for name, tensor in state.tensors.items():
        targets[name].copy_(tensor)
    net.set_methods(state.methods)


def write_start(net: _Net, path: str | os.PathLike, **extra: Any) -> None:
    """
    Write what methods have made of a network's backbone as a delta without a head.

    Args:
        net: the network.
        path: where to.
        extra: more to say in the metadata, under ``"extra"``.
    """
    metadata = {key: value for key, value in describe(net).items() if key not in _OF_HEAD}
    write_delta(path, headless(net.delta_tensors()), {**metadata, "head": False, "extra": extra})


def start_hash(path: str | os.PathLike) -> str:
    """A short hash of a delta file's content."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def start_in(delta: Delta) -> Start | None:
    """The start of the training that a delta comes from, as far as it is known; None where it had none."""
    about = delta.metadata.get("start")
    return None if about is None else Start(about, check=False)


def check_adapted(value: Any) -> dict[str, Any] | None:
    """
    An adaptation as a configuration file names it, complete.

    Args:
        value: the path of the file, or a mapping with ``file``, and ``check`` as ``TunedViT.start_from`` takes it and
            ``hash`` if the file is to be this one; None where there is none.

    Raises:
        ValueError: when it is neither.
    """
    if value is None:
        return None
    wanted = {"file": value} if not isinstance(value, Mapping) else dict(value)
    for key in wanted:
        check_choice("adapted", key, ("file", "check", "hash"))
    return {
        "file": check_text("adapted", wanted.get("file")),
        "check": flag(wanted.get("check", True), "check of adapted"),
        "hash": wanted.get("hash"),
    }


def start_as_written(net: _Net, value: Any) -> None:
    """
    Let a network start from an adaptation that a configuration file names, if it names one.

    Args:
        net: the network.
        value: as ``check_adapted`` takes it.

    Raises:
        DeltaError: when the file is damaged, belongs to another network, or is not the one with this hash.
    """
    wanted = check_adapted(value)
    if wanted is None:
        return
    start_network(net, wanted["file"], check=wanted["check"])
    if wanted["hash"] not in (None, net.start.about["hash"]):
        raise DeltaError(f"{wanted['file']} is not the adaptation that was begun with: put that back.")


def start_network(net: _Net, path: str | os.PathLike, *, check: bool = True) -> None:
    """See ``TunedViT.start_from``."""
    delta = read_delta(path, head=False)
    if delta.metadata["methods"] == [plain_json(method.begun().settings()) for method in net.methods]:
        net.begin()  # as adapt did, so that the network without the adaptation is one to compare it with
    before = state_of(net)
    take_over(net, path, delta)
    about = {"hash": start_hash(path), **(delta.metadata.get("extra") or {})}
    net.start = Start(about, check, before)
