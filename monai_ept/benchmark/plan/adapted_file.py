# SPDX-License-Identifier: Apache-2.0

"""The adaptation that a method of a sweep starts from, known by its content."""

from __future__ import annotations

import os
from typing import Any

from monai_ept.benchmark.plan.variables import expand
from monai_ept.delta import read_delta
from monai_ept.start import check_adapted, start_hash

__all__ = ["adapted_file"]


def adapted_file(value: Any) -> dict[str, Any] | None:
    """
    What a sweep says of an adaptation, with the hash of the file, which stays when the file has gone.

    Args:
        value: as ``check_adapted`` takes it.

    Raises:
        ValueError: when there is no such file and there was never one, or another one is in its place.
    """
    adapted = check_adapted(value)
    if adapted is None:
        return None
    if adapted["hash"] is None or os.path.isfile(os.path.expanduser(os.path.expandvars(adapted["file"]))):
        path = expand(adapted["file"])
        try:
            read_delta(path, head=False)
        except FileNotFoundError as error:
            raise ValueError(str(error)) from None
        found = start_hash(path)
        if adapted["hash"] not in (None, found):
            raise ValueError(f"{path} is not the adaptation that the sweep was begun with: put that back.")
        adapted["hash"] = found
    return adapted
