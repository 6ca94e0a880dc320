# SPDX-License-Identifier: Apache-2.0

"""The folder of a sweep: what is to be done, what is done, and what came out."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from monai_ept.benchmark.plan.cell import Cell
from monai_ept.benchmark.plan.sweep_file import Sweep
from monai_ept.files import plain_json, remove_partials, usable_folder, write_whole
from monai_ept.methods import build_methods

__all__ = ["SweepFolder"]


class SweepFolder:
    """
    The files of a sweep, see docs/benchmark.md. A cell is done when its ``result.json`` is there.

    Args:
        path: the folder.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)

    def begin(self, sweep: Sweep) -> None:
        """
        Make the folder and write down the sweep.

        Raises:
            ValueError: when another sweep is in there.
            WriteError: when the folder cannot be written.
        """
        usable_folder(self.path / "cells")
        file = self.path / "sweep.yaml"
        if file.exists():
            import yaml

            other = (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get("name")
            if other != sweep.name:
                raise ValueError(f"folder {self.path} holds sweep {other!r}, not {sweep.name!r}: choose another --out.")
        remove_partials(self.path, "*")
        write_whole(file, sweep.to_yaml())

    def cell(self, cell: Cell) -> Path:
        """The folder of a cell."""
        return self.path / "cells" / cell.id

    def result(self, cell: Cell) -> dict[str, Any] | None:
        """What came out of a cell, or None when it is not done."""
        try:
            return json.loads((self.cell(cell) / "result.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def describe(self, cell: Cell) -> None:
        """
        Write down what a cell is.

        Raises:
            ValueError: when the folder has it with other settings, because defaults have changed since.
        """
        folder = self.cell(cell)
        folder.mkdir(parents=True, exist_ok=True)
        remove_partials(folder, "*")
        now: dict[str, Any] = {"methods": _complete_methods(cell), "recipe": cell.recipe}
        try:
            before = json.loads((folder / "cell.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            before = {}
        for then, today in zip(before.get("methods", []), now["methods"], strict=False):
            for key in then.keys() & today.keys():
                if then[key] != today[key]:
                    raise ValueError(
                        f"cell {cell.id} was begun with {key}={then[key]!r}, and that default is {today[key]!r} now: "
                        "choose another --out, or write the setting into the sweep file."
                    )
        text = json.dumps({**cell.to_json(), **now}, indent=1, ensure_ascii=False)
        write_whole(folder / "cell.json", text + "\n")

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


def _complete_methods(cell: Cell) -> list[dict[str, Any]]:
    """The settings of a cell's methods with every default."""
    methods = build_methods(cell.method, **cell.method_settings)
    return json.loads(json.dumps([method.settings() for method in methods]))
