# SPDX-License-Identifier: Apache-2.0

"""How every figure looks, and how it becomes a file or a part of a page."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_ept.files import write_whole

__all__ = [
    "AHEAD",
    "BEHIND",
    "BLUE",
    "COLOURS",
    "GREY",
    "INK",
    "LINE",
    "MARKERS",
    "PAPER",
    "RED",
    "Picture",
    "class_colours",
    "figure_of",
    "panels",
    "save_figure",
    "styled",
]

INK, PAPER, GREY, LINE = "#222222", "#ffffff", "#8a8a8a", "#dddddd"
BLUE, RED = "#2b6ca3", "#c44e52"
"""Right and wrong."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's, less their yellow, which white paper swallows: who sees fewer colours tells them apart."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
AHEAD, BEHIND = COLOURS[:2]


def class_colours(number: int) -> list[Any]:
    """One colour per class."""
    if number <= len(COLOURS):
        return list(COLOURS[:number])
    from matplotlib import colormaps

    return [colormaps["tab20"](index % 20) for index in range(number)]


def figure_of(width: float, height: float, layout: Any = "constrained") -> Any:
    """An empty figure of that many inches."""
    # Not pyplot: it would choose a backend for the whole process and keep every figure alive.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=layout, facecolor=PAPER)
    FigureCanvasAgg(figure)
    return figure


def panels(
    number: int, most: int, width: float, height: float, rows_each: int = 1, layout: Any = "constrained", **options: Any
) -> Any:
    """
    A figure of small panels, in lines as equal as can be.

    Args:
        number: how many columns of panels are needed.
        most: at most so many beside each other; the rest goes below.
        width: of a panel, in inches.
        rows_each: panels that stand below each other in a column.
        layout: None where the sizes are set by hand, which is faster.

    Returns:
        the figure, and axes ``(number, rows_each)``.
    """
    lines = math.ceil(number / most)
    columns = math.ceil(number / lines)
    figure = figure_of(width * columns, height * rows_each * lines, layout)
    grid = figure.subplots(lines * rows_each, columns, squeeze=False, **options)
    grid = grid.reshape(lines, rows_each, columns).transpose(0, 2, 1).reshape(-1, rows_each)
    for spare in grid[number:].reshape(-1):
        spare.set_visible(False)
    return figure, grid[:number]


def save_figure(figure: Any, path: Path, dpi: int = 150) -> Path:
    """Write a figure as PNG, whole or not at all."""
    return write_whole(path, _png(figure, dpi))


def _png(figure: Any, dpi: int, **options: Any) -> bytes:
    buffer = io.BytesIO()
    _as_written(figure)
    figure.savefig(buffer, format="png", dpi=dpi, **options)
    return buffer.getvalue()


def _as_written(figure: Any) -> None:
    """Let dollar signs be dollar signs: class names come from users, and matplotlib takes them for formulas."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if "$" in text.get_text() and r"\mathdefault" not in text.get_text():  # which matplotlib's own ticks have
            text.set_parse_math(False)


@contextmanager
def styled(salt: str = "report") -> Iterator[None]:
    """Matplotlib's settings of ours, whatever the user's are; names inside an SVG from ``salt`` and not by chance."""
    import matplotlib

    settings: Any = {
        "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
        "font.size": 11,
        "axes.titlesize": 12,
        "axes.labelsize": 11,
        "axes.edgecolor": "#9a9a9a",
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": "#444444",
        "ytick.color": "#444444",
        "svg.hashsalt": salt,
        "svg.fonttype": "path",
        "path.simplify": True,
    }
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(settings)
        yield


@dataclass(frozen=True)
class Picture:
    """A drawn figure."""

    name: str  # of its files
    title: str  # one line above it
    caption: str  # what is shown, and how to read it
    png: bytes = field(repr=False)
    svg: bytes = field(repr=False, default=b"")  # the same as lines, where there is one
    width: int | None = None  # in points of a page; as wide as it is drawn by default

    @classmethod
    def drawn(cls, parts: Sequence[str], title: str, caption: str, figure: Any, *, png: bool = True) -> Picture:
        """From matplotlib's figure, named after parts; the same figure gives the same bytes. A page needs no PNG."""
        name = "-".join("".join(sign if sign.isalnum() else "-" for sign in part)[:40] for part in parts)
        svg = io.BytesIO()
        _as_written(figure)
        with styled(name):
            figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
            pixels = _png(figure, 130, metadata={"Software": None}) if png else b""
        return cls(name, title, caption, pixels, svg.getvalue())

    @classmethod
    def from_file(cls, path: Path, caption: str, width: int | None = None) -> Picture:
        """From a PNG that is there."""
        return cls(path.stem, "", caption, path.read_bytes(), width=width)

    @property
    def source(self) -> str:
        """An address that holds the whole drawing, for ``<img src>``."""
        kind, content = ("svg+xml", self.svg) if self.svg else ("png", self.png)
        return f"data:image/{kind};base64," + base64.b64encode(content).decode("ascii")

    def save(self, folder: Path) -> list[Path]:
        """Write it as it is there, as PNG and as SVG."""
        kinds = {"svg": self.svg, "png": self.png}
        return [write_whole(folder / f"{self.name}.{end}", content) for end, content in kinds.items() if content]
