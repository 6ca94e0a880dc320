# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import random
import warnings
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_ept.data import DataError, FewShotSplit, RecordSet, few_shot_split, load_source
from monai_ept.data import split as split_module
from monai_ept.data.records import positive_classes
from monai_ept.data.split import leaks
from tests.data.conftest import toy


def ids(records: list) -> list[str]:
    return [record["id"] for record in records]


@st.composite
def record_sets(draw: st.DrawFn) -> RecordSet:
    """Messy data: groups of mixed labels, official splits that cut through groups, rare and missing classes."""
    classes = draw(st.integers(1, 4))
    task = draw(st.sampled_from(["multiclass", "multilabel"]))
    official = draw(st.booleans())
    one = st.integers(0, classes - 1)
    label = one if task == "multiclass" else st.lists(st.integers(0, 1), min_size=classes, max_size=classes)
    rows = draw(
        st.lists(
            st.tuples(label, st.integers(0, 9), st.sampled_from(["train", "train", "val", "test"])),
            min_size=1,
            max_size=40,
        )
    )
    records = [
        {"image": f"{n}.png", "label": value, "group": f"g{group}", "id": f"i{n}"}
        | ({"split": split} if official else {})
        for n, (value, group, split) in enumerate(rows)
    ]
    return RecordSet("messy", records, tuple("abcd"[:classes]), task)  # type: ignore[arg-type]


@settings(max_examples=300, deadline=None)
@given(
    data=record_sets(),
    shots=st.integers(1, 4),
    seed=st.integers(0, 5),
    by=st.sampled_from(["group", "image"]),
    val=st.sampled_from(["none", "shots", "rest"]),
    fraction=st.sampled_from([None, 0.2, 0.5]),
    order=st.randoms(use_true_random=False),
)
def test_split_keeps_its_promises(
    data: RecordSet, shots: int, seed: int, by: str, val: str, fraction: float | None, order: random.Random
) -> None:
    has_test = bool(data.official("test"))
    if val == "rest":
        fraction = fraction or 0.3
    options = {"by": by, "val": val, "test_fraction": None if has_test else fraction}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            split = few_shot_split(data, shots, seed, **options)  # type: ignore[arg-type]
        except DataError as error:
            assert "none is left to train on" in str(error)
            assert all(record.get("split") in ("val", "test") for record in data.records)
            return
        shuffled = RecordSet("messy", order.sample(data.records, len(data)), data.class_names, data.task)
        again = few_shot_split(shuffled, shots, seed, **options)  # type: ignore[arg-type]

    assert again.to_json() == split.to_json()
    assert leaks(split.train, split.val, split.test) == []
    for first, second in ((split.train, split.val), (split.train, split.test), (split.val, split.test)):
        assert not {r["group"] for r in first} & {r["group"] for r in second}
        assert not set(ids(first)) & set(ids(second))
    assert FewShotSplit.from_json(split.to_json(), data) == split
    if has_test:
        assert sorted(ids(split.test)) == sorted(ids(data.official("test")))
    if data.official("val"):
        assert all(record["split"] == "val" for record in split.val)

    # Each class has K, or all there is outside of test; and whoever has fewer is named.
    free = [r for r in data.records if r.get("split") not in ("val", "test")]
    test_groups = {r["group"] for r in split.test}
    unit = "group" if by == "group" else "id"
    for index, name in enumerate(data.class_names):
        have = {r[unit] for r in split.train if index in positive_classes(r["label"])}
        if has_test:
            there = {r[unit] for r in free if r["group"] not in test_groups and index in positive_classes(r["label"])}
            assert len(have) >= min(shots, len(there))
        if data.task == "multiclass":
            assert len(have) <= shots
        named = any(f"class {name!r} has only {len(have)} of {shots}" in str(w.message) for w in caught)
        assert named == (len(have) < shots)
        assert any(f"class {name!r} has only" in w for w in split.summary["warnings"]) or len(have) >= shots


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000))
def test_smaller_sets_lie_in_larger_ones(seed: int) -> None:
    data = toy(groups=12)
    sets = [set(ids(few_shot_split(data, shots, seed).train)) for shots in (1, 5, 10)]
    assert sets[0] < sets[1] < sets[2]


def test_seeds_differ() -> None:
    data = toy(groups=30)
    assert len({tuple(ids(few_shot_split(data, 2, seed).train)) for seed in range(20)}) == 20


def test_choice_is_pinned() -> None:
    """Whoever changes the algorithm changes everybody's experiments: this must fail then."""
    split = few_shot_split(toy(), 1, seed=7, val="shots")
    assert ids(split.train) == ["c0_g00_i0", "c0_g00_i1", "c1_g02_i0", "c1_g02_i1", "c2_g00_i0", "c2_g00_i1"]
    assert ids(split.val) == ["c0_g03_i0", "c0_g03_i1", "c1_g03_i0", "c1_g03_i1", "c2_g05_i0", "c2_g05_i1"]
    several = few_shot_split(toy(task="multilabel"), 2, seed=7, by="image")
    assert ids(several.train) == ["c1_g00_i0", "c1_g04_i0", "c2_g00_i1", "c2_g02_i1", "c2_g04_i0"]
    assert split.hash == "a8f84f8b5a02"


def test_by_image_counts_images_but_keeps_groups_together() -> None:
    data = toy(groups=4, images=5)
    split = few_shot_split(data, 3, by="image")
    assert Counter(r["label"] for r in split.train) == {0: 3, 1: 3, 2: 3}
    assert not {r["group"] for r in split.train} & {r["group"] for r in split.test}
    assert split.summary["unused_images"] == len(data) - len(split.train) - len(split.test) > 0


def test_group_brings_the_images_of_its_class_only() -> None:
    records = [
        {"image": "", "label": label, "group": group, "id": f"{group}{label}{n}"}
        for group in ("p", "q", "r", "s")
        for label in (0, 1)
        for n in range(2)
    ]
    split = few_shot_split(RecordSet("mixed", records, ("a", "b")), 1, seed=1)
    assert Counter(r["label"] for r in split.train) == {0: 2, 1: 2}
    assert split.summary["train"]["groups_by_class"] == {"a": 1, "b": 1}


def test_images_taken_for_one_label_count_for_the_others() -> None:
    # Every image with the rare label also has the frequent one: taking the rare ones is enough for both.
    records = [{"image": "", "label": [1, int(n < 3)], "group": f"p{n}", "id": f"i{n}"} for n in range(20)]
    split = few_shot_split(RecordSet("nested", records, ("often", "rare"), "multilabel"), 2)
    assert len(split.train) == 2 and all(r["label"] == [1, 1] for r in split.train)


def test_group_in_the_official_test_set_is_kept_out_of_training_and_named() -> None:
    data = toy(official=True)
    crossing = {**data.records[0], "group": "c0_g02"}  # c0_g02 is a test group
    data = RecordSet("toy", [crossing, *data.records[1:]], data.class_names)
    with pytest.warns(UserWarning, match="1 training images are left out"):
        split = few_shot_split(data, 4)
    assert crossing["id"] not in ids(split.train)


def test_held_out_test_set_is_the_same_for_every_seed_and_has_every_class() -> None:
    data = toy(groups=10)
    splits = [few_shot_split(data, 2, seed, val="rest", test_fraction=0.3) for seed in range(3)]
    assert ids(splits[0].test) == ids(splits[1].test) == ids(splits[2].test)
    assert splits[0].summary["test"]["groups_by_class"] == {"a": 3, "b": 3, "c": 3}
    assert len(splits[0].train) + len(splits[0].val) + len(splits[0].test) == len(data)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"shots": 0}, "shots is 0"),
        ({"shots": 2, "val": "rest"}, "set test_fraction"),
        ({"shots": 2, "test_fraction": 1.5}, "between 0 and 1"),
        ({"shots": 2, "sampling": "published"}, "no published list"),
        ({"shots": 2, "sampling": "published", "by": "image"}, "fixes what is chosen"),
        ({"shots": 2, "by": "patient"}, "patient"),
    ],
)
def test_wrong_arguments_say_so(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        few_shot_split(toy(), **options)


def test_official_test_set_and_fraction_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="official test split"):
        few_shot_split(toy(official=True), 1, test_fraction=0.2)


def test_check_survives_optimised_python() -> None:
    """``python -O`` removes assert statements; the check must not be one."""
    source = Path(split_module.__file__).read_text()
    optimised: dict = {"__name__": split_module.__name__}
    exec(compile(source, split_module.__file__, "exec", optimize=2), optimised)
    record = toy().records[0]
    with pytest.raises(DataError, match="1 of 1 train images are also in test"):
        optimised["FewShotSplit"]([record], [], [record], "toy", "", {}).check()


# What is wrong with the published lists, counted once and for all:
# (task, shots, number): train rows, unique images, val rows, train images also in val, val rows left when clean
PUBLISHED = {
    ("chest", 1, 1): (19, 19, 960, 19, 941),
    ("chest", 1, 2): (19, 18, 960, 17, 943),
    ("chest", 10, 2): (190, 160, 789, 129, 660),
    ("colon", 1, 4): (11, 11, 2347, 0, 2347),
    ("colon", 10, 3): (785, 785, 1573, 0, 1573),
    ("endo", 1, 4): (28, 24, 901, 24, 811),
    ("endo", 5, 5): (128, 128, 801, 106, 152),
    ("endo", 10, 1): (422, 358, 507, 173, 36),
}


@pytest.mark.parametrize("key", PUBLISHED)
def test_published_lists(real_data: Path, key: tuple[str, int, int]) -> None:
    task, shots, number = key
    rows, unique, val_rows, leaked, clean_val = PUBLISHED[key]
    data = load_source(f"medfmc_{task}", real_data / "medfmc_lists", check_images="none")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        as_is = few_shot_split(data, shots, number, sampling="published")
    text = "\n".join(str(warning.message) for warning in caught)
    assert (len(as_is.train), len(set(ids(as_is.train))), len(as_is.val)) == (rows, unique, val_rows)
    assert len(set(ids(as_is.train)) & set(ids(as_is.val))) == leaked
    assert (f"{rows - unique} of {rows} train rows repeat" in text) == (rows > unique)
    assert (f"{leaked} of {unique} train images are also in val" in text) == (leaked > 0)
    assert FewShotSplit.from_json(as_is.to_json(), data) == as_is
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clean = few_shot_split(data, shots, number, sampling="published-clean")
        no_val = few_shot_split(data, shots, number, sampling="published", val="none")
    clean.check()
    assert (len(clean.train), len(clean.val)) == (unique, clean_val)
    assert not no_val.val
    assert ids(as_is.test) == ids(clean.test) == ids(data.official("test"))


def test_published_endo_warns_of_missing_shots_and_untested_class(real_data: Path) -> None:
    data = load_source("medfmc", real_data / "medfmc_lists", task="endo", check_images="none")
    with pytest.warns(UserWarning) as caught:
        few_shot_split(data, 1, 4, sampling="published")
    text = "\n".join(str(warning.message) for warning in caught)
    assert "class 'tumor' has no image in test" in text
