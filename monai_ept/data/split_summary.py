# SPDX-License-Identifier: Apache-2.0

"""What a few-shot split holds, counted by class and by group, and printed as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_ept.data.records import Record, RecordSet, positive_classes

__all__ = ["PARTS", "SplitSummary", "describe"]

PARTS = ("train", "val", "test")


class SplitSummary(dict):
    """
    The counts of a split, a dictionary that prints as a table: classes in rows, images and groups of each part.

    Example::

        >>> print(few_shot_split(data, shots=2).summary)
               train           test
        class  images  groups  images  groups
        mel         3       2      27      19
        nv          2       2      41      30
        all         5       4      68      49
        A group is a patient, a lesion or a study. 4 more images are used nowhere.
    """

    def __repr__(self) -> str:
        parts = [part for part in PARTS if self.get(part, {}).get("images")]
        if not parts:
            return super().__repr__()
        names = list(self[parts[0]]["images_by_class"])
        width = max(len(name) for name in ("class", *names))
        lines = [" " * width + "".join(f"  {part:<14}" for part in parts).rstrip()]
        lines.append(f"{'class':<{width}}" + "  images  groups" * len(parts))
        for name in names:
            counts = (self[part][f"{what}_by_class"][name] for part in parts for what in ("images", "groups"))
            lines.append(f"{name:<{width}}" + "".join(f"{count:>8,}" for count in counts))
        counts = (self[part][what] for part in parts for what in ("images", "groups"))
        lines.append(f"{'all':<{width}}" + "".join(f"{count:>8,}" for count in counts))
        alone = all(self[part]["images"] == self[part]["groups"] for part in parts)
        said = ["Every image is a group of its own." if alone else "A group is a patient, a lesion or a study."]
        if self.get("unused_images"):
            said.append(f"{self['unused_images']:,} more images are used nowhere.")
        return "\n".join([*lines, " ".join(said)])


def describe(records: Sequence[Record], data: RecordSet) -> Mapping[str, Any]:
    """Counts for a split's summary: images, groups, and both by class."""
    groups: dict[str, list[str]] = {name: [] for name in data.class_names}
    for record in records:
        for index in positive_classes(record["label"]):
            groups[data.class_names[index]].append(record["group"])
    return {
        "images": len(records),
        "groups": len({record["group"] for record in records}),
        "images_by_class": {name: len(of_images) for name, of_images in groups.items()},
        "groups_by_class": {name: len(set(of_images)) for name, of_images in groups.items()},
    }
