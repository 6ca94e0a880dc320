# SPDX-License-Identifier: Apache-2.0

"""
How one folder takes the place of another, and what a kill in the middle of it leaves.

A result that replaces another is made beside it, in ``NAME.next``. When it is complete, the old folder steps aside as
``.NAME.replaced``, the new one takes its name, and the old one is removed. A kill between any two of these leaves what
``settle`` recognises: nobody else makes folders of these names.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monai_ept.files import WriteError
from monai_ept.runs.result_kinds import KINDS, LOCK, Kind, others_in, what_is_in
from monai_ept.tracking.process_lock import ProcessLock

__all__ = ["NEXT", "beside", "discard", "in_a_sentence", "is_aside", "real_folder", "settle", "settle_all"]

NEXT, REPLACED, REMOVED = ".next", ".replaced", ".removed"
PATIENCE = 10
"""Seconds in which another process renames two folders."""

logger = logging.getLogger(__name__)


def is_aside(folder: Path) -> bool:
    """Whether a folder, by its name, holds what is not complete yet, or not valid any more."""
    return folder.name.endswith(NEXT) or (folder.name.startswith(".") and folder.name.endswith((REPLACED, REMOVED)))


def settle(folder: str | os.PathLike) -> None:
    """
    Finish what a killed process has begun, when one result was to take the place of another.

    Raises:
        WriteError: when that cannot be done, and what is where.
    """
    folder = real_folder(folder)
    aside, replaced, removed = beside(folder)
    shutil.rmtree(removed, ignore_errors=True)
    if not replaced.is_dir():
        return
    lock, began = ProcessLock(replaced / LOCK), time.monotonic()
    try:
        while not lock.acquire():
            if folder.is_dir():
                return  # the process is there, and just about to remove the old result
            if time.monotonic() - began > PATIENCE:
                raise WriteError(f"another process is about to put a new result into {folder}: try again.")
            time.sleep(0.01)
        if not folder.is_dir():
            os.rename(aside if aside.is_dir() else replaced, folder)
        if replaced.is_dir():
            kind = what_is_in(replaced)  # if nobody knows what it is, all of it is kept
            discard(replaced, folder, KINDS[kind] if kind else Kind("", ()))
    except FileNotFoundError:
        pass  # another process has done it
    except OSError as error:
        raise WriteError(
            f"a result was about to be replaced in {folder} when its process was killed, and that cannot be finished "
            f"({error.strerror or error}): the old one is {replaced}, the new one is {aside}."
        ) from error
    finally:
        lock.release()


def settle_all(runs: str | os.PathLike) -> None:
    """The same for all folders of results in a folder."""
    for replaced in Path(runs).glob(f".*{REPLACED}"):
        settle(replaced.with_name(replaced.name[1:].removesuffix(REPLACED)))


def real_folder(folder: str | os.PathLike) -> Path:
    """A path whose last part is the folder's own name, which a rename needs."""
    path = Path(folder).expanduser()
    return Path(os.path.realpath(path)) if os.path.islink(path) or path.name in ("", "..") else path


def beside(folder: Path) -> tuple[Path, Path, Path]:
    """Where a new result waits, where the old one goes, and where it is removed."""
    name = folder.name
    return (
        folder.with_name(f"{name}{NEXT}"),
        folder.with_name(f".{name}{REPLACED}"),
        folder.with_name(f".{name}{REMOVED}"),
    )


def discard(old: Path, folder: Path, kind: Kind) -> None:
    """Remove a result that has been replaced; if that would lose anything else, keep it and say where."""
    for name in kind.carried:
        if (old / name).exists() and not (folder / name).exists():
            os.rename(old / name, folder / name)
    uses = [path.name for path in folder.parent.iterdir() if path.name.startswith(f"{folder.name}.")]
    uses = sorted(
        name for name in uses if what_is_in(folder.with_name(name)) in ("evaluation", "predictions", "export")
    )
    if uses:
        logger.warning(
            f"{', '.join(uses)}: made with the training that was in {folder} before, and not with the new one."
        )
    others, unsent = others_in(old, kind), _unsent(old)
    if others or unsent:
        number, keep = 1, folder.with_name(f"{folder.name}.kept")
        while keep.exists():
            number += 1
            keep = folder.with_name(f"{folder.name}.kept-{number}")
        os.rename(old, keep)
        why = f"it holds {others[0]} too" if others else f"'monai-ept sync {keep}' has to bring its run to MLflow first"
        logger.warning(f"the result that was in {folder} is kept as {keep}: {why}.")
        return
    removed = beside(folder)[2]
    os.rename(old, removed)
    shutil.rmtree(removed, ignore_errors=True)


def _unsent(folder: Path) -> bool:
    """Whether records of its run are still only in this folder."""
    if not (folder / "tracking").is_dir():
        return False
    from monai_ept.tracking.uploader import find_journals

    return any(journal.sent.get("offset", 0) < journal.size for journal in find_journals(folder))


@contextmanager
def in_a_sentence(folder: Path) -> Iterator[None]:
    """An error of the system says which folder is meant, and what to do."""
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is None:
            raise  # it is a sentence already
        where = getattr(error, "filename", None) or f"the folder {folder}"
        raise WriteError(
            f"{where} cannot be used ({getattr(error, 'strerror', None) or error}): choose another folder, or change "
            "its rights."
        ) from error
