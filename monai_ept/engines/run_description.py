# SPDX-License-Identifier: Apache-2.0

"""Everything that decides the result of a training, as flat names and values for a record."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from monai_ept.data.split import FewShotSplit
from monai_ept.files import file_name
from monai_ept.networks.unwrap_network import unwrap

__all__ = ["describe_run", "result_hash", "run_name", "source_commit"]


def describe_run(network: nn.Module, split: FewShotSplit, settings: Mapping[str, Any]) -> dict[str, str | int | float]:
    """
    Method, backbone, data, settings, versions and device of a training.

    Args:
        network: the ``TunedViT`` as it is before training.
        split: the few-shot split.
        settings: settings of the training: seed, epochs, optimizer, learning rate, …

    Returns:
        text and numbers by name; settings of a method are called ``method.<setting>``.
    """
    net = unwrap(network)
    about, count = net.delta_metadata(), net.count()
    methods = about["methods"]
    described: dict[str, Any] = {"method": "+".join(method["name"] for method in methods)}
    for method in methods:
        start = "method" if len(methods) == 1 else f"method.{method['name']}"
        described.update({f"{start}.{key}": value for key, value in method.items() if key != "name"})
    described.update(
        {
            "backbone": about["backbone"]["name"],
            "backbone_fingerprint": about["backbone"]["fingerprint"],
            "backbone_settings": about["backbone"].get("settings"),
            "img_size": "x".join(map(str, about["img_size"])),
            "trained_in_backbone": count.delta,
            "trained_in_head": count.head,
            "num_classes": about["num_classes"],
            "source": split.source,
            "source_hash": split.source_hash[:12],
            "split_hash": split.hash,
            "shots": split.settings.get("shots"),
            "split_seed": split.settings.get("seed"),
            "sampling": split.settings.get("sampling"),
            "shots_by": split.settings.get("by"),
            **{f"{part}_images": len(getattr(split, part)) for part in ("train", "val", "test")},
            **settings,
            "version.python": platform.python_version(),
            **{f"version.{name}": number for name, number in about["packages"].items()},
        }
    )
    commit = source_commit()
    if commit:
        described["git_commit"] = commit
    device = next(net.parameters()).device
    described["device"] = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {name: _flat(value) for name, value in described.items() if value is not None}


def _flat(value: Any) -> str | int | float:
    if isinstance(value, (str, int, float)):
        return value
    return json.dumps(value, default=str, ensure_ascii=False)


def result_hash(record: Mapping[str, Any]) -> str:
    """
    Six digits of a hash over what decides a result; not over the machine, the releases and the number of processes.
    """
    elsewhere = ("device", "git_commit", "version.")
    decides: dict[str, Any] = {key: record.get(key) for key in ("recipe", "seed", "class_names", "task", "data")}
    # A setting that is younger than folders with such names decides nothing as long as nobody sets it.
    younger = (("compile", False), ("keep_solved", None))
    decides["recipe"] = {key: value for key, value in record["recipe"].items() if (key, value) not in younger}
    decides["transforms"] = record.get("transforms") or {}
    decides["params"] = {key: value for key, value in record["params"].items() if not key.startswith(elsewhere)}
    return hashlib.sha256(json.dumps(decides, sort_keys=True, default=str).encode()).hexdigest()[:6]


def run_name(record: Mapping[str, Any]) -> str:
    """
    A name for a run and its folder in which everything differs that decides the result: ``ept-5shot-seed0-1f2e3d``.
    """
    params = record["params"]
    shots = [f"{params['shots']}shot"] if "shots" in params else []
    # The method's name has those of all its parts; what is cut off is in the hash.
    return "-".join([file_name(params["method"])[:80], *shots, f"seed{record['seed']}", result_hash(record)])


def source_commit(folder: str | os.PathLike | None = None) -> str | None:
    """
    The commit of a package's source.

    Returns:
        its 40 digits, with ``-dirty`` where something has changed since; None where the package is no part of a
        repository, as in an environment that lies inside one.
    """
    folder = Path(__file__).parents[1] if folder is None else Path(folder)
    if not _git(folder, "ls-files", "__init__.py"):
        return None
    return _git(folder, "describe", "--always", "--abbrev=40", "--match=", "--dirty")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        found = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None
