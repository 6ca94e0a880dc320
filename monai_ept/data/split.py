# SPDX-License-Identifier: Apache-2.0

"""A few-shot split: the records of each part, how they were chosen, and a check that nothing leaks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from monai_ept._moved import moved_names
from monai_ept.data.keep_together import joined_groups
from monai_ept.data.records import DataError, Record, RecordSet
from monai_ept.data.split_summary import PARTS, SplitSummary
from monai_ept.files import usable_folder, write_whole
from monai_ept.metrics.positive_class import PositiveClass

__all__ = ["FewShotSplit", "leaks", "meaning"]


def leaks(train: Sequence[Record], val: Sequence[Record], test: Sequence[Record]) -> list[str]:
    """One sentence for each thing that must not be in a split: repeated records, images or groups in two parts."""
    parts = dict(zip(PARTS, (train, val, test), strict=True))
    found = []
    for name, records in parts.items():
        repeated = len(records) - len({record["id"] for record in records})
        if repeated:
            found.append(f"{repeated} of {len(records)} {name} rows repeat an image that is already there")
    for first, second in combinations(PARTS, 2):
        for key, what in (("id", "images"), ("group", "groups")):
            ours = {record[key] for record in parts[first]}
            shared = ours & {record[key] for record in parts[second]}
            if shared:
                found.append(f"{len(shared)} of {len(ours)} {first} {what} are also in {second}")
    return found


@dataclass(frozen=True)
class FewShotSplit:
    """Training, validation and test records, and how they came about.

    :py:meth:`to_json` names the chosen ids, the settings and the hash of the data set, and :py:meth:`from_json` gives
    the same split back from the same data set, byte for byte.

    Args:
        train: training records.
        val: validation records.
        test: test records.
        source: name of the data set.
        source_hash: its :py:attr:`RecordSet.source_hash`.
        settings: shots, seed and the other arguments of :py:func:`few_shot_split`.
        summary: counts by class, what was left out, and every warning; it prints as a table.
        origin: how the data set was loaded, see ``RecordSet``; no part of what the split is, and neither are these:
        class_names: of the data set; empty for a split made by hand.
        task: of the data set; None for a split made by hand.
        positive: the class that is looked for, see ``RecordSet``.
    """

    train: list[Record]
    val: list[Record]
    test: list[Record]
    source: str
    source_hash: str
    settings: dict[str, Any]
    summary: dict[str, Any] = field(default_factory=dict)
    origin: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    class_names: tuple[str, ...] = field(default=(), repr=False, compare=False)
    task: str | None = field(default=None, repr=False, compare=False)
    positive: PositiveClass | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "summary", SplitSummary(self.summary))

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(getattr(self, name))}" for name in PARTS)
        return f"FewShotSplit({self.source!r}, {sizes}, {self.settings})"

    def check(self) -> None:
        """Look for leaks between train, val and test.

        Raises:
            DataError: naming every image and group that is shared or repeated.
        """
        found = leaks(self.train, self.val, self.test)
        if found:
            raise DataError(f"split of {self.source}", found)

    def to_json(self) -> str:
        """The split as text: settings, source hash, summary and the ids of each part."""
        content = {
            "format": "monai_ept few-shot split 1",
            "source": self.source,
            "source_hash": self.source_hash,
            "settings": self.settings,
            "summary": self.summary,
            **{name: [record["id"] for record in getattr(self, name)] for name in PARTS},
        }
        return json.dumps(content, indent=1, ensure_ascii=False, sort_keys=False) + "\n"

    @property
    def hash(self) -> str:
        """Hash of the split's text, short enough for a table (12 hexadecimal digits)."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    def save(self, path: str | Path) -> Path:
        """Write :py:meth:`to_json` to a file, whole or not at all, and return its path; folders are made as needed."""
        path = Path(path)
        usable_folder(path.parent)
        return write_whole(path, self.to_json())

    @classmethod
    def from_json(cls, text: str, data: RecordSet) -> FewShotSplit:
        """Rebuild a split from its text and the data set it was made from.

        Args:
            text: what :py:meth:`to_json` gave.
            data: the data set.

        Raises:
            DataError: when the data set is not the one the split was made from, or the text is no split.
        """
        try:
            content = json.loads(text)
            parts = {name: content[name] for name in PARTS}
            made_from = content["source_hash"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError("few-shot split", [f"the text is not a saved split ({error})"]) from None
        if made_from != data.source_hash:
            problem = (
                f"it was made from other data (hash {made_from[:12]}…) than {data.name!r} (hash "
                f"{data.source_hash[:12]}…); ids, labels, groups or class names have changed"
            )
            raise DataError(f"split of {content['source']}", [problem])
        if "joined" in content["summary"]:
            data = joined_groups(data, content["summary"]["joined"]["near_copies"])
        by_id = {record["id"]: record for record in data.records}
        records: dict[str, Any] = {name: [by_id[identity] for identity in ids] for name, ids in parts.items()}
        about = {key: content[key] for key in ("source", "source_hash", "settings", "summary")}
        return cls(**records, **about, **meaning(data))

    @classmethod
    def load(cls, path: str | Path, data: RecordSet) -> FewShotSplit:
        """Read a saved split, see :py:meth:`from_json`."""
        return cls.from_json(Path(path).read_text(encoding="utf-8"), data)


def meaning(data: RecordSet) -> dict[str, Any]:
    """What a split takes over from its data set."""
    return {name: getattr(data, name) for name in ("origin", "class_names", "task", "positive")}


__getattr__ = moved_names(__name__)
