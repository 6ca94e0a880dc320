# SPDX-License-Identifier: Apache-2.0

"""What must not be cut apart beyond the groups that records name: copies of one image, and parts of one whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from monai_ept.data.copies import exact_copies
from monai_ept.data.records import Record, RecordSet

__all__ = ["contradictions", "copies_of", "joined_groups", "one_of_each"]


def copies_of(data: RecordSet) -> Sequence[Sequence[str]]:
    """The exact copies among records, which are looked for once if nobody has yet."""
    if data.copies is None:
        data.__dict__["copies"] = exact_copies(data.records)  # what is found is no change of a frozen data set
    return data.copies or ()


def joined_groups(data: RecordSet, pairs: Iterable[Sequence[str]] = ()) -> RecordSet:
    """Records whose groups are wholes: groups that share an image, or are parts of one thing, become one.

    Args:
        pairs: ids of more records that belong together.

    Returns:
        ``data`` itself if there is nothing to join. Otherwise the same again at each call, whose records are those of
        ``data`` but for their groups; a joined group has the first name of those in it.
    """
    sets = [*map(tuple, copies_of(data)), *map(tuple, pairs)]
    known: dict[tuple, RecordSet] = data.__dict__.setdefault("_joined", {})
    if tuple(sets) not in known:
        known[tuple(sets)] = _joined(data, sets)
    return known[tuple(sets)]


def _joined(data: RecordSet, sets: Sequence[Sequence[str]]) -> RecordSet:
    whole = {record["id"]: data.wider.get(record["group"], record["group"]) for record in data.records}
    parent = {name: name for name in whole.values()}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = name = parent[parent[name]]
        return name

    for several in sets:
        first, *others = [root(whole[identity]) for identity in several if identity in whole] or [""]
        for other in others:
            low, high = sorted((root(first), root(other)))
            parent[high] = low
    groups = {identity: root(name) for identity, name in whole.items()}
    if all(groups[record["id"]] == record["group"] for record in data.records):
        return data
    records: list[Record] = [
        record if groups[record["id"]] == record["group"] else {**record, "group": groups[record["id"]]}
        for record in data.records
    ]
    return RecordSet(data.name, records, data.class_names, data.task, data.spatial_dims, data.published, data.origin)


def one_of_each(records: Sequence[Record], copies: Sequence[Sequence[str]]) -> list[Record]:
    """Records without repetitions of an image: of exact copies, the one whose id comes first."""
    there = {record["id"] for record in records}
    extra = {identity for several in copies for identity in sorted(there.intersection(several))[1:]}
    return [record for record in records if record["id"] not in extra]


def contradictions(data: RecordSet) -> tuple[list[str], set[str]]:
    """Copies of one image that have different labels.

    Returns:
        a sentence for each image that is a file, which somebody can mend; and the ids of those that are arrays.
    """
    by_id = {record["id"]: record for record in data.records}
    sentences: list[str] = []
    arrays: set[str] = set()
    for several in copies_of(data):
        records = [by_id[identity] for identity in several if identity in by_id]
        labels = {str(record["label"]): record for record in records}
        if len(labels) < 2:
            continue
        if not isinstance(records[0]["image"], (str, Path)):
            arrays.update(record["id"] for record in records)
            continue
        said = " and ".join(f"{record['id']!r} as {_named(record, data)}" for record in list(labels.values())[:2])
        sentences.append(f"one image is there with different labels, {said}: remove the wrong ones")
    return sentences, arrays


def _named(record: Record, data: RecordSet) -> str:
    label = record["label"]
    return str(label) if data.task == "multilabel" else repr(data.class_names[label])
