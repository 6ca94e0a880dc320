# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_ept.reporting.figure import Picture
from monai_ept.reporting.markdown import markdown_of
from monai_ept.reporting.page import Cell, Link, Section, Table

EVIL = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](http://elsewhere/x.png)",
    "[x](javascript:alert)",
    "</td></table><h1>",
    "<!-- -->",
]


@pytest.mark.parametrize("name", EVIL)
def test_names_begin_no_html_no_link_and_no_picture(name):
    markdown_it = pytest.importorskip("markdown_it")
    cell = Cell(text=name, spread=name, below=[name], links=[Link(name)])
    table = Table([name, name], [[name, cell]], groups=[(name, 1)])
    picture = Picture("x", name, name, b"")
    code = f"label: |\n ```\n {name}\n"
    section = Section(name, name, [name], [name], code, [table], [picture], [name])
    text = markdown_of(name, [name], [name], [section])
    tokens = markdown_it.MarkdownIt("commonmark").enable("table").parse(text)
    inner = [child for token in tokens for child in token.children or []]
    kinds = {token.type for token in [*tokens, *inner]}
    assert not kinds & {"html_block", "html_inline", "link_open"}
    assert [token.attrs["src"] for token in inner if token.type == "image"] == ["figures/x.png"]
    assert sum(token.type == "fence" and token.content == code for token in tokens) == 1
