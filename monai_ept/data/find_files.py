# SPDX-License-Identifier: Apache-2.0

"""The files below a folder, with links followed, each folder once."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["FindFiles"]


class FindFiles:
    """Lists what lies below folders, and goes into no folder twice, whatever links lead to it.

    Attributes:
        again: folders that were passed over, each with the path under which it was visited.
        problems: folders that could not be read, one sentence each.
    """

    def __init__(self) -> None:
        self.again: list[tuple[Path, Path]] = []
        self.problems: list[str] = []
        self._visited: dict[tuple[int, int], Path] = {}

    def below(self, top: str | Path) -> list[Path]:
        """All files below a folder that are not hidden, in the order of their names, those of the folder itself first.

        A file is whatever is no folder: whether it can be read, :py:func:`monai_ept.data.read_image.check_file` says.
        """
        found = []
        for parent, folders, files in os.walk(top, followlinks=True, onerror=self._report):
            about = os.stat(parent)
            first = self._visited.setdefault((about.st_dev, about.st_ino), Path(parent))
            if first != Path(parent):
                self.again.append((Path(parent), first))
                folders[:] = []
                continue
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            found += [Path(parent, name) for name in sorted(files) if not name.startswith(".")]
        return found

    def _report(self, error: OSError) -> None:
        self.problems.append(f"the folder {error.filename!r} cannot be read ({error.strerror})")
