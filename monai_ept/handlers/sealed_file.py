# SPDX-License-Identifier: Apache-2.0

"""A checksum inside of a zip file, which is what ``torch.save`` writes; other programs read the file as before."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile

__all__ = ["is_intact", "is_sealed", "sealed"]

_MARK = b"sha256:"
_LENGTH = len(_MARK) + 64


def sealed(content: bytes) -> bytes:
    """
    A zip file with the SHA-256 of its bytes as its comment.

    Args:
        content: a zip file without a comment; its last two bytes are the length of the comment.
    """
    comment = _MARK + hashlib.sha256(content).hexdigest().encode()
    return content[:-2] + struct.pack("<H", len(comment)) + comment


def is_sealed(content: bytes) -> bool:
    """Whether there is a checksum in a file."""
    return content[-_LENGTH:].startswith(_MARK)


def is_intact(content: bytes) -> bool:
    """Whether a file is what was written, to the last bit; without a checksum, whether a zip's parts are."""
    if is_sealed(content):
        return content == sealed(content[: -_LENGTH - 2] + b"\0\0")
    if not content.startswith(b"PK"):
        return True  # no zip file, and nothing to check it by
    try:
        return zipfile.ZipFile(io.BytesIO(content)).testzip() is None
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError, struct.error):
        return False
