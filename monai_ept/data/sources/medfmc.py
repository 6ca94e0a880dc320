# SPDX-License-Identifier: Apache-2.0

"""MedFMC: chest X-rays, colon pathology and endoscopy, with the published few-shot lists."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from monai_ept.checks import check_choice
from monai_ept.data.check_records import validate_records
from monai_ept.data.records import DataError, Record, RecordSet, Task
from monai_ept.data.sources.csv_file import read_text
from monai_ept.synthetic.chest import CHEST_CLASSES

__all__ = ["MEDFMC_TASKS", "medfmc", "read_list"]


class _Kind(NamedTuple):
    task: Task
    class_names: tuple[str, ...]
    group: Callable[[str], str]  # from the image's name
    whole: Callable[[str], str] | None = None  # what the lists' groups are parts of, from the image's name


MEDFMC_TASKS = {
    "chest": _Kind(
        "multilabel",
        CHEST_CLASSES,  # in the order of its lists; the drawn chests have the same findings
        lambda name: name,  # no patient is known: an image is a group
    ),
    "colon": _Kind(
        "multiclass",
        ("non_tumor", "tumor"),
        lambda name: name[:-9],  # less "p0001.png": a region of a slide, which the lists call a study
        lambda name: name.partition("-lv1")[0],  # the slide; behind it stands where on it the region lies
    ),
    "endo": _Kind("multilabel", ("ulcer", "erosion", "polyp", "tumor"), lambda name: name[:18]),
}

# Greedy up to the last image suffix: names contain spaces and dots. Labels are separated by commas or blanks.
_LINE = re.compile(r"^(?P<name>.+\.(?:png|jpg|jpeg|bmp|tif|tiff))(?:[\s,]+(?P<labels>\d+(?:[\s,]+\d+)*))?\s*$", re.I)
_SAMPLING = re.compile(r"_(\d+)-shot_(train|val)_exp(\d+)\.txt$")


def read_list(path: str | Path) -> tuple[list[tuple[str, str, list[int] | None]], list[str]]:
    """Read a MedFMC list: on each line a name, then any number of labels, or none.

    Raises:
        DataError: when the file is missing or not text.

    Returns:
        for each line (place, image name, labels or None), and the problems of lines that could not be read.
    """
    path = Path(path)
    rows: list[tuple[str, str, list[int] | None]] = []
    problems = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        place = f"{path.name}:{number}"
        match = _LINE.match(line)
        if match is None:
            problems.append(f"{place}: {line[:80]!r} is not an image name followed by labels that are numbers")
            continue
        labels = match["labels"]
        rows.append((place, match["name"], [int(n) for n in re.split(r"[\s,]+", labels)] if labels else None))
    return rows, problems


def medfmc(
    dataset_dir: str | Path,
    task: str = "endo",
    *,
    lists_dir: str | Path | None = None,
    group: Literal["study", "slide"] | None = None,
    check_images: str = "quick",
) -> RecordSet:
    """Read one of the three MedFMC tasks.

    Training images are those of ``trainval.txt``, test images those of ``test_WithLabel.txt``. Groups are as MedFMC
    defines them: a study in colon (the name without its last nine characters) and endo (its first 18 characters), an
    image in chest. The published few-shot lists come along; see ``sampling`` of :py:func:`few_shot_split`.

    What MedFMC calls a study in colon is a region of a slide, and its lists have regions of one slide in training and
    test. So fresh splits keep slides together; the published lists go by their own studies unless ``group`` is "slide".

    Args:
        dataset_dir: the data folder; images are looked for in it, in ``<task>/images`` and in
            ``MedFMC_train/<task>/images`` and its like.
        task: "chest" (19 labels), "colon" (2 classes) or "endo" (4 labels).
        lists_dir: folder of the list files, or of one folder a task with them; default: ``dataset_dir``.
        group: in colon, "slide" makes slides the groups everywhere, for published lists too, and "study" nowhere;
            default see above.
        check_images: "quick", "full" or "none"; with "none" the lists alone are enough.

    Raises:
        DataError: listing every problem.

    Returns:
        the validated records.

    Example::

        data = medfmc("data/MedFMC", task="endo", lists_dir="data/medfmc_lists")
        split = few_shot_split(data, shots=5, seed=1, sampling="published-clean")
    """
    kind = MEDFMC_TASKS[check_choice("task", task, MEDFMC_TASKS)]
    if group is not None:
        check_choice("group", group, ("study", "slide"))
        if kind.whole is None:
            raise ValueError(f"group is {group!r}, but MedFMC's task {task!r} names no slides: leave it out.")
    root = Path(dataset_dir)
    lists = _lists_folder(Path(lists_dir) if lists_dir is not None else root, task)
    folders = _image_folders(root, task)
    group_of = kind.whole if group == "slide" and kind.whole else kind.group
    expected = 1 if kind.task == "multiclass" else len(kind.class_names)
    records: list[Record] = []
    places: list[str] = []
    problems: list[str] = []
    for file, split in (("trainval.txt", "train"), ("test_WithLabel.txt", "test")):
        if split == "test" and not (lists / file).exists():
            continue
        rows, skipped = read_list(lists / file)
        problems += skipped
        for place, name, values in rows:
            if len(values or ()) != expected:
                problems.append(f"{place}: {len(values or ())} labels instead of {expected}")
                continue
            label = _label(values or [], kind)
            path = next((folder / name for folder in folders if (folder / name).exists()), folders[0] / name)
            records.append({"image": str(path), "label": label, "group": group_of(name), "id": name, "split": split})
            places.append(place)
    published, more = _published(lists, kind, records)
    wider = {record["group"]: kind.whole(record["id"]) for record in records} if kind.whole and group is None else {}
    data = RecordSet(f"medfmc_{task}", records, kind.class_names, kind.task, published=published, wider=wider)
    return validate_records(data, root=root, where=places, problems=problems + more, check_images=check_images)


def _label(values: list[int], kind: _Kind) -> int | list[int]:
    return values[0] if kind.task == "multiclass" else values


def _published(
    lists: Path, kind: _Kind, records: list[Record]
) -> tuple[dict[tuple[int, int], dict[str, list[str]]], list[str]]:
    known = {record["id"]: record["label"] for record in records if record["split"] == "train"}
    found: dict[tuple[int, int], dict[str, list[str]]] = {}
    problems: list[str] = []
    for path in sorted(lists.glob("*-shot_*_exp*.txt")):
        match = _SAMPLING.search(path.name)
        if match is None:
            continue
        rows, skipped = read_list(path)
        problems += skipped
        for place, name, values in rows:
            if name not in known:
                problems.append(f"{place}: {name!r} is not in trainval.txt")
            elif values is None or _label(values, kind) != known[name]:
                problems.append(f"{place}: {name!r} has labels {values}, in trainval.txt {known[name]}")
        key = int(match[1]), int(match[3])
        found.setdefault(key, {"train": [], "val": []})[match[2]] = [name for _, name, _ in rows]
    return found, problems


def _lists_folder(base: Path, task: str) -> Path:
    candidates = [base / task, base, base / "medfmc_lists" / task, base / "data_anns" / "MedFMC" / task]
    for folder in candidates:
        if (folder / "trainval.txt").exists():
            return folder
    tried = ", ".join(repr(str(folder)) for folder in candidates)
    raise DataError(f"medfmc_{task}", [f"trainval.txt is in none of {tried}"])


def _image_folders(root: Path, task: str) -> list[Path]:
    bases = [root, *(root / f"MedFMC_{part}" for part in ("train", "val", "test"))]
    candidates = [folder for base in bases for folder in (base / task / "images", base / task)]
    candidates += [root / "images", root]
    return [folder for folder in candidates if folder.is_dir()] or [root]
