# SPDX-License-Identifier: Apache-2.0

"""A lock that a process holds, and that its death releases."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

__all__ = ["ProcessLock"]

# Of file systems that know no locks, so that nobody can hold one: better no lock there than no training.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)
_held: set[str] = set()
_guard = threading.Lock()


class ProcessLock:
    """One holder at a time among all processes and threads of a machine.

    It is a record lock, because that one is not handed on to the worker processes of a DataLoader: they may outlive
    a killed training by seconds.

    Args:
        path: the lock's file; it stays, empty.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self._file: Any = None
        self._key = ""

    def acquire(self, wait: bool = False) -> bool:
        """Take the lock; without ``wait``, say at once whether it was free."""
        import time

        while not (free := self._try()) and wait:
            time.sleep(0.05)
        return free

    def _try(self) -> bool:
        key = str(self.path.absolute())
        with _guard:
            # A record lock knows processes only, and closing any handle of its file would release it.
            if key in _held:
                return False
            file = open(self.path, "ab")  # noqa: SIM115, it is open as long as it is held
            try:
                _lock(file)
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    file.close()
                    return False
            _held.add(key)
            self._key, self._file = key, file
        return True

    def release(self) -> None:
        """Give the lock back; once is enough."""
        with _guard:
            if self._file is not None:
                self._file.close()
                self._file = None
                _held.discard(self._key)

    def is_at(self, path: str | os.PathLike) -> bool:
        """Whether it is held, and its file is the one that is at a path now: it moves when its folder is renamed."""
        try:
            return self._file is not None and os.path.samestat(os.fstat(self._file.fileno()), os.stat(path))
        except OSError:
            return False

    def __enter__(self) -> ProcessLock:
        self.acquire(wait=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _lock(file: Any) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
