# SPDX-License-Identifier: Apache-2.0

"""How far a sweep is, in one line."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TextIO

from monai_ept.benchmark.plan.cell import Cell

__all__ = ["SweepProgress"]


class SweepProgress:
    """
    Cells done, failed and left, what is running, and the time left.

    On a terminal it is one line that changes; elsewhere a line for each cell that ends.

    Args:
        pool: where they run; its ``slots`` are how many at once.
    """

    def __init__(self, total: int, done: int, cost: Any, pool: Any, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.total, self.done, self.failed = total, done, 0
        self.cost, self.pool = cost, pool
        self._terminal = self.stream.isatty()
        self._shown = 0.0

    def finished(
        self, cell: Cell, result: dict[str, Any], left: Sequence[Cell], running: Sequence[tuple[Cell, float]]
    ) -> None:
        """A cell has ended."""
        bad = result["status"] != "finished"
        self.done += not bad
        self.failed += bad
        if bad:
            self._line(f"failed: {cell.id}: {result['error']}")
        if self._terminal:
            self._shown = 0.0
            self.show(left, running)
        else:
            score = "" if bad else f"  {_score(result)}"
            seconds = result["seconds"]["total"]
            state = self._state(left, running)
            self._line(f"{state}  {cell.source} {_name(cell)}: {seconds:.0f} s{score}")

    def show(self, left: Sequence[Cell], running: Sequence[tuple[Cell, float]]) -> None:
        """Renew the line of a terminal; it is asked for often."""
        now = time.monotonic()
        if self._terminal and now - self._shown > 0.2:
            self._shown = now
            names = ", ".join(f"{_name(cell)} {time.time() - began:.0f} s" for cell, began in running)
            text = f"{self._state(left, running)}  now: {names or 'starting'}"
            width = shutil.get_terminal_size((100, 24)).columns - 1
            self.stream.write(f"\r{text[:width]:<{width}}")
            self.stream.flush()

    def close(self) -> None:
        """End the line."""
        if self._terminal:
            self.stream.write("\n")
            self.stream.flush()

    def _state(self, left: Sequence[Cell], running: Sequence[tuple[Cell, float]]) -> str:
        gone = sum(time.time() - began for _, began in running)
        seconds = max(0.0, self.cost.left([*left, *(cell for cell, _ in running)]) - gone) / self.pool.slots
        failed = f", {self.failed} failed" if self.failed else ""
        open_ = len(left) + len(running)
        return f"{self.done}/{self.total} done{failed}, {open_} left, about {timedelta(seconds=round(seconds))}"

    def _line(self, text: str) -> None:
        if self._terminal:
            self.stream.write("\r" + " " * (shutil.get_terminal_size((100, 24)).columns - 1) + "\r")
        print(text, file=self.stream, flush=True)


def _name(cell: Cell) -> str:
    return f"{cell.label} {cell.shots}-shot #{cell.sampling}"


def _score(result: dict[str, Any]) -> str:
    for name in ("balanced_accuracy", "map", "accuracy"):
        if result["metrics"].get(name) is not None:
            return f"{name} {result['metrics'][name]:.3f}"
    return ""
