# SPDX-License-Identifier: Apache-2.0

"""Images whose labels nobody reads, and that are none of those which a network is tested on."""

from __future__ import annotations

import os
from collections.abc import Sequence

from monai_ept.data.copies import exact_copies
from monai_ept.data.records import Record, RecordSet
from monai_ept.data.split import FewShotSplit

__all__ = ["training_pool", "without_labels"]


def training_pool(data: RecordSet, split: FewShotSplit | None = None) -> list[Record]:
    """
    The images of a data set that are there to learn from, labelled or not.

    Args:
        data: the data set, whose official validation and test images are left out.
        split: leave out its validation and test images too, with all others of the same patients, studies or lesions.
    """
    held = [*data.official("test"), *data.official("val")]
    held += [*split.val, *split.test] if split is not None else []
    ids = {record["id"] for record in held}
    for copies in data.copies or ():
        if ids.intersection(copies):
            ids.update(copies)
    # A split may have joined groups under new names.
    groups = {record["group"] for record in data.records if record["id"] in ids}
    return [record for record in data.records if record["group"] not in groups]


def without_labels(records: RecordSet | Sequence[Record], split: FewShotSplit | None = None) -> list[Record]:
    """
    Records with image and id alone, for learning without labels.

    Args:
        records: a data set, of which ``training_pool`` is taken; or records, which are taken as they are.

    Raises:
        ValueError: when there are none, one has no image, or a test image is among them.
    """
    chosen = training_pool(records, split) if isinstance(records, RecordSet) else list(records)
    if len(chosen) < 2:
        raise ValueError(
            f"there {'is one image' if chosen else 'are no images'} to adapt to, and no two can be told apart: "
            "pass at least two, better some hundreds."
        )
    for position, record in enumerate(chosen):
        if "image" not in record:
            raise ValueError(f"record {position} of those to adapt to has no 'image': pass what load_source returns.")
    test = [] if split is None else split.test
    found = [] if isinstance(records, RecordSet) else _of_test(chosen, test)
    if found:
        raise ValueError(
            f"{len(found)} of the {len(chosen)} images to adapt to are test images, of the same patients, or copies of "
            f"them (the first is {found[0].get('id')!r}): leave them out, or pass the data set, whose training images "
            "are taken."
        )
    return [{"image": one["image"], "id": str(one.get("id", n))} for n, one in enumerate(chosen)]


def _of_test(records: Sequence[Record], test: Sequence[Record]) -> list[Record]:
    """Those that say so themselves, or are among the test images by id, group, file or content."""
    ids = {record["id"] for record in test}
    groups = {record["group"] for record in test}
    files = {os.path.realpath(record["image"]) for record in test if _is_path(record["image"])}
    named = [{"image": one["image"], "id": f"{n}"} for n, one in enumerate(records) if _is_path(one["image"])]
    tested = [{"image": one["image"], "id": f"test {n}"} for n, one in enumerate(test) if _is_path(one["image"])]
    copies = exact_copies([*named, *tested]) if tested else []
    twice = {name for several in copies if any(name.startswith("test") for name in several) for name in several}
    return [
        record
        for position, record in enumerate(records)
        if record.get("split") == "test"
        or record.get("id") in ids
        or record.get("group") in groups
        or (_is_path(record["image"]) and os.path.realpath(record["image"]) in files)
        or str(position) in twice
    ]


def _is_path(image: object) -> bool:
    return isinstance(image, (str, os.PathLike))
