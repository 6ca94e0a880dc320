# SPDX-License-Identifier: Apache-2.0

"""What takes seconds to make is made once for all processes of a run of the tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

__all__ = ["made_once"]


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """
    A folder that one process fills while the others wait.

    Args:
        factory: that of pytest.
        name: of the folder.
        make: fills it; nothing in it may change afterwards.
    """
    from monai_ept.tracking.process_lock import ProcessLock

    place = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent
    folder = place / "shared" / name
    folder.mkdir(parents=True, exist_ok=True)
    done = folder.with_name(f"{name}.done")
    with ProcessLock(folder.with_name(f"{name}.lock")):
        if not done.exists():
            make(folder)
            done.touch()
    return folder
