# SPDX-License-Identifier: Apache-2.0

"""Data sources by name, so that a bundle or a command line can choose one."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from monai_ept.data.records import RecordSet
from monai_ept.metrics.positive_class import PositiveClass

__all__ = ["list_sources", "load_source", "register_source"]

_HERE = "monai_ept.data.sources"

# "module:function" is imported when it is asked for; the dictionary holds options that the name stands for.
_SOURCES: dict[str, tuple[str | Callable[..., RecordSet], dict[str, Any]]] = {
    "csv": (f"{_HERE}.csv_file:csv_file", {}),
    "dicom": (f"{_HERE}.dicom:dicom", {}),
    "folder": (f"{_HERE}.folder:folder", {}),
    "isic2018": (f"{_HERE}.isic2018:isic2018", {}),
    "medfmc": (f"{_HERE}.medfmc:medfmc", {}),
    "medfmc_chest": (f"{_HERE}.medfmc:medfmc", {"task": "chest"}),
    "medfmc_colon": (f"{_HERE}.medfmc:medfmc", {"task": "colon"}),
    "medfmc_endo": (f"{_HERE}.medfmc:medfmc", {"task": "endo"}),
    "medmnist": (f"{_HERE}.medmnist:medmnist", {}),
    "nifti": (f"{_HERE}.nifti:nifti", {}),
    "synthetic": (f"{_HERE}.synthetic:synthetic_derm", {}),
    "synthetic_chest": (f"{_HERE}.synthetic:synthetic_chest", {}),
    "synthetic_derm": (f"{_HERE}.synthetic:synthetic_derm", {}),
    "synthetic_volume": (f"{_HERE}.synthetic:synthetic_volume", {}),
}


def list_sources() -> list[str]:
    """Names that :py:func:`load_source` knows, sorted."""
    return sorted(_SOURCES)


def register_source(name: str, loader: Callable[..., RecordSet]) -> None:
    """Add a source of your own.

    Args:
        name: a name that is not taken.
        loader: returns a :py:class:`RecordSet`; it gets ``dataset_dir`` if it has such an argument.

    Raises:
        ValueError: when the name is taken.
    """
    if name in _SOURCES:
        raise ValueError(f"a source named {name!r} is already registered; choose another name.")
    _SOURCES[name] = (loader, {})


def load_source(name: str, dataset_dir: str | Path | None = None, **options: Any) -> RecordSet:
    """Load a data set by the name of its source.

    Args:
        name: one of :py:func:`list_sources`.
        dataset_dir: the data folder. Sources that make their images by code have no use for it.
        options: options of the source, see its function; and of any source ``positive``, the name of the class that is
            looked for, or a mapping of the arguments of ``PositiveClass``.

    Raises:
        ValueError: when there is no such source, or it needs a folder and there is none.
        TypeError: when the source has no such option.
        DataError: listing every problem in the data.

    Returns:
        the validated records.

    Example::

        data = load_source("folder", "my_images", group_pattern=r"(patient\\d+)_")
        data = load_source("medfmc_endo", "MedFMC", lists_dir="medfmc_lists")
        data = load_source("synthetic")
    """
    if name not in _SOURCES:
        raise ValueError(f"there is no data source {name!r}; the sources are {', '.join(list_sources())}.")
    positive = PositiveClass.of(options.pop("positive", None))
    loader, preset = _SOURCES[name]
    if isinstance(loader, str):
        module, function = loader.split(":")
        loader = getattr(importlib.import_module(module), function)
    assert callable(loader)
    parameters = inspect.signature(loader).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    unknown = [option for option in options if option not in parameters and not takes_any]
    if unknown:
        raise TypeError(f"source {name!r} has no option {unknown[0]!r}; it has {', '.join(parameters)}.")
    folder = None if dataset_dir is None else str(dataset_dir)
    origin = {"source": name, "dataset_dir": folder, "options": dict(options)}
    options = {**preset, **options}
    if "dataset_dir" in parameters and dataset_dir is not None:
        options["dataset_dir"] = dataset_dir
    elif "dataset_dir" in parameters and parameters["dataset_dir"].default is inspect.Parameter.empty:
        raise ValueError(f"source {name!r} reads from disk, so give dataset_dir.")
    return dataclasses.replace(loader(**options), origin=origin, positive=positive)
