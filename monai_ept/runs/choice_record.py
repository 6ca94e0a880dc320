# SPDX-License-Identifier: Apache-2.0

"""What a training has chosen by itself, in its record beside what it was told."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_ept.files import plain_json, write_whole
from monai_ept.runs.training_record import RECORD_FILE, read_record

__all__ = ["read_choice", "write_choice"]


def write_choice(folder: str | os.PathLike | None, choice: Mapping[str, Any]) -> None:
    """Add what was chosen to the record of a training; nothing happens where none is written."""
    if folder is None or not (Path(folder) / RECORD_FILE).is_file():
        return
    content = {**read_record(folder), "chosen": plain_json(choice)}
    write_whole(Path(folder) / RECORD_FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_choice(folder: str | os.PathLike | None) -> dict[str, Any]:
    """What was chosen, as far as the record of a training tells."""
    if folder is None or not (Path(folder) / RECORD_FILE).is_file():
        return {}
    return dict(read_record(folder).get("chosen") or {})
