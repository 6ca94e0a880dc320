# SPDX-License-Identifier: Apache-2.0

"""Chooses K groups (or images) per class, honestly and in the same way everywhere."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

from monai_ept.checks import check_choice, check_whole
from monai_ept.data.keep_together import contradictions, copies_of, joined_groups, one_of_each
from monai_ept.data.near_copies import near_copies_of
from monai_ept.data.records import DataError, Record, RecordSet, positive_classes
from monai_ept.data.split import FewShotSplit, leaks, meaning
from monai_ept.data.split_summary import PARTS, describe

__all__ = ["few_shot_split"]


def few_shot_split(
    data: RecordSet,
    shots: int,
    seed: int = 0,
    *,
    by: Literal["group", "image"] = "group",
    val: Literal["none", "shots", "rest"] | None = None,
    test_fraction: float | None = None,
    sampling: Literal["fresh", "published", "published-clean"] = "fresh",
    near_copies: Literal["group"] | None = None,
    crossing: Literal["test", "train"] = "test",
) -> FewShotSplit:
    """Split a data set into K shots for training, a validation set and a test set that share no image and no group.

    What is chosen depends on the seed, the ids, groups, labels and class names, through SHA-256 and nothing else. For
    multi-class data the K-shot set of a seed contains every smaller set of that seed.

    - **Training**: for each class, rarest first, groups that contain it are taken until there are K with a taken image
      of that class. Of a taken group, the images of that class are used; its other images are used nowhere. With
      several labels per image, images taken for one label count for all their labels, so that a frequent label may
      end up with more than K groups.
    - **Test**: the official test split if there is one; otherwise ``test_fraction`` of each class's groups, the same
      for every seed; otherwise all that is left.
    - **Validation**: from the official validation split if there is one, otherwise from what is left of training.
    - **Copies**: files with the same content are one image. Their groups become one, and one of them is used, the first
      by its id; the official test split stays as it is.

    Args:
        data: the records.
        shots: K.
        seed: which sampling; for published lists their number.
        by: "group": K patients (studies, lesions) per class. "image": K images per class; groups still don't cross
            from one part to another.
        val: "none", "shots" (as many shots as training) or "rest". Default: "none"; for published lists, theirs.
        test_fraction: share of the groups to hold out for testing if there is no official test split.
        sampling: "fresh" draws anew; "published" takes the lists that came with the data as they are and warns of
            what is wrong with them; "published-clean" removes repeated rows from training, and from validation
            and test every image of a group that is in training.
        near_copies: "group" also puts images into one group that look the same (saved anew, resized, turned, mirrored),
            see :py:func:`monai_ept.data.near_copies.find_near_copies`. It decodes every image.
        crossing: where a group belongs that is in the official test split and outside of it: "test" leaves its other
            images out, "train" leaves those in the test split out, for every seed alike.

    Raises:
        ValueError: when the arguments don't fit together or the data.
        DataError: when one file is there with different labels, or when the finished split is not disjoint. That would
            be a bug here; the check always runs.

    Returns:
        the split, with a summary that names each class with fewer than K.

    Example::

        data = load_source("isic2018", "data/isic2018")
        split = few_shot_split(data, shots=5, seed=1)
        split.save("splits/isic2018_5shot_1.json")
    """
    if isinstance(shots, bool) or not isinstance(shots, int) or shots < 1:
        raise ValueError(f"shots is {shots!r}, it must be a whole number from 1 upwards.")
    check_whole("seed", seed, 0)
    check_choice("by", by, ("group", "image"))
    check_choice("val", val or "none", ("none", "shots", "rest"))
    check_choice("sampling", sampling, ("fresh", "published", "published-clean"))
    check_choice("crossing", crossing, ("test", "train"))
    settings: dict[str, Any] = {"sampling": sampling, "shots": shots, "seed": seed, "by": by, "val": val}
    settings["test_fraction"] = test_fraction
    if crossing != "test":
        settings["crossing"] = crossing
    pairs: list[tuple[str, str]] = []
    if near_copies is not None:
        settings["near_copies"] = check_choice("near_copies", near_copies, ("group",))
        pairs = [(pair.first, pair.second) for pair in near_copies_of(data)]
    if sampling != "fresh":
        if by != "group" or test_fraction is not None or val == "shots" or crossing != "test":
            raise ValueError(
                f"sampling={sampling!r} fixes what is chosen, so leave by, test_fraction, crossing and val='shots'."
            )
        # The lists go by the groups that they were made with, unless somebody asks for more.
        joined = joined_groups(data, pairs) if pairs else data
        split, name = _published(joined, settings), f"{data.name} {shots}-shot {seed}"
        aside = _crossing_wholes(split, data)
    else:
        settings["val"] = val or "none"
        if test_fraction is not None and not (isinstance(test_fraction, (int, float)) and 0 < test_fraction < 1):
            raise ValueError(f"test_fraction is {test_fraction!r}, it must lie between 0 and 1.")
        joined = joined_groups(data, pairs)
        split, name, aside = _fresh(joined, settings, data), data.name, []
    if joined is not data:
        split.summary["joined"] = {"near_copies": [list(pair) for pair in pairs]}
        split = replace(split, source_hash=data.source_hash)
    if sampling != "published":
        split.check()
    for warning in [*split.summary["warnings"], *aside]:
        warnings.warn(f"{name}: {warning}", stacklevel=2)
    return split


def _fresh(data: RecordSet, settings: dict[str, Any], found: RecordSet) -> FewShotSplit:
    """A split of records that were ``found`` with their copies, and whose groups are wholes by now."""
    shots, seed, val, test_fraction = (settings[key] for key in ("shots", "seed", "val", "test_fraction"))
    problems, left_out = contradictions(found)
    if problems:
        raise DataError(data.name, problems)
    copies = copies_of(found)
    notes: list[str] = []
    if copies:
        number, (first, second, *_) = sum(len(several) - 1 for several in copies), copies[0]
        notes.append(f"{number} images are exact copies of others, such as {second!r} of {first!r}: they count as one")
    if left_out:
        notes.append(f"{len(left_out)} of them have labels that contradict, and are in an official test split only")
    unit = "group" if settings["by"] == "group" else "id"
    test, *pools = _official_parts(data, notes, settings.get("crossing", "test"))
    pool, val_pool = (
        one_of_each([record for record in records if record["id"] not in left_out], copies) for records in pools
    )
    if not test and test_fraction is not None:
        held_out = _hold_out(pool, data, test_fraction)
        test = [record for record in pool if record["group"] in held_out]
        pool, val_pool = _without(pool, held_out), _without(val_pool, held_out)
    elif test and test_fraction is not None:
        raise ValueError(f"{data.name} has an official test split, so test_fraction must be None.")
    elif not test and val == "rest":
        raise ValueError(
            f"{data.name} has no official test split, and val='rest' would leave nothing to test on; set test_fraction."
        )

    train = _choose(pool, data, shots, seed, unit, "train")
    train_groups = _groups(train)
    rest = _without(pool, train_groups)
    candidates = _without(val_pool, train_groups) if data.official("val") else rest
    chosen: list[Record] = []
    if val == "shots":
        chosen = _choose(candidates, data, shots, seed, unit, "val")
    elif val == "rest":
        chosen = candidates
    if not test:
        test = _without(rest, _groups(chosen))

    unused = {"unused_images": len(data) - len(train) - len(chosen) - len(test)}
    return _split([_by_id(part) for part in (train, chosen, test)], data, settings, notes, unused)


def _official_parts(
    data: RecordSet, notes: list[str], crossing: str
) -> tuple[list[Record], list[Record], list[Record]]:
    """Test records, records to choose training from, and records to choose validation from, by official split."""
    test, val_pool = data.official("test"), data.official("val")
    pool = [record for record in data.records if record.get("split") not in ("test", "val")]
    if not pool:
        raise DataError(data.name, ["every record belongs to the official val or test split, none is left to train on"])
    if crossing == "train":
        clean = _without(test, _groups(pool) | _groups(val_pool))
        if len(clean) < len(test):
            notes.append(
                f"{len(test) - len(clean)} of {len(test)} images of the official test split are left out because their "
                "group is outside of it, too"
            )
        test = clean
    # The official test set stays whole, so a group that crosses into it costs the training side.
    test_groups = _groups(test)
    for name, records in (("training", pool), ("validation", val_pool)):
        number = sum(record["group"] in test_groups for record in records)
        if number:
            notes.append(f"{number} {name} images are left out because their group is in the official test split")
    return test, _without(pool, test_groups), _without(val_pool, test_groups)


def _choose(
    candidates: Sequence[Record], data: RecordSet, shots: int, seed: int, unit: str, purpose: str
) -> list[Record]:
    """K groups (images) per class, rarest class first; see :py:func:`few_shot_split`."""
    taken: dict[str, Record] = {}
    for class_name, units in _rarest_first(candidates, data, unit):
        already = {name for name, records in units.items() if any(record["id"] in taken for record in records)}
        order = sorted(units.keys() - already, key=_ranking(seed, purpose, class_name))
        for name in order[: max(0, shots - len(already))]:
            taken.update((record["id"], record) for record in units[name])
    return list(taken.values())


def _hold_out(pool: Sequence[Record], data: RecordSet, fraction: float) -> set[str]:
    """The groups of the test set, a share of each class, the same for every seed; rarest class first."""
    negative = _groups(record for record in pool if not positive_classes(record["label"]))
    held_out: set[str] = set()
    for class_name, members in _rarest_first(pool, data, "group"):
        negative -= members.keys()
        wanted = round(fraction * len(members)) - len(members.keys() & held_out)
        held_out.update(sorted(members.keys() - held_out, key=_ranking("test", class_name))[: max(0, wanted)])
    # Images without any positive label are a part of reality, too.
    held_out.update(sorted(negative, key=_ranking("test", None))[: round(fraction * len(negative))])
    return held_out


def _rarest_first(records: Sequence[Record], data: RecordSet, unit: str) -> list[tuple[str, dict[str, list[Record]]]]:
    """Class names, those with the fewest groups (images) first, and the records of each group (image) of the class."""
    members: list[dict[str, list[Record]]] = [{} for _ in data.class_names]
    for record in records:
        for index in positive_classes(record["label"]):
            members[index].setdefault(record[unit], []).append(record)
    return sorted(zip(data.class_names, members, strict=True), key=lambda one: len(one[1]))


def _ranking(*salt: Any) -> Callable[[str], tuple[str, str]]:
    def rank(name: str) -> tuple[str, str]:
        return hashlib.sha256(json.dumps([*salt, name]).encode()).hexdigest(), name

    return rank


def _split(
    parts: Sequence[list[Record]], data: RecordSet, settings: dict[str, Any], notes: list[str], more: dict[str, Any]
) -> FewShotSplit:
    """The split with its summary, which also says what each part lacks."""
    counts = {name: describe(part, data) for name, part in zip(PARTS, parts, strict=True)}
    what = "groups" if settings["by"] == "group" else "images"
    for part in ("train", "val") if settings["val"] == "shots" else ("train",):
        for name, count in counts[part][f"{what}_by_class"].items():
            if count < settings["shots"]:
                notes.append(f"class {name!r} has only {count} of {settings['shots']} {what} in {part}")
    images = counts["test"]["images_by_class"]
    notes += [f"class {name!r} has no image in test" for name, count in images.items() if not count]
    summary = {**counts, **more, "warnings": notes}
    train, val, test = parts
    return FewShotSplit(train, val, test, data.name, data.source_hash, settings, summary, **meaning(data))


def _groups(records: Iterable[Record]) -> set[str]:
    return {record["group"] for record in records}


def _without(records: Sequence[Record], groups: set[str]) -> list[Record]:
    return [record for record in records if record["group"] not in groups]


def _by_id(records: Sequence[Record]) -> list[Record]:
    return sorted(records, key=lambda record: record["id"])


def _published(data: RecordSet, settings: dict[str, Any]) -> FewShotSplit:
    shots, number = settings["shots"], settings["seed"]
    lists = data.published.get((shots, number))
    if lists is None:
        have = ", ".join(f"{k} shots number {n}" for k, n in sorted(data.published)) or "none"
        raise ValueError(f"{data.name} has no published list for {shots} shots and seed (number) {number}, but {have}.")
    by_id = {record["id"]: record for record in data.records}
    train = [by_id[identity] for identity in lists["train"]]
    chosen = [] if settings["val"] == "none" else [by_id[identity] for identity in lists["val"]]
    test = data.official("test")
    notes = [f"published list: {problem}" for problem in leaks(train, chosen, test)]
    if settings["sampling"] == "published-clean":
        rows = len(train), len(chosen), len(test)
        train = _by_id(list({record["id"]: record for record in train}.values()))
        chosen = _by_id(list({record["id"]: record for record in _without(chosen, _groups(train))}.values()))
        test = _without(test, _groups(train) | _groups(chosen))
        removed = [before - len(part) for before, part in zip(rows, (train, chosen, test), strict=True)]
        if any(removed):
            said = f"removed {removed[0]} of {rows[0]} train rows and {removed[1]} of {rows[1]} val rows"
            notes.append(f"{said} and {removed[2]} of {rows[2]} test rows" if removed[2] else said)
    return _split((train, chosen, test), data, settings, notes, {})


def _crossing_wholes(split: FewShotSplit, data: RecordSet) -> list[str]:
    """What crosses in a published split that its own groups do not show: parts of one slide, and copies."""
    wholes = {record["id"]: record for record in joined_groups(data).records}
    parts = [[wholes[record["id"]] for record in part] for part in (split.train, split.val, split.test)]
    known = leaks(split.train, split.val, split.test)
    found = [problem for problem in leaks(*parts) if problem not in known]
    return [f"with copies and parts of one slide kept together, {problem}" for problem in found]
