# SPDX-License-Identifier: Apache-2.0

"""The data of a bundle: the user's folder, or the embedded pictures when there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai_ept.data import Record, RecordSet, load_source

__all__ = ["choose_classes", "load_data", "with_classes"]


def load_data(
    source: str,
    dataset_dir: str | Path | None = None,
    *,
    embedded: str = "synthetic",
    embedded_classes: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
) -> RecordSet:
    """
    Load what a bundle trains on.

    Args:
        source: how the folder is read, one of ``monai_ept.data.list_sources()``.
        dataset_dir: the folder; without it the embedded pictures are taken.
        embedded: source of the embedded pictures, which are drawn when they are read.
        embedded_classes: the classes of theirs to take, where the bundle has fewer.
        class_names: the bundle's order of classes. Data that have these classes in another order are put into it; data
            that have others keep them.
        options: options of the source.

    Raises:
        ValueError: when there is no such source, or the source and the folder do not go together.
        DataError: listing every problem in the data.
    """
    options = dict(options or {})
    if source.startswith("synthetic"):
        embedded, embedded_classes, dataset_dir = source, None, None
    if dataset_dir is None:
        data = load_source(embedded, **{"lazy": True, **options})
        if embedded_classes is not None:
            data = choose_classes(data, embedded_classes)
    else:
        data = load_source(source, dataset_dir, **options)
    if class_names is not None and sorted(class_names) == sorted(data.class_names):
        data = choose_classes(data, class_names)
    return data


def choose_classes(data: RecordSet, class_names: Sequence[str]) -> RecordSet:
    """
    The records of some classes, in that order.

    Of multi-class data the images of other classes are left out; of multi-label data all images stay, with fewer
    labels.

    Args:
        data: the records.
        class_names: the classes to take.

    Raises:
        ValueError: when there is no such class, or fewer than two are taken of multi-class data.
    """
    names = list(class_names)
    missing = [name for name in names if name not in data.class_names]
    if missing:
        raise ValueError(f"{data.name} has no class {missing[0]!r}; it has {', '.join(data.class_names)}.")
    if names == list(data.class_names):
        return data
    old = [data.class_names.index(name) for name in names]
    records: list[Record] = []
    for record in data.records:
        label = record["label"]
        if data.task == "multilabel":
            records.append({**record, "label": [label[index] for index in old]})
        elif int(label) in old:
            records.append({**record, "label": old.index(int(label))})
    return replace(data, records=records, class_names=tuple(names), origin=None)


def with_classes(data: RecordSet, class_names: Sequence[str]) -> RecordSet:
    """
    The records of a hospital that has not seen all classes, with the labels of one that has.

    Args:
        data: the records, of one class each; of several labels all must be known everywhere.
        class_names: all classes there are, in their order.

    Raises:
        ValueError: when there are images of another class.
    """
    names = list(class_names)
    odd = [name for name in data.class_names if name not in names]
    if odd or (data.task == "multilabel" and len(names) > len(data.class_names)):
        raise ValueError(
            f"{data.name} has the classes {', '.join(data.class_names)} and the network {', '.join(names)}: give all "
            "clients the same class_names."
        )
    if data.task == "multilabel":
        return choose_classes(data, names)
    places = [names.index(name) for name in data.class_names]
    records: list[Record] = [{**record, "label": places[int(record["label"])]} for record in data.records]
    return replace(data, records=records, class_names=tuple(names), origin=None)
