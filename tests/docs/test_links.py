# SPDX-License-Identifier: Apache-2.0

"""Links, anchors, paths and names in the docs lead somewhere."""

from __future__ import annotations

import pkgutil
import re
from urllib.parse import unquote

import pytest

from tests.docs.pages import ROOT, anchors, blocks, links, pages, phrases

FOLDERS = "bundles|docs|monai_ept|notebooks|sweeps|tests|tools"


def _broken(page: str, target: str) -> str | None:
    """What is wrong with a relative link."""
    path, _, anchor = target.partition("#")
    file = (ROOT / page).parent / unquote(path) if path else ROOT / page
    if not file.exists():
        return f"{target}: no such file"
    if anchor and file.suffix == ".md" and anchor not in anchors(str(file.resolve().relative_to(ROOT))):
        return f"{target}: no such heading"
    return None


def test_broken_links_are_seen():
    assert _broken("README.md", "docs/results.md#defaults") is None
    assert _broken("docs/method.md", "../README.md") is None
    assert _broken("README.md", "docs/nothing.md") == "docs/nothing.md: no such file"
    assert _broken("README.md", "docs/results.md#nothing") == "docs/results.md#nothing: no such heading"


@pytest.mark.parametrize("page", pages())
def test_links_lead_to_files_and_headings(page):
    relative = [target for target in links(page) if not re.match(r"[a-z]+:", target)]
    assert [wrong for target in relative if (wrong := _broken(page, target))] == []


@pytest.mark.parametrize("page", pages())
def test_pictures_come_with_the_repository(page):
    assert [target for target in links(page) if re.match(r"https?:.*\.(png|jpe?g|svg|gif)$", target)] == []


@pytest.mark.parametrize("page", pages())
def test_paths_that_are_named_exist(page):
    text = [text for text in phrases(page) if "<" not in text]  # <name> stands for a name of the reader's own
    named = {name for one in text for name in re.findall(rf"(?<![\w/.])(?:{FOLDERS})/[\w./*-]*\w", one)}
    for _, code, _ in blocks(page):
        named |= set(re.findall(rf"(?<![\w/.<])(?:{FOLDERS})/[\w./-]+\.(?:py|yaml|md|json)\b", code))
    folders = (ROOT, (ROOT / page).parents[1])  # a bundle's page speaks of its own folder too
    assert sorted(name for name in named if not any(any(folder.glob(name)) for folder in folders)) == []


@pytest.mark.parametrize("page", pages())
def test_names_of_the_package_exist(page):
    missing = []
    for name in {name for text in phrases(page) for name in re.findall(r"^monai_ept(?:\.\w+)+", text)}:
        try:
            pkgutil.resolve_name(name)
        except (ImportError, AttributeError):
            missing.append(name)
    assert missing == []
