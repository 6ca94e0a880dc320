# SPDX-License-Identifier: Apache-2.0

"""What a record is, and the light carrier in which records travel.

A record is a plain dictionary in MONAI's datalist form::

    {"image": "/data/images/a.jpg", "label": 3, "group": "patient_7", "id": "a"}

``image`` is a path or an array, ``label`` an int (multi-class) or a list of 0/1 (multi-label), ``group`` names the
patient, study or lesion, and ``id`` the image. A record may also carry ``split`` ("train", "val" or "test") when its
data set has an official one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from monai_ept.metrics.positive_class import PositiveClass

__all__ = ["TASKS", "DataError", "Record", "RecordSet", "Task", "bare_records", "positive_classes", "records_hash"]

Record = dict[str, Any]
Task = Literal["multiclass", "multilabel"]
TASKS: tuple[str, ...] = get_args(Task)


class DataError(ValueError):
    """Something is wrong with the data; the message lists every problem found, up to twenty of them.

    Args:
        source: what was read.
        problems: one sentence each, naming the file and line or the record.
    """

    max_listed = 20

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source = source
        self.problems = list(problems)
        if len(self.problems) == 1:
            super().__init__(f"{source}: {self.problems[0]}")
            return
        shown = [f"  {n}. {problem}" for n, problem in enumerate(self.problems[: self.max_listed], start=1)]
        hidden = len(self.problems) - len(shown)
        if hidden:
            shown.append(f"  … and {hidden} more")
        super().__init__("\n".join([f"{source}: {len(self.problems)} problems found in the data", *shown]))

    def __reduce__(self) -> tuple[type[DataError], tuple[str, list[str]]]:
        return type(self), (self.source, self.problems)


def records_hash(records: Sequence[Record], class_names: Sequence[str], task: str) -> str:
    """SHA-256 of what a split depends on: ids, labels, groups, official splits and class names.

    Record order, folders and pixels do not count, so the same data set gives the same hash on every machine.
    """
    digest = hashlib.sha256(json.dumps([task, list(class_names)]).encode())
    rows = [json.dumps([r["id"], r["group"], _plain(r["label"]), r.get("split")]) for r in records]
    for row in sorted(rows):
        digest.update(b"\n")
        digest.update(row.encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class RecordSet:
    """Records and what they mean; ``records`` goes straight into any MONAI dataset.

    Args:
        name: name of the source, e.g. "isic2018".
        records: plain dictionaries, see the module's text.
        class_names: one name per class, in label order.
        task: "multiclass" or "multilabel".
        spatial_dims: 2 for images, 3 for volumes.
        published: few-shot lists that came with the data set, keyed by (shots, sampling number); each has "train" and
            "val", the ids as listed, repeated rows included.
        wider: what groups are parts of, where a source knows more than its own lists do: from a group to the name of
            the whole. A fresh split keeps the wholes apart; the hash and the published lists go by ``group``.
        copies: ids of records that are one image, byte for byte, see :py:func:`monai_ept.data.copies.exact_copies`;
            None where nobody has looked, and then a split looks itself.
        origin: how ``load_source`` was called, for the record of a training; None for records made by hand.
        positive: the class that is looked for, if somebody has said which.

    Example::

        data = RecordSet("two", [{"image": "a.png", "label": 0, "group": "p1", "id": "a"},
                                 {"image": "b.png", "label": 1, "group": "p2", "id": "b"}], ("benign", "malignant"))
        dataset = monai.data.Dataset(data.records, transform=eval_transforms(224, mean=0.5, std=0.5))
    """

    name: str
    records: list[Record]
    class_names: tuple[str, ...]
    task: Task = "multiclass"
    spatial_dims: int = 2
    published: Mapping[tuple[int, int], Mapping[str, Sequence[str]]] = field(default_factory=dict, repr=False)
    origin: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    wider: Mapping[str, str] = field(default_factory=dict, repr=False)
    copies: Sequence[Sequence[str]] | None = field(default=None, repr=False, compare=False)
    positive: PositiveClass | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", tuple(self.class_names))
        if self.positive is not None:
            self.positive.check(self.class_names)

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        kind = f"{self.num_classes} classes, {self.task}, {self.spatial_dims}-D"
        return f"RecordSet({self.name!r}, {len(self)} records, {kind})"

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def source_hash(self) -> str:
        """See :py:func:`records_hash`."""
        return records_hash(self.records, self.class_names, self.task)

    def official(self, split: str) -> list[Record]:
        """The records of one official split, e.g. ``data.official("test")``; empty if there is none."""
        return [record for record in self.records if record.get("split") == split]

    def counts(self) -> dict[str, int]:
        """Number of images per class name (for multi-label, of positive images)."""
        totals = [0] * self.num_classes
        for record in self.records:
            for index in positive_classes(record["label"]):
                totals[index] += 1
        return dict(zip(self.class_names, totals, strict=True))


def _plain(label: int | Sequence[int]) -> int | list[int]:
    """Python's own numbers, so that numpy's give the same text."""
    return [int(value) for value in label] if isinstance(label, Sequence) else int(label)


def bare_records(records: Sequence[Record]) -> list[Record]:
    """Records with what a batch needs; what else a source put there may not fit into one."""
    return [{key: record[key] for key in ("image", "label", "id")} for record in records]


def positive_classes(label: int | Sequence[int]) -> list[int]:
    """The class indices a label stands for: the one of a multi-class label, the ones of a multi-label row."""
    if isinstance(label, Sequence):
        return [index for index, value in enumerate(label) if value]
    return [int(label)]
