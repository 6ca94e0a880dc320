# SPDX-License-Identifier: Apache-2.0

"""
Folders of results: none is written over unasked, and a new result takes a place only when it is complete.

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
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from monai_ept.files import WriteError, remove_partials, usable_folder
from monai_ept.tracking.process_lock import ProcessLock

__all__ = ["KINDS", "Kind", "ResultFolder", "is_aside", "settle", "settle_all", "what_is_in"]

LOCK = ".lock"
NEXT, REPLACED, REMOVED = ".next", ".replaced", ".removed"
ALWAYS = (LOCK, "*.partial", ".DS_Store")
PATIENCE = 10
"""Seconds in which another process renames two folders."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """
    A kind of result.

    Args:
        name: what a sentence calls it.
        marks: where one of these is, there is such a result.
        own: patterns of the names that it consists of; what else lies in a folder is somebody's.
        option: what names its folder.
        overwrite: what replaces it.
        carried: what a new result takes over from the old one.
    """

    name: str
    marks: tuple[str, ...]
    own: tuple[str, ...] = ()
    option: str = ""
    overwrite: str = "--overwrite true"
    carried: tuple[str, ...] = ()


_TRAINING = (
    *("delta.safetensors", "last.pt", "best.pt", "training.json", "settings.json", "split.json", "history.json"),
    *("run.json", "tracking", "evaluation", "val", "analysis", "analysis.next", ".analysis.*"),
)
_PLACE = "--run_dir (out_dir of fit)"
_EVALUATION = (
    *("predictions.csv", "metrics.json", "metrics.csv", "per_class.csv", "confusion_matrix.csv"),
    *("confusion_matrix.png", "reliability.png", "images.png"),
)
KINDS = {
    "training": Kind("a finished training", ("delta.safetensors", "evaluation/metrics.json"), _TRAINING, _PLACE),
    "unfinished": Kind("a training that is not finished", ("last.pt",), _TRAINING, _PLACE),
    "evaluation": Kind("an evaluation", ("metrics.json",), _EVALUATION, "--output_dir"),
    "analysis": Kind(
        *("an analysis", ("analysis.json", "analysis.html"), ("*.csv", "*.png", "*.html", "*.json", "run")),
        *("--out", "--overwrite", ("run",)),
    ),
    "predictions": Kind("predictions", ("predictions.csv",), ("predictions.csv",), "--output_dir"),
    "export": Kind("an exported model", ("model.pt",), ("model.pt", "model.ts", "model.onnx"), "--export_dir"),
    "sweep": Kind("a sweep", ("sweep.yaml",)),
    "bundle": Kind("a bundle", ("configs/metadata.json",)),
}
"""What a folder may hold; the first that fits counts."""


def what_is_in(folder: Path) -> str | None:
    """The kind of result that a folder holds, a name in ``KINDS``; None if it holds none."""
    for name, kind in KINDS.items():
        if any((folder / mark).is_file() for mark in kind.marks):
            return name
    return None


class ResultFolder:
    """
    The folder of one result: refused if there is one already, locked while it is made, whole when it appears.

    Args:
        folder: where the result will be.
        kind: what it will be, a name in ``KINDS``.
        resume: go on with what is there.
        overwrite: replace what is there, once the new result is complete.

    Attributes:
        work: the folder that everything is written into until ``deliver``.

    Raises:
        FileExistsError: when a result is there already.
        WriteError: when there can be no such folder, or another process writes into it.

    Example::

        with ResultFolder("runs/first.evaluation-test", "evaluation") as place:
            place.begin()
            write_whole(place.work / "metrics.json", content)
            place.deliver()
    """

    def __init__(self, folder: str | os.PathLike, kind: str, *, resume: bool = False, overwrite: bool = False) -> None:
        self.folder = _real(folder)
        self.kind = KINDS[kind]
        self._name, self._resume, self._overwrite = kind, resume, overwrite
        self._locks: list[ProcessLock] = []
        self._made_in: Path | None = None
        with _in_a_sentence(self.folder):
            settle(self.folder)
            self.work = self._choose()

    def begin(self) -> Path:
        """
        Lock the folder, and make ``work`` a folder that can be written and holds nothing of an earlier attempt.

        Raises:
            FileExistsError: when a result has come there since.
            WriteError: when it cannot be written, or another process writes into it.
        """
        try:
            with _in_a_sentence(self.folder):
                if self.work != self.folder and self.folder.is_dir():
                    self._lock(self.folder)
                self._lock(usable_folder(self.work))
                self._made_in = self.work
                if self._choose() != self.work:
                    raise FileExistsError(f"{self.folder} has changed since the command began: start it again.")
                remove_partials(self.work, "*")
                if not self._resume:
                    self._clear()
        except BaseException:
            self.close()
            raise
        return self.work

    def check(self) -> None:
        """
        See that the folder is there, and still the one that was locked.

        Raises:
            WriteError: when it is not.
        """
        for lock in self._locks:
            place = lock.path.parent
            # A result that was to be replaced may be removed while the new one is made: nobody else is there then.
            if not lock.is_at(lock.path) and (place == self.work or place.exists()):
                what = "replaced by another" if place.exists() else "removed"
                left = f"what was made is in {self.work}" if self.work.is_dir() else "what was in it is gone"
                raise WriteError(f"the folder {place} was {what} while the command ran; {left}: start it again.")

    def deliver(self) -> Path:
        """
        Let the result, which is complete, take its place.

        Raises:
            WriteError: when the place is not there any more, or is another's.
        """
        with _in_a_sentence(self.folder):
            self.check()
            if self.work != self.folder:
                _, replaced, _ = _beside(self.folder)
                if self.folder.is_dir() and any(self.folder.iterdir()):
                    os.rename(self.folder, replaced)
                os.rename(self.work, self.folder)
                self.work = self.folder
                if replaced.is_dir():
                    _discard(replaced, self.folder, self.kind)
        return self.folder

    def find(self, path: Path) -> Path:
        """Where a file is now that was written before ``deliver``."""
        return path if self._made_in is None else self.work / path.relative_to(self._made_in)

    def close(self) -> None:
        """Unlock the folder, without what nobody can go on with; once is enough."""
        if self._locks and self.work != self.folder and self._name != "training":
            shutil.rmtree(self.work, ignore_errors=True)
        for lock in self._locks:
            for place in (self.folder, lock.path.parent):
                if lock.is_at(place / LOCK):
                    (place / LOCK).unlink()
            lock.release()
        self._locks = []

    def __enter__(self) -> ResultFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------------ what may be done

    def _choose(self) -> Path:
        """Where to write, given what is there now."""
        folder, kind = self.folder, self.kind
        aside, _, _ = _beside(folder)
        if folder.exists() and not folder.is_dir():
            raise WriteError(f"{folder} is a file and no folder: choose another {kind.option}.")
        if folder.name.endswith(NEXT):
            raise WriteError(f"{folder} has a name of results that are not complete yet: choose another {kind.option}.")
        there = what_is_in(folder)
        if there is not None and there != self._name and (self._name, there) != ("training", "unfinished"):
            raise FileExistsError(f"{folder} holds {KINDS[there].name}: choose another {kind.option}.")
        if self._name == "training":
            return self._choose_training(aside, there)
        if self._name != "analysis" and what_is_in(folder.parent) in ("training", "unfinished"):
            raise WriteError(
                f"{folder} lies in the folder of a training, which only that training writes into: "
                f"choose another {kind.option}."
            )
        if there is not None and not self._overwrite:
            raise FileExistsError(
                f"{folder} holds {kind.name} already: {kind.overwrite} replaces it when the new one is complete, "
                f"another {kind.option} keeps both."
            )
        if there is None and folder.is_dir():
            return folder
        self._check_replaceable(aside)
        return aside

    def _choose_training(self, aside: Path, there: str | None) -> Path:
        folder, option = self.folder, self.kind.option
        if self._resume and aside.is_dir() and there != "unfinished":
            self._check_replaceable(aside)
            return aside  # it was to replace what is there when it was interrupted
        if there == "training" and self._resume and not self._overwrite:
            if not (folder / "last.pt").is_file():
                raise FileExistsError(
                    f"{folder} holds a finished training without its checkpoint last.pt, so that there is nothing to "
                    f"resume: --overwrite true trains anew, another {option} keeps both."
                )
            return folder
        if there == "training" and not self._overwrite:
            raise FileExistsError(
                f"{folder} holds a finished training: --overwrite true (overwrite=True in Python) replaces it when the "
                f"new one is complete, another {option} keeps both."
            )
        if there == "unfinished" and not (self._resume or self._overwrite):
            raise FileExistsError(
                f"{folder} holds a training that is not finished: --resume true (resume=True in Python) goes on with "
                f"it, --overwrite true begins anew, another {option} keeps both."
            )
        if there == "training":
            self._check_replaceable(aside)
            return aside
        return folder

    def _check_replaceable(self, aside: Path) -> None:
        """Whether this folder can make room for another, and nothing is lost by it that is none of the result."""
        folder, option = self.folder, self.kind.option
        for place in (folder, aside):
            others = _others(place, self.kind)
            if others:
                raise FileExistsError(
                    f"{place} holds other things too ({', '.join(others[:3])}{', …' if len(others) > 3 else ''}), "
                    f"which would be lost with what is replaced: move them away, or choose another {option}."
                )
        if os.path.ismount(folder):
            raise WriteError(
                f"{folder} is where a disk is mounted, so that no other folder can take its place: choose another "
                f"{option}, a folder in it for example."
            )
        if folder.is_dir() and Path.cwd().is_relative_to(folder.resolve()):
            raise WriteError(
                f"{folder} is the working directory or holds it, and a new folder is to take its place: run the "
                f"command from elsewhere, or choose another {option}."
            )

    # ------------------------------------------------------------------------------------------------- what is changed

    def _lock(self, place: Path) -> None:
        lock = ProcessLock(place / LOCK)
        if not lock.acquire():
            self.close()
            raise WriteError(
                f"another process is writing into {place} right now: wait until it has ended, or choose another "
                f"{self.kind.option}."
            )
        self._locks.append(lock)

    def _clear(self) -> None:
        """Remove what an earlier attempt has left, but not its records, which may not have reached MLflow yet."""
        work = self.work
        if work == self.folder:
            left = [work / name for name in ("last.pt", "best.pt", "history.json")] if self._name == "training" else []
        else:
            left = [path for path in work.iterdir() if path.name not in (LOCK, "tracking")]
        for path in left:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def is_aside(folder: Path) -> bool:
    """Whether a folder, by its name, holds what is not complete yet, or not valid any more."""
    return folder.name.endswith(NEXT) or (folder.name.startswith(".") and folder.name.endswith((REPLACED, REMOVED)))


def settle(folder: str | os.PathLike) -> None:
    """
    Finish what a killed process has begun, when one result was to take the place of another.

    Args:
        folder: the place, whether there is a folder or not.

    Raises:
        WriteError: when that cannot be done, and what is where.
    """
    folder = _real(folder)
    aside, replaced, removed = _beside(folder)
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
            _discard(replaced, folder, KINDS[kind] if kind else Kind("", ()))
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


def _real(folder: str | os.PathLike) -> Path:
    """A path whose last part is the folder's own name, which a rename needs."""
    path = Path(folder).expanduser()
    return Path(os.path.realpath(path)) if os.path.islink(path) or path.name in ("", "..") else path


def _beside(folder: Path) -> tuple[Path, Path, Path]:
    """Where a new result waits, where the old one goes, and where it is removed."""
    name = folder.name
    return (
        folder.with_name(f"{name}{NEXT}"),
        folder.with_name(f".{name}{REPLACED}"),
        folder.with_name(f".{name}{REMOVED}"),
    )


def _discard(old: Path, folder: Path, kind: Kind) -> None:
    """Remove a result that has been replaced; if that would lose anything else, keep it and say where."""
    for name in kind.carried:
        if (old / name).exists() and not (folder / name).exists():
            os.rename(old / name, folder / name)
    others, unsent = _others(old, kind), _unsent(old)
    if others or unsent:
        number, keep = 1, folder.with_name(f"{folder.name}.kept")
        while keep.exists():
            number += 1
            keep = folder.with_name(f"{folder.name}.kept-{number}")
        os.rename(old, keep)
        why = f"it holds {others[0]} too" if others else f"'monai-ept sync {keep}' has to bring its run to MLflow first"
        logger.warning(f"the result that was in {folder} is kept as {keep}: {why}.")
        return
    removed = _beside(folder)[2]
    os.rename(old, removed)
    shutil.rmtree(removed, ignore_errors=True)


def _others(folder: Path, kind: Kind) -> list[str]:
    """Names in a folder that are none of such a result's."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [name for name in names if not any(fnmatch(name, one) for one in (*kind.own, *ALWAYS))]


def _unsent(folder: Path) -> bool:
    """Whether records of its run are still only in this folder."""
    if not (folder / "tracking").is_dir():
        return False
    from monai_ept.tracking.uploader import find_journals

    return any(journal.sent.get("offset", 0) < journal.size for journal in find_journals(folder))


@contextmanager
def _in_a_sentence(folder: Path) -> Iterator[None]:
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
