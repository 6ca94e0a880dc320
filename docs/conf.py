# SPDX-License-Identifier: Apache-2.0

"""How Sphinx makes the site: ``make docs``, or ``sphinx-build -W -c docs . build/docs``.

The source is the whole repository, so that links between README, docs, bundles and notebooks are the same here and on
GitHub. Nothing in the built pages comes from another server: they work from a folder, without a network.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

from monai_ept import __version__

project = "monai_ept"
author = "The monai_ept developers"
project_copyright = f"{author}, Apache-2.0"
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/*.md",
    "docs/api/*.md",
    "notebooks/*.ipynb",
    "bundles/*/docs/README.md",
    "monai_ept/networks/weights/README.md",
]
exclude_patterns = [".*", "build", "runs", "tests"]  # folders that need not be searched
root_doc = "README"

# Markdown as GitHub reads it: headings are anchors. Notebooks are shown as they were executed.
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # the Model Zoo's READMEs jump from second to fourth headings
nb_execution_mode = "off"
nb_ipywidgets_js: dict[str, dict[str, str]] = {}

autodoc_default_options = {"imported-members": True, "show-inheritance": True}
autodoc_member_order = "groupwise"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
default_role = "py:obj"

html_theme = "furo"
html_title = f"monai_ept {version}"
html_show_sphinx = False
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["wide.css"]
templates_path = ["_templates"]
html_additional_pages = {"index": "to_first_page.html"}
pygments_style = "friendly"

CONTENTS = """
```{toctree}
:hidden:
:caption: Use it

notebooks/your_images_in_ten_minutes
notebooks/ept_in_a_monai_pipeline
docs/data
docs/backbones
docs/training
docs/methods
docs/peft
docs/metrics
docs/bundles
docs/federated
docs/deploy
docs/serving
docs/mlflow
docs/analysis
docs/benchmark
docs/reliability
```
```{toctree}
:hidden:
:caption: Understand it

docs/method
docs/results
docs/performance
docs/embedded-backbone
monai_ept/networks/weights/README
```
```{toctree}
:hidden:
:caption: Look it up
:glob:

docs/api/*
```
```{toctree}
:hidden:
:caption: Take part

CONTRIBUTING
CHANGELOG
```
"""


def setup(app: Sphinx) -> None:
    """Give the first page the table of contents, which GitHub would show as code."""

    def read(app: Sphinx, page: str, source: list[Any]) -> None:
        if page == root_doc:
            source[0] += CONTENTS
        elif page.startswith("bundles/"):  # docs/bundles.md leads to them; their many titles would fill the contents
            source[0] = f"---\norphan: true\n---\n{source[0]}"

    app.connect("source-read", read)
