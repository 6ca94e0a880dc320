# SPDX-License-Identifier: Apache-2.0

"""Templates: the page, and files of sentences whose numbers are filled in."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from monai_ept.reporting import numbers

__all__ = ["sentences", "template"]


@lru_cache
def template(path: Path) -> Any:
    """A Jinja template, in which everything of ``reporting.numbers`` is a filter; what it is not given is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(path.parent),
        autoescape=".html" in path.suffixes,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update({name: getattr(numbers, name) for name in numbers.__all__})
    environment.filters["unbroken"] = lambda text: text.replace(" %", "\u00a0%")
    return environment.get_template(path.name)


def sentences(path: Path, macro: str, **values: Any) -> list[str]:
    """What a macro of a template says: one text for each of its paragraphs, which blank lines part."""
    text = getattr(template(path).module, macro)(**values)
    paragraphs = (re.sub(r"\s*\n\s*", " ", part.strip()) for part in re.split(r"\n\s*\n", text))
    return [paragraph for paragraph in paragraphs if paragraph]
