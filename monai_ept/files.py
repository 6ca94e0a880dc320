# SPDX-License-Identifier: Apache-2.0

"""Writing files so that a kill or a full disk leaves the old one or the new one, never a half of either."""

from __future__ import annotations

import contextlib
import errno
import math
import numbers
import os
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = [
    "WriteError",
    "file_name",
    "full_disk_is_said",
    "plain_json",
    "remove_partials",
    "usable_folder",
    "write_whole",
]


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class WriteError(OSError):
    """A file or folder that cannot be written, and what to do."""


def write_whole(path: str | os.PathLike, content: bytes | str) -> Path:
    """
    Write a file that appears whole or not at all, and replaces an older one in one step.

    Args:
        path: where to; the folder must exist.
        content: all of it; text becomes UTF-8.

    Raises:
        WriteError: when it cannot be written; what was there before is untouched.

    Returns:
        the path.
    """
    path = Path(path)
    partial = path.with_name(f"{path.name}.{_writer()}.partial")
    try:
        with open(partial, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        if not path.parent.is_dir():
            raise WriteError(f"cannot write {path}: its folder is not there (any more).") from error
        raise WriteError(
            f"cannot write {path} ({error.strerror or error}): make room or choose another folder; "
            "what was written there before is untouched."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return path


def usable_folder(folder: str | os.PathLike) -> Path:
    """
    Make a folder and try that files can be written into it, before hours of work depend on it.

    Raises:
        WriteError: when the folder cannot be made or written.

    Returns:
        the folder.
    """
    folder = Path(folder)
    trial = folder / f".{_writer()}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(trial, "wb") as file:
            file.write(b"x")
        trial.unlink()
    except OSError as error:
        with contextlib.suppress(OSError):
            trial.unlink(missing_ok=True)
        advice = "make room, or choose another" if error.errno in _FULL else "choose another, or change its rights"
        raise WriteError(f"cannot write into the folder {folder} ({error.strerror or error}): {advice}.") from error
    return folder


@contextlib.contextmanager
def full_disk_is_said(folder: str | os.PathLike, then: str = "start again") -> Iterator[None]:
    """
    Whatever meets a full disk in this context, a library for one, ends with a sentence.

    Args:
        then: what to do when there is room again.

    Raises:
        WriteError: when the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        where = error.filename or folder
        raise WriteError(f"{where} cannot be written ({error.strerror}): make room, and {then}.") from error


def remove_partials(folder: str | os.PathLike, name: str) -> None:
    """Clear away what killed processes left half written of a file; call it where no other process writes it."""
    for leftover in Path(folder).glob(f"{name}.*.partial"):
        with contextlib.suppress(OSError):
            leftover.unlink()


def _writer() -> str:
    """A name that no other process or thread has now, so that two may write the same file; the last one stays."""
    return f"{os.getpid()}-{threading.get_ident()}"


def plain_json(value: Any) -> Any:
    """
    The same in the words of JSON: numpy's numbers as Python's, keys as text, and null for what is no finite number.

    Example::

        >>> plain_json({1: (0.5, float("nan"))})
        {'1': [0.5, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_json(item) for item in value]
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if math.isfinite(value) else None


def file_name(text: str) -> str:
    """
    A text as the name of a file.

    Example::

        >>> file_name("../my images")
        'my-images'
    """
    return re.sub(r"[^\w.+-]+", "-", text).strip(".-") or "unnamed"
