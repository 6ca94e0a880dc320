# SPDX-License-Identifier: Apache-2.0

"""The delta file: what was trained and nothing else, a few kilobytes that know which backbone they belong to.

A delta is a safetensors file. Its tensors are the trained ones and the head; its metadata say how to build the
network around them. Nothing in it is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from monai_ept.checks import check_number
from monai_ept.files import write_whole

__all__ = ["Delta", "DeltaError", "fingerprint", "read_delta", "store_temperature", "write_delta"]

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
    Write a temperature into a delta file, in place: all else in it stays, and it appears whole or not at all.

    Args:
        path: the delta file.
        temperature: what networks built from it divide their logits by; 1 takes an earlier one out.

    Raises:
        ValueError: when the temperature is not above 0.
        DeltaError: when the file is damaged, or is none of ours.
        WriteError: when it cannot be written; the file is untouched then.
    """
    check_number("temperature", temperature, above=0)
    delta = read_delta(path)
    metadata = {key: value for key, value in delta.metadata.items() if key not in ("version", "temperature")}
    if temperature != 1:
        metadata["temperature"] = float(temperature)
    write_delta(path, delta.tensors, metadata)


def read_delta(path: str | os.PathLike) -> Delta:
    """
    Read a delta file.

    Raises:
        FileNotFoundError: when there is no such file.
        DeltaError: when the file is damaged, or is none of ours.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"delta {path} does not exist: pass the path that save_delta wrote.")
    try:
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, safe_open is no mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise DeltaError(
            f"delta {path} cannot be read ({error}): it is cut short or no safetensors file, copy it again."
        ) from error
    if FORMAT not in header:
        raise DeltaError(f"{path} is a safetensors file but not a delta: load it with the program that wrote it.")
    try:
        metadata = _parsed(header[FORMAT])
    except (KeyError, TypeError, ValueError) as error:
        raise DeltaError(f"delta {path} has damaged metadata ({error}): copy it again.") from error
    if metadata["version"] != VERSION:
        raise DeltaError(
            f"delta {path} has format version {metadata['version']}, this release reads {VERSION}: "
            "install the release of monai_ept that wrote it."
        )
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise DeltaError(f"delta {path} holds NaN or infinite values in {name!r}: it comes from a failed training.")
    return Delta(tensors, metadata)


_EXPECTED = {
    "version": int,
    "methods": list,
    "backbone": dict,
    "num_classes": int,
    "in_channels": int,
    "img_size": list,
    "patch_size": list,
}


def _parsed(text: str) -> dict[str, Any]:
    metadata = json.loads(text)
    if not isinstance(metadata, dict):
        raise TypeError("they are no mapping")
    for key, kind in _EXPECTED.items():
        if not isinstance(metadata[key], kind):
            raise TypeError(f"{key} is {metadata[key]!r}")
    check_number("temperature", metadata.get("temperature", 1.0), above=0)
    return metadata


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
