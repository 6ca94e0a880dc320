# SPDX-License-Identifier: Apache-2.0

"""What the images of a training are, by their content, so that a training never goes on with others."""

from __future__ import annotations

from collections.abc import Iterable

from monai_ept.data.image_content import content_hash
from monai_ept.data.records import Record

__all__ = ["image_hashes"]


def image_hashes(records: Iterable[Record]) -> dict[str, str]:
    """A short hash of each image's content by the record's id, see ``content_hash``."""
    return {record["id"]: content_hash(record["image"]) for record in records}
