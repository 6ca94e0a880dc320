# SPDX-License-Identifier: Apache-2.0

"""A sweep file: which data, backbones, methods, shots, samplings and seeds, read and checked."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from monai_ept.benchmark.plan.adapted_file import adapted_file
from monai_ept.benchmark.plan.cell import SPLIT
from monai_ept.benchmark.plan.variables import expand
from monai_ept.checks import check_choice, check_number, check_whole, did_you_mean
from monai_ept.data import list_sources
from monai_ept.engines.recipe import Recipe, recipe_of
from monai_ept.methods import build_methods
from monai_ept.networks.backbone_settings import check_backbone_settings
from monai_ept.yaml_file import load_yaml, read_yaml

__all__ = ["MOST_CELLS", "Sweep", "expand", "read_sweep", "recipe_for", "sweep_from", "written_base"]

OF_METHOD = ("method", "label", "group", "frozen", "adapted", "recipe", "grid", "factors", "shots", "samplings")
OF_BACKBONE = ("name", "pretrained", "img_size", "backbone_settings")

MOST_CELLS = 100_000
"""Of a sweep: more would take days to write down, and whoever asks for more has mistyped a number."""
LARGEST_SEED = 2**32 - 1
"""NumPy takes no larger one."""
LARGEST_IMAGE = 4096
LONGEST = 400
"""Characters of an error."""


@dataclass(frozen=True)
class Sweep:
    """What a sweep file says, with every default written out; docs/benchmark.md has its keys."""

    name: str
    sources: tuple[dict[str, Any], ...]
    backbones: tuple[dict[str, Any], ...]
    shots: tuple[int, ...]
    samplings: tuple[int, ...]
    seeds: tuple[int, ...]
    recipe: dict[str, Any]
    methods: tuple[dict[str, Any], ...]
    val: str = "none"
    reference: str = "linear"
    metric: Any = None
    recipes: tuple[dict[str, Any], ...] = ()  # each method is trained by each, where there are some

    def to_yaml(self) -> str:
        """The sweep as a file that gives the same sweep again."""
        import yaml

        content = json.loads(json.dumps(asdict(self)))
        if not self.recipes:
            del content["recipes"]
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def read_sweep(
    path: str | os.PathLike, overrides: Sequence[str] = (), *, begun_in: str | os.PathLike | None = None
) -> Sweep:
    """
    Read a sweep file.

    Args:
        path: the YAML file.
        overrides: ``"key=value"`` or ``"recipe.epochs=5"``; the value is read as YAML.
        begun_in: folder of the sweep, where it may have begun with the first release, whose recipe was the paper's.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when something in it is not right.
    """
    path = Path(path)
    content = read_yaml(path, "sweep file")
    if not isinstance(content, dict):
        raise ValueError(f"sweep file {path} must be a mapping with 'sources', 'methods' and so on.")
    for override in overrides:
        key, given, text = override.partition("=")
        if not given:
            raise ValueError(f"--set {override!r} has no value: write it as KEY=VALUE.")
        _override(content, key.split("."), load_yaml(text, f"--set {key}"), key)
    content.setdefault("name", path.stem)
    try:
        begun = Path(begun_in or Path("runs") / _name(content["name"])) / "sweep.yaml"
        return sweep_from(content, _base(begun))
    except (ValueError, TypeError) as error:
        raise ValueError(f"sweep file {path}: {_brief(str(error))}") from None


def sweep_from(content: Mapping[str, Any], base: str | Recipe = "default") -> Sweep:
    """
    A sweep from what a sweep file holds.

    Args:
        content: of the file.
        base: the recipe that one without a name changes.

    Raises:
        ValueError: naming what is wrong.
    """
    known = [field.name for field in fields(Sweep)]
    for key in content:
        if key not in known:
            raise ValueError(f"{key!r} is no part of a sweep: {did_you_mean(key, known)}")
    for key in ("name", "sources", "methods"):
        if not content.get(key):
            raise ValueError(f"a sweep needs {key!r}: see docs/benchmark.md.")
    name = _name(content["name"])
    base = recipe_of(base)
    val = check_choice("val", content.get("val") or "none", ("none", "shots", "rest"))
    recipe = _recipe(content.get("recipe") or {}, base)
    recipes = _recipes(content.get("recipes"), recipe)
    shots = _shots(content.get("shots", [1, 5, 10]))
    samplings = _seeds("samplings", content.get("samplings", 5))
    methods = tuple(_method(item, recipe, recipes, val) for item in _list("methods", content["methods"]))
    for entry in methods:
        for key, whole in (("shots", shots), ("samplings", samplings)):
            for item in entry.get(key, ()):
                if item not in whole:
                    raise ValueError(
                        f"{key} of method {entry['method']!r} has {item}, which the sweep has not: add it there, "
                        "or leave it out here."
                    )
    return Sweep(
        name=name,
        sources=_different("sources", tuple(map(_source, _list("sources", content["sources"])))),
        backbones=_different(
            "backbones",
            tuple(
                map(
                    _backbone,
                    _list("backbones", "embedded" if content.get("backbones") is None else content["backbones"]),
                )
            ),
        ),
        shots=shots,
        samplings=samplings,
        seeds=_seeds("seeds", content.get("seeds", 1)),
        recipe=recipe,
        methods=methods,
        val=val,
        reference=_title("reference", content.get("reference") or "linear"),
        metric=content.get("metric"),
        recipes=recipes,
    )


def _base(begun: Path) -> Recipe:
    """The recipe that a sweep's own settings change: the default, or that with which its folder was begun."""
    written = read_yaml(begun, "sweep file") if begun.is_file() else {}
    base = written_base(written if isinstance(written, Mapping) else {})
    if base.name == "default":
        return base
    warnings.warn(
        f"{begun} was begun when a sweep's recipe was the paper's unless it said otherwise, and goes on so: "
        "write 'name: paper' into the recipe.",
        stacklevel=3,
    )
    return base


def written_base(content: Mapping[str, Any]) -> Recipe:
    """The recipe that the settings in a sweep's folder change: up to 0.1 the paper's, and written without a name."""
    recipe = content.get("recipe")
    named = not isinstance(recipe, Mapping) or "name" in recipe
    return recipe_of("default" if named else {"name": "paper", "lr": 6e-4})


def _name(value: Any) -> str:
    """A sweep's name, which is its folder's too."""
    name = str(value)
    if not re.fullmatch(r"[\w.-]{1,100}", name) or not name.strip("."):
        raise ValueError(
            f"name {name!r} must be of at most 100 letters, digits, '.', '_' and '-', and not of dots alone: "
            "it becomes a folder and a tag."
        )
    return name


def _brief(text: str) -> str:
    """A sentence without the middle of what it quotes, where that is very long."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"


def _override(content: Any, keys: list[str], value: Any, name: str) -> None:
    *way, last = keys
    for key in way:
        if isinstance(content, list) and key.isdigit() and int(key) < len(content):
            content = content[int(key)]
        elif isinstance(content, dict):
            if key == "recipe" and isinstance(content.get(key), str):
                content[key] = {"name": content[key]}
            content = content.setdefault(key, {})
        else:
            raise ValueError(f"--set {name}: there is nothing at {key!r}.")
    if isinstance(content, list) and last.isdigit() and int(last) < len(content):
        content[int(last)] = value
    elif isinstance(content, dict):
        content[last] = value
    else:
        raise ValueError(f"--set {name}: there is nothing at {last!r}.")


def _list(name: str, value: Any) -> list[Any]:
    items = list(value) if isinstance(value, (list, tuple)) else [value]
    if not items:
        raise ValueError(f"{name} is empty: name at least one.")
    return items


def _different(name: str, items: tuple[Any, ...]) -> tuple[Any, ...]:
    """The items, of which no two may say the same, whatever they are called in tables."""
    seen = set()
    for item in items:
        said = {key: value for key, value in item.items() if key != "label"} if isinstance(item, Mapping) else item
        text = json.dumps(said, sort_keys=True, default=str)
        if text in seen:
            raise ValueError(f"{name} names {text} twice: leave one out.")
        seen.add(text)
    return items


def _title(name: str, value: Any) -> str:
    """What something is called in tables."""
    if not isinstance(value, (str, int, float)) or len(str(value)) > 100 or not str(value).isprintable():
        raise ValueError(f"{name} must be a text of one line and at most 100 characters, got {value!r}.")
    return str(value)


def _seeds(name: str, value: Any) -> tuple[int, ...]:
    """``5`` means 0 to 4; a list is taken as it is."""
    if not isinstance(value, (list, tuple)):
        if check_whole(name, value) > MOST_CELLS:
            raise ValueError(f"{name} asks for {value:,}, and a sweep has at most {MOST_CELLS:,} cells: take fewer.")
        return tuple(range(value))
    seeds = tuple(check_whole(name, item, least=0) for item in _list(name, value))
    if max(seeds) > LARGEST_SEED:
        raise ValueError(f"{name} has the seed {max(seeds)}, and the largest is {LARGEST_SEED}: take a smaller one.")
    return _different(name, seeds)


def _named(item: Any) -> dict[str, Any]:
    return {"name": item} if isinstance(item, str) else dict(item) if isinstance(item, Mapping) else {}


def _source(item: Any) -> dict[str, Any]:
    source = _named(item)
    check_choice("source", source.get("name"), list_sources())
    label = _title("label of a source", source.pop("label", source["name"]))
    split = {key: source.pop(key, default) for key, default in SPLIT.items()}
    check_choice("by", split["by"], ("group", "image"))
    check_choice("sampling", split["sampling"], ("fresh", "published", "published-clean"))
    if split["test_fraction"] is not None:
        check_number("test_fraction", split["test_fraction"], above=0, below=1)
    return {**source, "label": label, **split}


def _backbone(item: Any) -> dict[str, Any]:
    backbone = {"pretrained": False, "img_size": None, **_named(item)}
    if not isinstance(backbone.get("name"), str):
        raise ValueError(f"backbone {item!r} has no name: write {{name: vit_tiny_patch16_224, pretrained: PATH}}.")
    for key in backbone:
        if key not in OF_BACKBONE:
            raise ValueError(f"backbone {backbone['name']!r} has no {key!r}: {did_you_mean(key, OF_BACKBONE)}")
    if not isinstance(backbone["pretrained"], (bool, str)):
        raise ValueError(f"pretrained must be true, false or the path of a file, got {backbone['pretrained']!r}.")
    for size in [] if backbone["img_size"] is None else _list("img_size", backbone["img_size"]):
        if check_whole("img_size", size) > LARGEST_IMAGE:
            raise ValueError(f"img_size must be at most {LARGEST_IMAGE}, got {size}: take a smaller one.")
    backbone["backbone_settings"] = check_backbone_settings("backbone_settings", backbone.get("backbone_settings"))
    # Left out where there are none, so that sweeps without are written as ever.
    return {key: backbone[key] for key in OF_BACKBONE if key != "backbone_settings" or backbone[key]}


def _shots(value: Any) -> tuple[int, ...]:
    return _different("shots", tuple(check_whole("shots", item) for item in _list("shots", value)))


def _recipe(value: Any, base: Recipe) -> dict[str, Any]:
    """All settings of a recipe: one by name, or the base with changes."""
    if isinstance(value, Mapping) and "name" not in value:
        value = {**base.to_dict(), **{key: item for key, item in value.items() if item is not None}}
    recipe = recipe_of(value)
    if recipe.select != "last":
        raise ValueError(f"a sweep takes the last epoch of each cell, got select: {recipe.select}: leave select out.")
    return recipe.to_dict()


def recipe_for(changes: Any, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """
    One of a sweep's recipes, complete, with a method's own changes.

    Raises:
        ValueError: when that is no recipe, or one that a sweep cannot have.
    """
    return _recipe(changes, recipe_of({key: value for key, value in recipe.items() if key != "label"}))


def _recipes(value: Any, recipe: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """The recipes that each method is trained by, complete, each with its label."""
    found = []
    for item in [] if value is None else _list("recipes", value):
        changes = _named(item)
        if not changes:
            raise ValueError(f"recipes must be names or mappings of settings, got {item!r}.")
        label = changes.pop("label", None)
        complete = _recipe(changes, recipe_of(recipe))
        found.append({"label": _title("label of a recipe", label or complete["name"]), **complete})
    labels = [one["label"] for one in found]
    for label in labels:
        if labels.count(label) > 1:
            raise ValueError(f"recipes has {label!r} twice: leave one out, or give each a label.")
    return _different("recipes", tuple(found))


def _method(item: Any, recipe: Mapping[str, Any], recipes: Sequence[Mapping[str, Any]], val: str) -> dict[str, Any]:
    """A method with all as written but its recipe, which is complete, unless it changes each of several."""
    entry = {"method": item} if isinstance(item, (str, list)) else dict(item) if isinstance(item, Mapping) else {}
    if "method" not in entry:
        raise ValueError(f"method {item!r} must be a name, or a mapping with 'method' and its settings.")
    settings = {key: value for key, value in entry.items() if key not in OF_METHOD}
    grid: Any = entry.get("grid") or {}
    factors: Any = entry.get("factors") or {}
    for key, value in (("grid", grid), ("factors", factors)):
        if not isinstance(value, Mapping):
            raise ValueError(f"{key} of method {entry['method']!r} must be a mapping, got {value!r}.")
    for key, values in grid.items():
        if not isinstance(values, list) or not values:
            raise ValueError(f"grid of method {entry['method']!r}: {key} must be a list of values, got {values!r}.")
    if grid and val == "none":
        raise ValueError("a grid is chosen on validation images: set val: shots (as many as for training) or rest.")
    if not isinstance(entry["method"], str):
        if settings:
            raise ValueError(
                f"settings {', '.join(settings)} stand beside a list of methods: put them inside the list."
            )
        build_methods(entry["method"])
    frozen = entry.get("frozen", False)
    if not isinstance(frozen, bool):
        raise ValueError(f"frozen must be true or false, got {frozen!r}.")
    adapted = adapted_file(entry.get("adapted"))
    if adapted is not None and frozen:
        raise ValueError("frozen leaves a method as it was drawn, and adapted does not: leave one of them out.")
    own: Any = entry.get("recipe") or {}
    changes_each = bool(recipes) and isinstance(own, Mapping) and "name" not in own
    complete = [recipe_for(own, one) for one in (recipes if changes_each else [recipe])]
    return {
        "method": entry["method"],
        **({} if adapted is None else {"adapted": adapted}),
        **{key: None if entry.get(key) is None else _title(key, entry[key]) for key in ("label", "group")},
        "frozen": frozen,
        "recipe": dict(own) if changes_each else complete[0],
        "grid": dict(grid),
        "factors": dict(factors),
        **({} if entry.get("shots") is None else {"shots": _shots(entry["shots"])}),
        **({} if entry.get("samplings") is None else {"samplings": _seeds("samplings", entry["samplings"])}),
        **settings,
    }
