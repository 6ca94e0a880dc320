# SPDX-License-Identifier: Apache-2.0

"""README.md as PyPI's page shows it."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from readme_renderer.markdown import render

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
long_description = runpy.run_path(str(ROOT / "setup.py"))["long_description"]


@pytest.mark.parametrize("source", [None, "https://example.org/monai_ept/"])
def test_nothing_on_the_page_leads_nowhere(source):
    page = render(long_description(README, source))
    targets = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(re.match("https?:|mailto:|#", target) for target in targets)
    assert len(re.findall(r"<h2>|<h2 ", page)) == README.count("\n## ")
    if source:
        assert "https://example.org/monai_ept/raw/main/docs/images/ept_columns.png" in targets
        assert "https://example.org/monai_ept/blob/main/docs/data.md" in targets
    else:
        assert "docs/data.md" not in page and "what else a split guarantees" in page, "a link's words stay as text"
        assert "<img" not in page


def test_links_elsewhere_stay():
    text = "[MONAI](https://monai.io) and [below](#try-it), ![badge](https://example.org/badge.svg)"
    assert long_description(text, None) == long_description(text, "https://example.org/us") == text
