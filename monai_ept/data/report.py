# SPDX-License-Identifier: Apache-2.0

"""Everything that is worth knowing of a data folder before a training."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monai_ept.data.few_shot import few_shot_split
from monai_ept.data.find_files import FindFiles
from monai_ept.data.image_facts import describe_images, facts_of
from monai_ept.data.image_file import no_regular_file
from monai_ept.data.image_transforms import LoadRecordd
from monai_ept.data.keep_together import contradictions, copies_of, joined_groups
from monai_ept.data.near_copies import NearCopy, near_copies_of
from monai_ept.data.records import DataError, Record, RecordSet
from monai_ept.data.sources.class_folders import no_classes
from monai_ept.data.sources.csv_file import SPLIT_NAMES
from monai_ept.data.sources.recognise import recognise
from monai_ept.data.sources.registry import load_source
from monai_ept.data.split import FewShotSplit, leaks
from monai_ept.files import usable_folder
from monai_ept.reporting.csv_file import harmless_cell, write_csv
from monai_ept.reporting.figure import figure_of, save_figure

__all__ = ["DataReport", "about_split", "check_data"]

_SHOWN = 5  # examples of each kind


@dataclass(frozen=True)
class DataReport:
    """What was found.

    Args:
        text: all of it, to be printed.
        refused: why a training would refuse the data, in one line; empty if it would not.
        data: the records, where they could be read; their ``origin`` says how.
        split: the largest of up to five shots that has images of all classes to train on and to test on.
    """

    text: str
    refused: str = ""
    data: RecordSet | None = None
    split: FewShotSplit | None = None


def check_data(
    dataset_dir: str | Path,
    source: str | None = None,
    *,
    near: bool = True,
    out: str | Path | None = None,
    **options: Any,
) -> DataReport:
    """Look through a data set: classes, groups, sizes, values, what is unreadable or odd, copies and near copies.

    Args:
        dataset_dir: the data folder.
        source: how it is read, one of :py:func:`list_sources`; None finds out, see ``recognise``.
        near: decode every image, to find the range of values, damage in its middle, and near copies.
        out: a folder for ``near_copies.csv`` and ``near_copies.png``, the pairs side by side.
        options: options of the source.

    Raises:
        ValueError: when there is no such source or option.

    Returns:
        the report.
    """
    lines: list[str] = []
    try:
        if source is None:
            found = recognise(dataset_dir)
            source, dataset_dir, options = found.source, found.dataset_dir, {**found.options, **options}
            lines.append(f"source     {source}: {found.why}")
            given = ", ".join(f"{name}={value}" for name, value in options.items())
            lines += [f"options    {given}"] if given else []
        checks = {} if source.startswith("synthetic") else {"check_images": "full" if near else "quick"}
        data = load_source(source, dataset_dir, **{**checks, **options})
    except TypeError as error:
        raise ValueError(str(error)) from None
    except DataError as error:
        lines += [*_about_files(dataset_dir, []), "", f"problems   {len(error.problems)}"]
        lines += _some(error.problems, error.max_listed)
        return DataReport("\n".join(lines).strip(), _in_one_line(error.problems))
    lines += _about_records(data)
    lines += [f"classes?   {said}" for said in _class_folders(dataset_dir, data.class_names)]
    lines += [
        f"{name:<10} {text}" for name, text in describe_images(facts_of(data.records, data.spatial_dims, decode=near))
    ]
    lines += _about_files(dataset_dir, data.records) + _about_copies(data)
    problems, _ = contradictions(data)
    if problems:
        lines += ["", f"problems   {len(problems)}", *_some(problems, 20)]
    if near and data.spatial_dims == 2:
        pairs = near_copies_of(data)
        lines += _about_near(data, pairs)
        if out is not None and pairs:
            lines += [f"           {path}" for path in _write_pairs(usable_folder(out), data, pairs)]
    split = None
    if not problems:
        try:
            split, warned = _possible_split(data)
        except DataError as error:
            problems = error.problems
        else:
            lines += ["", f"split      {split.settings['shots']} shots:"]
            lines += _some([*str(split.summary).splitlines(), *warned], 99)
    return DataReport("\n".join(lines).strip(), _in_one_line(problems), data, split)


def _possible_split(data: RecordSet) -> tuple[FewShotSplit, list[str]]:
    """As many shots as there are, up to five, with images left to test on; and what it warns of."""
    for shots in (5, 4, 3, 2, 1):
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            split = few_shot_split(data, shots)
        trained, tested = split.summary["train"]["groups_by_class"], split.summary["test"]["images_by_class"]
        if min(trained.values()) >= shots and min(tested.values()):
            break
    return split, [str(warning.message) for warning in warned]


def about_split(split: FewShotSplit, spatial_dims: int = 2) -> list[str]:
    """
    The lines in which a training says what its data are, before its first step.

    Args:
        split: the split; of its images, only the headers of those to train on are read.
    """
    origin = split.origin or {}
    folder = origin.get("dataset_dir")
    sizes = ", ".join(f"{name} {text}" for name, text in describe_images(facts_of(split.train, spatial_dims)))
    return [
        f"data      {split.source}" + (f", read from {folder} as source {origin['source']}" if folder else ""),
        f"split     {len(split.train)} images to train on, {len(split.val)} to validate, {len(split.test)} to test",
        *(f"          {line}" for line in str(split.summary).splitlines() if split.summary),
        *([f"images    {sizes} (those to train on)"] if sizes else []),
        *(f"classes?  {said}" for said in (_class_folders(folder, split.class_names) if folder else [])),
    ]


def _class_folders(dataset_dir: str | Path, names: Sequence[str]) -> list[str]:
    """What classes look like that are named after folders."""
    parts = [path for path in _folders(dataset_dir) if path.name.lower() in SPLIT_NAMES]
    places = [Path(above, name) for above in (dataset_dir, *parts) for name in names]
    inside = {place.name: [path.name for path in _folders(place)] for place in places if place.is_dir()}
    return no_classes(names, inside) if len(inside) == len(names) else []


def _folders(path: str | Path) -> list[Path]:
    if not Path(path).is_dir():
        return []
    with os.scandir(path) as entries:  # it tells folders from files without a look at each of ten thousand files
        return [Path(entry.path) for entry in entries if entry.is_dir()]


def _in_one_line(problems: Sequence[str]) -> str:
    if not problems:
        return ""
    more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
    return f"{problems[0]}{more}"


def _some(items: Sequence[str], number: int = _SHOWN) -> list[str]:
    shown = [f"           {item}" for item in items[:number]]
    return shown + ([f"           … and {len(items) - number} more"] if len(items) > number else [])


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _about_records(data: RecordSet) -> list[str]:
    groups = len({record["group"] for record in data.records})
    lines = [f"images     {len(data):,} of {data.num_classes} classes: {_counted(data.counts())}"]
    alone = ": every image stands alone. Where a patient has several, name the groups (docs/data.md)"
    lines.append(f"groups     {groups:,}{alone if groups == len(data) else ': patients, lesions or studies'}")
    parts = Counter(record["split"] for record in data.records if record.get("split"))
    if parts:
        lines.append(f"official   {_counted(parts)}")
        whole = joined_groups(data)
        found = leaks(*([r for r in whole.records if r.get("split") == part] for part in ("train", "val", "test")))
        lines += _some(found)
    return lines


def _about_files(dataset_dir: str | Path, records: Sequence[Record]) -> list[str]:
    """What lies in the folder and is no image of a record."""
    if not Path(dataset_dir).is_dir():
        return []
    find = FindFiles()
    used = {os.path.abspath(record["image"]) for record in records if isinstance(record["image"], (str, Path))}
    others: Counter[str] = Counter()
    odd: list[str] = []
    links = 0
    for path in find.below(dataset_dir):
        links += path.is_symlink()
        problem = no_regular_file(path)
        if problem:
            odd.append(f"{str(path)!r} {problem}")
        elif os.path.abspath(path) not in used and os.path.abspath(path.parent) not in used:
            others[path.suffix.lower() or "without suffix"] += 1
    lines = []
    if records and others:
        lines.append(f"other files {_counted(others)}")
    if links or find.again:
        lines.append(f"links      {links} to files; {len(find.again)} folders are there again and were passed over")
    if odd or find.problems:
        lines += [f"odd        {len(odd) + len(find.problems)}", *_some([*odd, *find.problems])]
    return lines


def _about_copies(data: RecordSet) -> list[str]:
    copies = copies_of(data)
    extra = sum(len(several) - 1 for several in copies)
    if not extra:
        return ["copies     none"]
    said = f"copies     {extra} images are exact copies of others, in {len(copies)} sets; a split takes one of each"
    return [said, *_some([" = ".join(several[:4]) + (" = …" if len(several) > 4 else "") for several in copies])]


def _about_near(data: RecordSet, pairs: Sequence[NearCopy]) -> list[str]:
    if not pairs:
        return ["near       none"]
    by_id = {record["id"]: record for record in joined_groups(data).records}
    apart = sum(by_id[pair.first]["group"] != by_id[pair.second]["group"] for pair in pairs)
    labels = sum(by_id[pair.first]["label"] != by_id[pair.second]["label"] for pair in pairs)
    images = len({name for pair in pairs for name in pair[:2]})
    lines = [
        f"near       {len(pairs)} pairs of near copies among {images} images; {apart} pairs are in two groups, "
        f"{labels} have two labels",
        *_some([f"{pair.likeness:.2f}  {pair.first}  {pair.second}" for pair in pairs]),
    ]
    if apart:
        lines.append('           few_shot_split(…, near_copies="group") keeps them together')
    return lines


def _write_pairs(folder: Path, data: RecordSet, pairs: Sequence[NearCopy]) -> list[Path]:
    by_id = {record["id"]: record for record in data.records}
    rows = [
        [
            *(harmless_cell(name) for name in pair[:2]),
            pair.likeness,
            *(str(by_id[name]["label"]) for name in pair[:2]),
            *(harmless_cell(by_id[name]["group"]) for name in pair[:2]),
        ]
        for pair in pairs
    ]
    header = ["first", "second", "likeness", "first_label", "second_label", "first_group", "second_group"]
    return [write_csv(folder / "near_copies.csv", header, rows), _draw_pairs(folder, by_id, pairs[:24])]


def _draw_pairs(folder: Path, by_id: Mapping[str, Record], pairs: Sequence[NearCopy]) -> Path:
    columns = min(3, len(pairs))
    figure = figure_of(3.6 * columns, 1.9 * -(-len(pairs) // columns))
    grid = figure.subplots(-(-len(pairs) // columns), 2 * columns, squeeze=False).reshape(-1)
    for axes in grid:
        axes.axis("off")
    for at, pair in enumerate(pairs):
        for axes, name in zip(grid[2 * at : 2 * at + 2], pair[:2], strict=True):
            axes.imshow(_picture(by_id[name]), cmap="gray")
        grid[2 * at].set_title(f"{pair.likeness:.2f}", fontsize=8, loc="left", pad=3)
    return save_figure(figure, folder / "near_copies.png")


def _picture(record: Record) -> np.ndarray:
    image = np.asarray(LoadRecordd("image").convert(record["image"], record["id"]), dtype=np.float32)
    image = np.moveaxis(image[:3] if image.shape[0] >= 3 else image[:1], 0, -1)
    low, high = image.min(), image.max()
    return ((image - low) / max(high - low, 1e-6)).squeeze()
