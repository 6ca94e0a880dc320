# SPDX-License-Identifier: Apache-2.0

"""The page that every report is: one HTML file with everything in it, which needs no network and runs no script."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from monai_ept.reporting.figure import Picture
from monai_ept.reporting.prose import template

__all__ = ["Cell", "Link", "Section", "Table", "build_page"]


class Link(NamedTuple):
    """Text that leads somewhere, if there is somewhere to lead."""

    text: str
    to: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell of a table that is more than text."""

    text: str = ""
    spread: str = ""  # the same, in grey behind it, such as "± .02"
    below: Sequence[str] = ()  # small lines under it
    kind: str = ""  # "ahead", "behind", "good", "bad" or "same", which gives it a colour
    bold: bool = False
    to: str = ""  # where the text leads
    links: Sequence[Link] = ()  # in place of the text


@dataclass(frozen=True)
class Table:
    """A table; columns and rows are named by their index."""

    head: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    numbers: Collection[int] = ()  # columns that are numbers
    groups: Sequence[tuple[str, int]] = ()  # a second head: names of columns, from the second on, with how many
    marked: Collection[int] = ()  # rows with a background of their own
    names: Sequence[str] = ()  # what links to each row call it

    @property
    def starts(self) -> set[int]:
        """Columns with which a group begins."""
        return {1 + sum(count for _, count in self.groups[:index]) for index in range(len(self.groups))}


@dataclass(frozen=True)
class Section:
    """A part of the page, of whatever of these there is, in this order."""

    title: str
    small: str = ""  # beside the title, in grey
    sentences: Sequence[str] = ()  # what the numbers say, in a list
    text: Sequence[str] = ()  # how they were made, in paragraphs
    code: str = ""  # text that is shown as it is
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()  # each with its caption
    notes: Sequence[str] = ()  # what to know beside it
    folded: bool = False  # opened only by a click, where the medium can


def build_page(title: str, about: Sequence[str], short: Sequence[str], sections: Sequence[Section]) -> str:
    """
    The page's HTML.

    Args:
        about: what it is about, in short phrases.
        short: the sentences that stand on top.
    """
    page = template(Path(__file__).with_name("page.html.jinja"))
    return str(page.render(title=title, about=about, short=short, sections=sections))
