# SPDX-License-Identifier: Apache-2.0

"""The delta file: what was trained and nothing else, a few kilobytes that know which backbone they belong to.

A delta is a safetensors file. Its tensors are the trained ones and the head; its metadata say how to build the
network around them. Nothing in it is ever unpickled. One without a head, which says so in its metadata, is what
``adapt`` has learnt from images without labels: a start for a training.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from monai_ept.checks import check_choice, check_mapping, check_number, check_text, check_whole, shown
from monai_ept.data.views import VIEW_SETS
from monai_ept.files import write_whole
from monai_ept.metrics.conformal import PredictionSets
from monai_ept.networks.backbone_settings import check_backbone_settings
from monai_ept.networks.readout import check_readout_setting

__all__ = [
    "Delta",
    "DeltaError",
    "fingerprint",
    "read_delta",
    "store_prediction_sets",
    "store_temperature",
    "write_delta",
]

FORMAT = "monai_ept.delta"
VERSION = 1


class DeltaError(ValueError):
    """A delta file that cannot be used, and why."""


class Delta(NamedTuple):
    """A delta file's contents."""

    tensors: dict[str, Tensor]
    metadata: dict[str, Any]


def write_delta(path: str | os.PathLike, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """
    Write a delta file. It appears whole or not at all.

    Args:
        path: where to; the folder must exist.
        tensors: what was trained, by name.
        metadata: anything JSON can say.

    Raises:
        FileNotFoundError: when the folder does not exist.
        WriteError: when it cannot be written; a file that was there before is untouched.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write delta {path}: folder {path.parent} does not exist, create it first.")
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # One entry only: safetensors writes several in no fixed order, and the same delta must be the same bytes.
    header = {FORMAT: json.dumps({"version": VERSION, **metadata}, sort_keys=True)}
    write_whole(path, save(plain, metadata=header))


def store_temperature(path: str | os.PathLike, temperature: float) -> None:
    """
    Write a temperature into a delta file, in place: all else in it stays, but for prediction sets that were found at
    another temperature; it appears whole or not at all.

    Args:
        path: the delta file.
        temperature: what networks built from it divide their logits by; 1 takes an earlier one out.

    Raises:
        ValueError: when the temperature is not above 0.
        DeltaError: when the file is damaged, or is none of ours.
        WriteError: when it cannot be written; the file is untouched then.
    """
    check_number("temperature", temperature, above=0)
    _store(path, temperature=None if temperature == 1 else float(temperature), prediction_sets=None)


def store_prediction_sets(path: str | os.PathLike, sets: PredictionSets | None) -> None:
    """
    Write into a delta file what makes prediction sets, in place, as ``store_temperature`` does.

    Args:
        path: the delta file.
        sets: found for the network in it; None takes earlier ones out.

    Raises:
        DeltaError: when the file is damaged, or is none of ours.
        WriteError: when it cannot be written; the file is untouched then.
    """
    _store(path, prediction_sets=None if sets is None else sets.record)


def _store(path: str | os.PathLike, **changes: Any) -> None:
    delta = read_delta(path)
    dropped = {"version", *(key for key, value in changes.items() if value is None)}
    metadata = {key: value for key, value in {**delta.metadata, **changes}.items() if key not in dropped}
    write_delta(path, delta.tensors, metadata)


def read_delta(path: str | os.PathLike, *, head: bool = True) -> Delta:
    """
    Read a delta file.

    Args:
        path: the file.
        head: whether it is to have a head; without one it is a start for a training and answers nothing yet.

    Raises:
        FileNotFoundError: when there is no such file.
        DeltaError: when the file is damaged, is none of ours, or is of the other kind.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"delta {path} does not exist: pass the path that save_delta wrote.")
    try:
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, safe_open is no mapping
    except Exception as error:  # safetensors has one of its own, and torch others for kinds of numbers it lacks
        raise DeltaError(
            f"delta {path} cannot be read ({_brief(error)}): it is cut short or no safetensors file, copy it again."
        ) from error
    if FORMAT not in header:
        raise DeltaError(f"{path} is a safetensors file but not a delta: load it with the program that wrote it.")
    try:
        metadata = json.loads(header[FORMAT])
        version = check_whole("version", check_mapping("metadata", metadata, "those of save_delta").get("version"))
        if version == VERSION:
            _check_metadata(metadata)
    except (ValueError, RecursionError) as error:
        raise DeltaError(f"delta {path} has damaged metadata ({_brief(error)}): copy it again.") from error
    if version != VERSION:
        raise DeltaError(
            f"delta {path} has format version {version}, this release reads {VERSION}: "
            "install the release of monai_ept that wrote it."
        )
    if metadata.get("head", True) is not head:
        raise DeltaError(
            f"delta {path} has no head: it is what adapt has learnt, a start for a training, see TunedViT.start_from."
            if head
            else f"delta {path} has a head, so that it is a trained network and no start: pass what adapt has written."
        )
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise DeltaError(f"delta {path} holds NaN or infinite values in {name!r}: it comes from a failed training.")
    return Delta(tensors, metadata)


def _check_metadata(metadata: Mapping[str, Any]) -> None:
    """Refuse metadata that no delta of ours has; who builds a network from them may rely on what they are."""
    head = metadata.get("head", True)
    if not isinstance(head, bool):
        raise ValueError(f"head must be true or false, got {shown(head)}.")
    for key in ("methods", "backbone", *(["num_classes"] if head else []), "in_channels", "img_size", "patch_size"):
        if key not in metadata:
            raise ValueError(f"{key!r} is missing")
    if not isinstance(metadata["methods"], list):
        raise ValueError(f"methods must be a list of them, got {shown(metadata['methods'])}.")
    for method in metadata["methods"]:
        check_text("the name of a method", check_mapping("a method", method, "{'name': 'ept'}").get("name"))
    backbone = check_mapping("backbone", metadata["backbone"], "its name and fingerprint")
    check_text("the backbone's name", backbone.get("name"))
    check_text("the backbone's fingerprint", backbone.get("fingerprint"))
    if not isinstance(backbone.get("by_name"), bool):
        raise ValueError(f"the backbone's by_name must be true or false, got {shown(backbone.get('by_name'))}.")
    check_backbone_settings("the backbone's settings", backbone.get("settings"))
    if "architecture" in backbone:
        check_text("the backbone's architecture", backbone["architecture"])
    for key in ("num_classes", "in_channels"):
        if key in metadata:
            check_whole(key, metadata[key])
    sizes = [metadata[key] for key in ("img_size", "patch_size")]
    if not all(isinstance(size, list) for size in sizes) or [*map(len, sizes)] not in ([2, 2], [3, 3]):
        raise ValueError(f"img_size and patch_size must be two or three numbers each, got {shown(sizes)}.")
    for size in [*sizes[0], *sizes[1]]:
        check_whole("img_size and patch_size", size)
    names = metadata.get("class_names")
    if names is not None and (
        not isinstance(names, list)
        or len(names) != metadata.get("num_classes")
        or not all(isinstance(name, str) for name in names)
    ):
        raise ValueError(f"class_names must be {metadata.get('num_classes')} texts, got {shown(names)}.")
    check_number("dropout", metadata.get("dropout", 0.0), least=0, below=1)
    check_number("temperature", metadata.get("temperature", 1.0), above=0)
    PredictionSets.from_record(metadata.get("prediction_sets"), metadata.get("num_classes", 0))
    check_readout_setting(metadata.get("readout"))
    check_choice("views", metadata.get("views", "one"), VIEW_SETS)
    if not isinstance(metadata.get("keep_solved", False), bool):
        raise ValueError(f"keep_solved must be true or false, got {shown(metadata['keep_solved'])}.")
    for key in ("extra", "start"):
        if metadata.get(key) is not None:
            check_mapping(key, metadata[key], "those of save_delta")


def _brief(error: BaseException) -> str:
    """The first words of an error, which may quote a file at length."""
    return " ".join(str(error).split())[:200].rstrip(".: ") or type(error).__name__


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """
    A short name of weights that changes with any of them.

    Args:
        tensors: weights by name; the order does not matter, and float64 copies count as the float32 they came from.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        if tensor.is_floating_point():
            tensor = tensor.float()
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().data)
    return digest.hexdigest()[:32]
