# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import re
from html.parser import HTMLParser

from monai_ept.reporting.figure import Picture
from monai_ept.reporting.markdown import markdown_of
from monai_ept.reporting.page import Cell, Link, Section, Table, build_page

SECTIONS = [
    Section("Scores <all>", "vit & more", ["5 % are <b>"], ["how"], "code: '<1>'", folded=False),
    Section(
        "Numbers",
        tables=[
            Table(
                ["method", "1-shot", "5-shot"],
                [["a | b", Cell(".5", "± .1", ["+.1", "p .02"], "ahead", True, "#here"), ""], ["c", "1", "2"]],
                numbers=[1, 2],
                groups=[("derm", 2)],
                marked=[1],
                names=["here"],
            ),
            Table(["cells"], [[Cell(links=[Link("x", "../x/"), Link("y")])]]),
        ],
        pictures=[Picture("shots", "Score against shots", "What it shows.", b"png", b"<svg/>")],
        notes=["a note"],
        folded=True,
    ),
]


class Page(HTMLParser):
    """What a page holds: tags with attributes, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_page_holds_everything_escaped_and_needs_nothing_else():
    text = build_page("A & B", ["one", "two"], ["In 5 % of <all>"], SECTIONS)
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>") and text.endswith("</html>\n") and not page.open
    assert not {"script", "link", "b>"} & {tag for tag, _ in page.tags}
    assert not re.search(r"(src|href)=\"https?:", text) and "@import" not in text and "url(" not in text
    for expected in ("A & B", "one · two", "In 5\u00a0% of <all>", "Scores <all>", "code: '<1>'", "a | b", "a note"):
        assert expected in page.text
    assert [image["src"][:26] for image in page.all("img")] == ["data:image/svg+xml;base64,"]
    assert [link["href"] for link in page.all("a")] == ["#here", "../x/"]
    assert [row["id"] for row in page.all("tr") if "id" in row] == ["here"]
    assert page.all("th")[1] == {"class": "group start", "colspan": "2"}
    assert [cell.get("class") for cell in page.all("td")][:3] == [None, "n start ahead", "n"]
    assert len(page.all("details")) == 1
    assert "In short" not in build_page("empty", [], [], [])


def test_markdown_says_the_same():
    text = markdown_of("A", ["one", "two"], ["short"], SECTIONS)
    for expected in ("# A\n\none · two\n\n- short\n",
                     "## Scores &lt;all>, vit & more\n\n- 5 % are &lt;b>\n\nhow\n\n```yaml\ncode: '<1>'",
                     "| a \\| b | **.5 ± .1** (+.1, p .02) |", "| method | derm, 1-shot", "[x](../x/), `y`",
                     "![Score against shots](figures/shots.png)\n\nWhat it shows.\n\na note\n"):  # fmt: skip
        assert expected in text
