# SPDX-License-Identifier: Apache-2.0

"""The looks that a report's figures share."""

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
    "GREY",
    "INK",
    "LINE",
    "TOP",
    "Picture",
    "empty_figure",
    "equal_spans",
    "grid_of",
    "place_labels",
    "styled",
    "tidy",
    "within_scores",
]

INK, GREY, LINE = "#222222", "#767676", "#dddddd"
AHEAD, BEHIND = "#0072B2", "#D55E00"  # Okabe and Ito's blue and vermilion
WIDTH = 11.5
"""Inches; at 100 points to the inch as wide as a page of 1200 pixels."""


@dataclass(frozen=True)
class Picture:
    """
    A drawn figure.

    Args:
        name: of its files.
        title: one line above it.
        caption: what is shown, and how to read it.
        svg: the drawing.
        png: the same in pixels, for Markdown.
    """

    name: str
    title: str
    caption: str
    svg: bytes = field(repr=False)
    png: bytes = field(repr=False)

    @classmethod
    def drawn(cls, name: str, title: str, caption: str, figure: Any) -> Picture:
        """From matplotlib's figure; the same figure gives the same bytes."""
        svg, png = io.BytesIO(), io.BytesIO()
        with styled(name):
            figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
            figure.savefig(png, format="png", dpi=130, metadata={"Software": None})
        return cls(name, title, caption, svg.getvalue(), png.getvalue())

    @property
    def source(self) -> str:
        """An address that holds the whole drawing, for ``<img src>``."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg).decode("ascii")

    def save(self, folder: Path) -> list[Path]:
        return [
            write_whole(folder / f"{self.name}.svg", self.svg),
            write_whole(folder / f"{self.name}.png", self.png),
        ]


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


def empty_figure(height: float, width: float = WIDTH) -> Any:
    """A figure of that many inches; call it where ``styled`` holds."""
    from monai_ept.reporting.figure import figure_of

    return figure_of(width, height)


def grid_of(count: int, most: int) -> tuple[int, int]:
    """Rows and columns for panels, at most so many beside each other, and rows as equal as can be."""
    rows = math.ceil(count / most)
    return rows, math.ceil(count / rows)


def tidy(axes: Any, grid: str = "y") -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=3)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis=grid, color=LINE, linewidth=0.8)


TOP = 1.02
"""Where the axis of a score ends: the marker of a perfect one is seen whole."""


def equal_spans(panels: Sequence[Any], axis: str = "y", top: float = math.inf) -> None:
    """Let all panels span as much as the widest, each where its own values are: slopes can be compared."""
    limits = [getattr(axes, f"get_{axis}lim")() for axes in panels]
    span = max(high - low for low, high in limits)
    for axes, (low, high) in zip(panels, limits, strict=True):
        end = (low + high + span) / 2
        if high <= top:
            end = min(end, top)
        getattr(axes, f"set_{axis}lim")(end - span, end)


def within_scores(axes: Any, means: Sequence[float]) -> None:
    """Where all means lie between 0 and 1, so does the axis: intervals of few repetitions reach further."""
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 0.0) if min(means) >= 0 else low, min(high, TOP) if max(means) <= 1 else high)


def place_labels(wanted: Sequence[float], gap: float, low: float = -math.inf, high: float = math.inf) -> list[float]:
    """
    Positions near the wanted ones, none nearer than ``gap`` to another, in the same order.

    Labels that collide become a block that stands where its members wanted to be on average.

    Example::

        >>> place_labels([0.0, 0.1, 5.0], 1.0)
        [-0.45, 0.55, 5.0]
    """
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    blocks: list[list[Any]] = []  # [sum of what members want relative to the block's start, members]
    for index in order:
        blocks.append([wanted[index], [index]])
        while len(blocks) > 1 and _start(blocks[-2], gap) + gap * len(blocks[-2][1]) > _start(blocks[-1], gap):
            total, members = blocks.pop()
            blocks[-1][0] += total - gap * len(blocks[-1][1]) * len(members)
            blocks[-1][1] += members
    placed = [0.0] * len(wanted)
    for block in blocks:
        start = min(max(_start(block, gap), low), high - gap * (len(block[1]) - 1))
        for number, index in enumerate(block[1]):
            placed[index] = round(start + gap * number, 12)
    return placed


def _start(block: list[Any], gap: float) -> float:
    return block[0] / len(block[1])
