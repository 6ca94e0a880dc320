# SPDX-License-Identifier: Apache-2.0

"""The site is built without a warning, and its pages take nothing from another server."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

import pytest

from tests.docs.pages import ROOT

LOADED = re.compile(
    r"""<(?:link|script|img|iframe|source)\b[^>]*?(?:href|src)=["'](?:https?:)?//[^"']*|@import[^;]*//"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, as ``make docs`` builds it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs", ".", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_what_a_page_loads_is_seen():
    assert LOADED.search('<script async="async" src="https://cdn.example/x.js">')
    assert LOADED.search('<link rel="stylesheet" href="//fonts.example/css">')
    assert not LOADED.search('<a href="https://monai.io">MONAI</a><img src="../_images/a.png">')


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(site):
    files = [path for kind in ("html", "css") for path in site.rglob(f"*.{kind}")]
    assert len(files) > 30
    assert {str(path): found[0] for path in files if (found := LOADED.search(path.read_text("utf-8")))} == {}


def test_every_public_package_has_a_page():
    documented = {path.stem for path in (ROOT / "docs" / "api").glob("*.md")}
    for path in (ROOT / "monai_ept").glob("*/__init__.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = [node.value for node in ast.walk(tree) if isinstance(node, ast.Assign) and _is_all(node)]
        if names and ast.literal_eval(names[0]):
            assert path.parent.name in documented


def _is_all(node: ast.Assign) -> bool:
    return any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets)


@pytest.mark.slow
def test_the_public_names_are_described(site):
    import monai_ept

    page = (site / "docs" / "api" / "monai_ept.html").read_text("utf-8")
    for name in ("EPTWrapper", "TunedViT", "fit", "FitResult", "list_methods"):
        assert name in monai_ept.__all__
        assert f'id="monai_ept.{name}"' in page
    assert 'href="#monai_ept.TunedViT"' in page or 'href="monai_ept.html#monai_ept.TunedViT"' in page
    first = (site / "index.html").read_text("utf-8")
    assert (site / re.search(r"url=([\w./]+)", first)[1]).is_file()
