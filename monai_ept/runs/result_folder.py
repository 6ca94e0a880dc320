# SPDX-License-Identifier: Apache-2.0

"""Folders of results: none is written over unasked, and a new result takes a place only when it is complete."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from monai_ept.files import WriteError, remove_partials, usable_folder
from monai_ept.runs.folder_exchange import NEXT, beside, discard, in_a_sentence, real_folder, settle
from monai_ept.runs.result_kinds import KINDS, LOCK, others_in, what_is_in
from monai_ept.tracking.process_lock import ProcessLock

__all__ = ["ResultFolder"]


class ResultFolder:
    """
    The folder of one result: refused if there is one already, locked while it is made, whole when it appears.

    Args:
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
        self.folder = real_folder(folder)
        self.kind = KINDS[kind]
        self._name, self._resume, self._overwrite = kind, resume, overwrite
        self._locks: list[ProcessLock] = []
        self._made_in: Path | None = None
        with in_a_sentence(self.folder):
            settle(self.folder)
            self.work = self._choose()

    def begin(self) -> Path:
        """
        Lock the folder, and make ``work`` a folder that can be written and holds nothing of an earlier attempt.

        Raises:
            FileExistsError: when a result has come there since.
            WriteError: when it cannot be written, or another process writes into it.
        """
        there = self.work.is_dir()
        try:
            with in_a_sentence(self.folder):
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
            if not there:
                with suppress(OSError, ValueError):
                    self.work.rmdir()
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
        with in_a_sentence(self.folder):
            self.check()
            if self.work != self.folder:
                _, replaced, _ = beside(self.folder)
                if self.folder.is_dir() and any(self.folder.iterdir()):
                    os.rename(self.folder, replaced)
                os.rename(self.work, self.folder)
                self.work = self.folder
                if replaced.is_dir():
                    discard(replaced, self.folder, self.kind)
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
        aside, _, _ = beside(folder)
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
            others = others_in(place, self.kind)
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
