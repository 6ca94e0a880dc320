# SPDX-License-Identifier: Apache-2.0

"""
Bundles and sweeps that come with the package.

In a checkout they are the folders ``bundles/`` and ``sweeps/`` at its top; ``setup.py`` puts these into the wheel.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Literal

from monai_ept.checks import did_you_mean

__all__ = ["Kind", "copy_shipped", "describe_shipped", "list_shipped", "shipped_path"]

Kind = Literal["bundle", "sweep"]

_PACKAGE = Path(__file__).parent


def list_shipped(kind: Kind) -> list[str]:
    """
    Names of the bundles or sweeps that come along.

    Raises:
        FileNotFoundError: when this installation has none.
    """
    if kind == "bundle":
        return sorted(path.parent.parent.name for path in _folder(kind).glob("*/configs/metadata.json"))
    return sorted(path.stem for path in _folder(kind).glob("*.yaml"))


def shipped_path(kind: Kind, name: str) -> Path:
    """
    Where one is: a bundle's folder, or a sweep's file.

    Raises:
        ValueError: for a name that is not there.
    """
    names = list_shipped(kind)
    if name not in names:
        raise ValueError(f"{kind} {name!r} does not come with monai_ept: {did_you_mean(name, names)}")
    return _folder(kind) / (name if kind == "bundle" else f"{name}.yaml")


def describe_shipped(kind: Kind, name: str) -> str:
    """Its description, in one line."""
    path = shipped_path(kind, name)
    if kind == "bundle":
        about = json.loads((path / "configs" / "metadata.json").read_text(encoding="utf-8"))
        return str(about["description"]).splitlines()[0]
    return path.read_text(encoding="utf-8").splitlines()[0].removeprefix("#").strip()


def copy_shipped(kind: Kind, name: str, folder: str | Path = ".") -> Path:
    """
    Copy one, to be used and changed.

    Args:
        folder: where to; made where it is missing.

    Returns:
        the bundle's new folder, or the sweep's new file.

    Raises:
        ValueError: for a name that is not there.
        FileExistsError: when there is one of that name already, which stays as it is.
    """
    source, target = shipped_path(kind, name), Path(folder) / shipped_path(kind, name).name
    if target.exists():
        raise FileExistsError(f"{target} is there already and stays as it is: remove it, or name another folder.")
    Path(folder).mkdir(parents=True, exist_ok=True)
    if kind == "sweep":
        shutil.copyfile(source, target)
        return target
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}-") as unfinished:  # whole, or not at all
        # Models are what trainings of our own have left in a checkout.
        shutil.copytree(source, Path(unfinished, name), ignore=shutil.ignore_patterns("models", "__pycache__"))
        Path(unfinished, name).rename(target)
    return target


def _folder(kind: Kind) -> Path:
    installed, checkout = _PACKAGE / "_shipped" / f"{kind}s", _PACKAGE.parent / f"{kind}s"
    for folder in (installed, checkout):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"this installation of monai_ept has no {kind}s: install it from its wheel or a checkout.")
