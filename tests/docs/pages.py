# SPDX-License-Identifier: Apache-2.0

"""The pages of the documentation, taken apart by a Markdown parser."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

__all__ = ["ROOT", "anchors", "blocks", "links", "pages", "phrases"]

ROOT = Path(__file__).parents[2]
PATTERNS = ("*.md", "docs/**/*.md", "bundles/*/docs/*.md", "monai_ept/**/*.md", ".github/*.md")


def pages() -> list[str]:
    """All pages, relative to the repository."""
    return sorted({str(path.relative_to(ROOT)) for pattern in PATTERNS for path in ROOT.glob(pattern)})


def _tokens(page: str) -> Iterator[Token]:
    text = (ROOT / page).read_text(encoding="utf-8")
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        yield token
        yield from token.children or ()


def links(page: str) -> list[str]:
    """Targets of links and images."""
    found = [token.attrGet("href") or token.attrGet("src") for token in _tokens(page)]
    return [str(target) for target in found if target]


def anchors(page: str) -> set[str]:
    """Anchors of headings, as GitHub makes them."""
    tokens, seen, found = list(_tokens(page)), Counter[str](), set()
    for heading, text in pairwise(tokens):
        if heading.type == "heading_open":
            words = "".join(part.content for part in text.children or ())
            slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    return found


def blocks(page: str) -> list[tuple[str, str, int]]:
    """Blocks of code: language (empty for an indented one), text, line."""
    kinds = ("fence", "code_block")
    return [(t.info.strip(), t.content, t.map[0] + 1) for t in _tokens(page) if t.type in kinds and t.map]


def phrases(page: str) -> list[str]:
    """What stands in backticks within a text."""
    return [token.content for token in _tokens(page) if token.type == "code_inline"]
