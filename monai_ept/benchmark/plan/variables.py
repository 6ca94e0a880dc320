# SPDX-License-Identifier: Apache-2.0

"""Environment variables in the settings of a sweep."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["expand"]


def expand(value: Any) -> Any:
    """
    Put environment variables and the home folder into the texts of a setting.

    Raises:
        ValueError: when a variable is not set.

    Example::

        >>> expand({"dataset_dir": "${DATA}/isic2018"})
    """
    if isinstance(value, Mapping):
        return {key: expand(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [expand(item) for item in value]
    if not isinstance(value, str):
        return value
    full = os.path.expanduser(os.path.expandvars(value))
    missing = re.search(r"\$(\w+|\{\w+\})", full)
    if missing:
        name = missing.group(1).strip("{}")
        raise ValueError(f"{value!r} needs the environment variable {name}: set it, or write the path itself.")
    return full
