# SPDX-License-Identifier: Apache-2.0

"""From a sweep to its cells."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin, get_type_hints

from monai_ept.benchmark.plan.cell import SPLIT, Cell, method_name
from monai_ept.benchmark.plan.sweep_file import MOST_CELLS, OF_METHOD, Sweep, recipe_for
from monai_ept.engines.recipe import SETTINGS, Recipe, recipe_of
from monai_ept.methods import build_methods, method_class

__all__ = ["sweep_cells"]


def sweep_cells(sweep: Sweep) -> list[Cell]:
    """
    All cells of a sweep, one sampling after the other, so that a sweep that is stopped early has whole tables.

    Raises:
        ValueError: when there are too many, a method is listed twice, or a setting is wrong.
    """
    repeats = (sweep.seeds, sweep.samplings, sweep.sources, sweep.backbones, sweep.shots)
    number = sum(_rows(sweep, entry) for entry in sweep.methods)
    if number > MOST_CELLS:
        raise ValueError(
            f"sweep {sweep.name!r} asks for {number:,} cells, and one may have {MOST_CELLS:,}: "
            "take fewer samplings, values or methods, or make several sweeps of it."
        )
    rows = [(entry, row) for entry in sweep.methods for row in _variants(sweep, entry)]
    cells: dict[str, Cell] = {}
    for seed, sampling, source, backbone, shots, (entry, row) in itertools.product(*repeats, rows):
        if sampling not in entry.get("samplings", sweep.samplings) or shots not in entry.get("shots", sweep.shots):
            continue
        settings = {key: value for key, value in source.items() if key not in ("label", *SPLIT)}
        cell = Cell(
            **row,
            source=source["label"],
            source_settings=settings,
            backbone=backbone["name"],
            pretrained=backbone["pretrained"],
            img_size=backbone["img_size"],
            backbone_settings=backbone.get("backbone_settings", {}),
            shots=shots,
            sampling=sampling,
            seed=seed,
            val=sweep.val,
            split={key: source[key] for key in SPLIT},
        )
        other = cells.setdefault(cell.id, cell)
        if other is not cell:
            raise ValueError(
                f"methods {other.label!r} and {cell.label!r} of sweep {sweep.name!r} are the same: leave one out."
            )
    return list(cells.values())


def _rows(sweep: Sweep, entry: Mapping[str, Any]) -> int:
    """How many cells an entry of a sweep has, without making them."""
    repeats = (sweep.seeds, entry.get("samplings", sweep.samplings), sweep.sources, sweep.backbones)
    factors = (
        entry.get("shots", sweep.shots),
        _recipes(sweep, entry),
        *_lists(entry).values(),
        *entry["grid"].values(),
    )
    return math.prod(map(len, (*repeats, *factors)))


def _recipes(sweep: Sweep, entry: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The recipes of an entry, each with what a label says of it: nothing where all are trained by one."""
    own = entry["recipe"]
    if not sweep.recipes:
        return [("", own)]
    if "name" in own:  # trained by that alone
        return [("" if entry["label"] else own["name"], own)]
    return [(one["label"], recipe_for(own, one)) for one in sweep.recipes]


def _lists(entry: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The settings of an entry that have a list of values."""
    lists = {
        key: value for key, value in entry.items() if key not in OF_METHOD and _several(entry["method"], key, value)
    }
    for key, values in lists.items():
        if not values:
            raise ValueError(f"{key} of method {entry['method']!r} is an empty list: name at least one value.")
    return lists


def _variants(sweep: Sweep, entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What an entry of a sweep says of its cells, for each recipe and each combination of settings with a list."""
    given = {key: value for key, value in entry.items() if key not in OF_METHOD}
    lists = _lists(entry)
    for values, (said, base) in itertools.product(itertools.product(*lists.values()), _recipes(sweep, entry)):
        chosen = dict(zip(lists, values, strict=True))
        settings = {**given, **chosen}
        label = entry["label"] or _label(entry["method"], {} if lists else given)
        if entry["frozen"] and not entry["label"]:
            label += " frozen"
        if entry.get("adapted") and not entry["label"]:
            label += " adapted"
        if chosen:
            label += " " + " ".join(f"{key}={_short(value)}" for key, value in chosen.items())
        group = entry["group"] or (entry["label"] or _label(entry["method"], {}) if chosen else None)
        factors = {**entry["factors"], **chosen, **({"recipe": said} if said else {})}
        for point in itertools.product(*entry["grid"].values()):
            grid = dict(zip(entry["grid"], point, strict=True))
            recipe = {**base, **{key: value for key, value in grid.items() if key in SETTINGS}}
            full = {**settings, **{key: value for key, value in grid.items() if key not in SETTINGS}}
            try:  # an error now, not after hours
                methods = build_methods(entry["method"], **full)
            except TypeError as error:
                raise ValueError(f"method {method_name(entry['method'])!r} cannot have {full}: {error}") from None
            yield {
                "method": entry["method"],
                "method_settings": full,
                "label": f"{label}, {said}" if said else label,
                "group": group,
                "frozen": entry["frozen"],
                "adapted": entry.get("adapted"),
                "recipe": _said(recipe_of(recipe).for_methods(methods)),
                "grid": grid,
                "factors": factors,
            }


def _said(recipe: Recipe) -> dict[str, Any]:
    """A recipe in plain values, alike for all that lead to the same: what is only solved is never augmented."""
    return recipe.to_dict() if recipe.epochs else recipe.changed(augment=False).to_dict()


def _several(method: Any, key: str, value: Any) -> bool:
    """Whether a list under a setting is a list of values, and not one value that is a list."""
    if not isinstance(value, list) or not isinstance(method, str):
        return False
    hint = get_type_hints(method_class(method)).get(key)
    kinds = [kind for kind in (hint, *get_args(hint)) if get_origin(kind) is Sequence]
    if not kinds:
        return True
    # Layers are named by a word or by a list of numbers, targets by a list of words.
    return all(isinstance(item, list) or (isinstance(item, str) and get_args(kinds[0]) == (int,)) for item in value)


def _label(method: Any, settings: Mapping[str, Any]) -> str:
    return method_name(method) + "".join(f" {key}={_short(value)}" for key, value in settings.items())


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ",".join(map(_short, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)
