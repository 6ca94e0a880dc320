# SPDX-License-Identifier: Apache-2.0

"""docs/training.md: its table has every setting of a recipe, with the values that it has."""

from __future__ import annotations

import dataclasses
import re

from monai_ept.engines import Recipe, recipe_of
from tests.docs.pages import ROOT

# What depends on method and optimizer is None in a recipe.
WORDS = {"true": True, "false": False, "none": None}
WORDS |= dict.fromkeys(("what suits the method", "0.01", "1e-4", "6e-4"))


def _value(text):
    text = text.strip("` ")
    if text in WORDS:
        return WORDS[text]
    return int(text) if re.fullmatch(r"\d+", text) else text


def test_the_table_of_recipes():
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    section = page.split("## Recipes")[1].split("\n## ")[0]
    default, paper = recipe_of("default"), recipe_of("paper")
    seen = set()
    for names, first, second, _ in re.findall(r"^\| (`.*?) \| (.*?) \| (.*?) \| (.*?) ?\|$", section, re.MULTILINE):
        for position, name in enumerate(re.findall(r"`(\w+)`", names)):
            seen.add(name)
            in_default = _value(first.split(", ")[position])
            in_paper = in_default if second == "the same" else _value(second.split(", ")[position])
            assert (getattr(default, name), getattr(paper, name)) == (in_default, in_paper), name
    assert seen | {"momentum", "name"} == {field.name for field in dataclasses.fields(Recipe)}
