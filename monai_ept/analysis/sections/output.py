# SPDX-License-Identifier: Apache-2.0

"""Where the sections of an analysis write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_ept.reporting.csv_file import write_csv
from monai_ept.reporting.figure import Picture, save_figure
from monai_ept.reporting.prose import sentences

__all__ = ["Output"]


@dataclass
class Output:
    """A folder that is there, whether pictures are wanted, and what was written, by its name."""

    folder: Path
    draws: bool = True
    paths: dict[str, Path] = field(default_factory=dict)

    def csv(self, name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Write ``NAME.csv``."""
        self.paths[name] = write_csv(self.folder / f"{name}.csv", header, rows)

    def picture(self, words: Path, name: str, figure: Any, *, dpi: int = 150, **values: Any) -> Picture:
        """Write a figure as ``NAME.png``; its caption is the macro of that name in the template ``words``."""
        self.paths[name] = save_figure(figure, self.folder / f"{name}.png", dpi)
        caption = " ".join(sentences(words, name, **values))
        return Picture.from_file(self.paths[name], caption, round(100 * figure.get_figwidth()))
