# SPDX-License-Identifier: Apache-2.0

"""The folder of a sweep: what is to be done, what is done, and what came out."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_ept.benchmark.plan.cell import Cell
from monai_ept.benchmark.plan.sweep_file import Sweep
from monai_ept.files import plain_json, remove_partials, usable_folder, write_whole
from monai_ept.methods import build_methods
from monai_ept.runs.training_record import read_json
from monai_ept.yaml_file import read_yaml

__all__ = ["SweepFolder"]

logger = logging.getLogger(__name__)

OURS = (".lock", "cells", "images", "report")
"""What a sweep may have begun with before it could write down what it is."""


class SweepFolder:
    """The files of a sweep, see docs/benchmark.md. A cell is done when its ``result.json`` is there."""

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)

    def check(self, sweep: Sweep) -> None:
        """
        See that the folder is this sweep's, or may become it; nothing is written.

        Raises:
            ValueError: when another sweep is in there, or something else.
            OSError: when it is no folder, or cannot be read.
        """
        if not self.path.exists():
            return
        try:
            there = sorted(path.name for path in self.path.iterdir())
        except OSError as error:
            raise OSError(f"{self.path} cannot be read as a folder ({error.strerror}): choose another --out.") from None
        file = self.path / "sweep.yaml"
        if file.exists():
            written = read_yaml(file, "sweep file")
            other = written.get("name") if isinstance(written, Mapping) else None
            if other != sweep.name:
                raise ValueError(f"folder {self.path} holds sweep {other!r}, not {sweep.name!r}: choose another --out.")
            return
        foreign = [name for name in there if name not in OURS and not name.endswith(".partial")]
        if foreign and "cells" not in there:
            raise ValueError(f"folder {self.path} holds {foreign[0]!r} and no sweep: choose another --out.")

    def begin(self, sweep: Sweep) -> None:
        """
        Make the folder and write down the sweep.

        Raises:
            ValueError: when another sweep is in there.
            WriteError: when the folder cannot be written.
        """
        self.check(sweep)
        usable_folder(self.path / "cells")
        remove_partials(self.path, "*")
        write_whole(self.path / "sweep.yaml", sweep.to_yaml())

    def cell(self, cell: Cell) -> Path:
        """The folder of a cell."""
        return self.path / "cells" / cell.id

    def result(self, cell: Cell) -> dict[str, Any] | None:
        """
        What came out of a cell, or None when it is not done.

        A file that cannot be understood says nothing, and its cell is done again.
        """
        result = _mapping(self.cell(cell) / "result.json")
        return result if (result or {}).get("status") in ("finished", "failed") else None

    def open_cells(self, cells: Sequence[Cell], again: bool = False) -> list[Cell]:
        """The cells that are still to be done; those that have failed too, where they are to be done ``again``."""
        done = ("finished",) if again else ("finished", "failed")
        return [cell for cell in cells if (self.result(cell) or {}).get("status") not in done]

    def check_defaults(self, cell: Cell) -> None:
        """
        See that the folder has a cell, if at all, with the settings that it has now.

        Raises:
            ValueError: when defaults have changed since it was begun.
        """
        before = (_mapping(self.cell(cell) / "cell.json") or {}).get("methods")
        if not isinstance(before, list):
            return
        for then, today in zip(before, _complete_methods(cell), strict=False):
            for key in then.keys() & today.keys() if isinstance(then, dict) else ():
                if then[key] != today[key]:
                    raise ValueError(
                        f"cell {cell.id} was begun with {key}={then[key]!r}, and that default is {today[key]!r} now: "
                        "choose another --out, or write the setting into the sweep file."
                    )

    def describe(self, cell: Cell) -> None:
        """Write down what a cell is."""
        folder = self.cell(cell)
        folder.mkdir(parents=True, exist_ok=True)
        remove_partials(folder, "*")
        if (folder / "result.json").exists() and self.result(cell) is None:
            logger.warning(f"{folder / 'result.json'} cannot be read: its cell is done again.")
        about = {**cell.to_json(), "methods": _complete_methods(cell), "recipe": cell.recipe}
        write_whole(folder / "cell.json", json.dumps(about, indent=1, ensure_ascii=False) + "\n")

    def write(self, cell: Cell, result: Mapping[str, Any], predictions: Mapping[str, Any] | None) -> None:
        """Write what came out of a cell; the result last, as it says that all is there."""
        folder = self.cell(cell)
        if predictions is not None:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **predictions)
            write_whole(folder / "predictions.npz", buffer.getvalue())
        self.write_result(cell, result)

    def write_result(self, cell: Cell, result: Mapping[str, Any]) -> None:
        """Write or replace a cell's ``result.json``."""
        text = json.dumps(plain_json(result), indent=1, ensure_ascii=False, allow_nan=False)
        write_whole(self.cell(cell) / "result.json", text + "\n")


def _mapping(path: Path) -> dict[str, Any] | None:
    content = read_json(path)
    return content if isinstance(content, dict) else None


def _complete_methods(cell: Cell) -> list[dict[str, Any]]:
    """The settings of a cell's methods with every default."""
    methods = build_methods(cell.method, **cell.method_settings)
    return json.loads(json.dumps([method.settings() for method in methods]))
