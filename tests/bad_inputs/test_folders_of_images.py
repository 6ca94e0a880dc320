# SPDX-License-Identifier: Apache-2.0

"""Data folders that are laid out in a way no training can use, and splits that they cannot give."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from monai_ept.data import few_shot_split, load_source
from tests.bad_inputs.case import BadInput, parameters, refuse
from tests.bad_inputs.images import good_folder, load, picture


def classes(*names: str):
    def make(folder: Path) -> None:
        for seed, name in enumerate(names):
            picture(folder / "data" / name / "a.png", seed)

    return make


def good_and(*steps):
    def make(folder: Path) -> None:
        data = good_folder(folder)
        for step in steps:
            step(data)

    return make


def split(*args, source: str = "folder", load_options: dict | None = None, **options):
    return lambda at: few_shot_split(load_source(source, at / "data", **(load_options or {})), *args, **options)


def not_utf8(data: Path) -> None:
    picture(data / "benign/x.png", 9).rename(os.fsdecode(os.fsencode(data / "benign") + b"/caf\xe9.png"))


def link_in_two_classes(data: Path) -> None:
    (data / "malignant/x.png").symlink_to("../benign/a.png")


def copy_in_two_classes(data: Path) -> None:
    shutil.copy(data / "benign/a.png", data / "malignant/x.png")


CASES = [
    BadInput("nowhere", ["does not exist"], call=load("folder")),
    BadInput("a-file", ["has no class folders"], lambda at: (at / "data").write_text("x"), call=load("folder")),
    BadInput("empty", ["has no class folders"], lambda at: (at / "data").mkdir(), call=load("folder")),
    BadInput("no-classes", ["has no class folders"], lambda at: picture(at / "data/a.png"), call=load("folder")),
    BadInput("one-class", ["only one class, 'benign'", "takes two"], classes("benign"), call=load("folder")),
    BadInput(
        "one-class-in-parts", ["only one class, 'benign'"], classes("train/benign", "test/benign"), call=load("folder")
    ),
    BadInput("one-class-to-check", ["only one class"], classes("benign"), command=["check", "data"]),
    BadInput(
        "images-and-masks",
        ["'images', 'masks'", "no classes", "source csv"],
        classes("images", "masks"),
        call=load("folder"),
    ),
    BadInput("img-and-labels", ["no classes"], classes("Img", "Labels"), call=load("folder")),
    BadInput("images-and-two-masks", ["no classes"], classes("image", "mask", "annotations"), call=load("folder")),
    BadInput("images-and-masks-in-parts", ["no classes"], classes("train/images", "train/masks"), call=load("folder")),
    BadInput("images-and-masks-to-check", ["no classes"], classes("images", "masks"), command=["check", "data"]),
    BadInput("names-differ-in-case", ["differ in case only"], classes("Benign", "benign"), call=load("folder")),
    BadInput(
        "class-without-image", ["class 'nv' has no image"], good_and(lambda d: (d / "nv").mkdir()), call=load("folder")
    ),
    BadInput(
        "class-that-is-not-there",
        ["class 'nv' has no image"],
        good_and(),
        call=load("folder", class_names=["benign", "malignant", "nv"]),
    ),
    BadInput(
        "unknown-class",
        ["unknown class 'nv'"],
        good_and(lambda d: picture(d / "nv/a.png", 9)),
        call=load("folder", class_names=["benign", "malignant"]),
    ),
    BadInput(
        "classes-in-a-folder-more",
        ["only one class, 'all'"],
        classes("all/benign", "all/malignant"),
        call=load("folder"),
    ),
    BadInput(
        "pattern-unfinished",
        ["group_pattern '(' is no regular expression"],
        good_and(),
        call=load("folder", group_pattern="("),
    ),
    BadInput(
        "pattern-star",
        ["is no regular expression", "nothing to repeat"],
        good_and(),
        call=load("folder", group_pattern="*"),
    ),
    BadInput(
        "pattern-number", ["group_pattern 7 is no regular expression"], good_and(), call=load("folder", group_pattern=7)
    ),
    BadInput("pattern-without-group", ["no group in parentheses"], good_and(), call=load("folder", group_pattern=".*")),
    BadInput(
        "pattern-that-misses-one",
        ["a.png", "does not match"],
        good_and(),
        call=load("folder", group_pattern="([b-d]).png"),
    ),
    BadInput(
        "pattern-whose-group-misses-one",
        ["d.png", "does not match"],
        good_and(),
        call=load("folder", group_pattern="([a-c]).png|d"),
    ),
    BadInput(
        "pattern-unfinished-to-check",
        ["is no regular expression"],
        good_and(),
        command=["check", "data", "--option", "group_pattern=("],
    ),
    BadInput(
        "class-that-is-a-link",
        ["'data/zebra' is", "again, by a link", "remove one"],
        good_and(lambda d: (d / "zebra").symlink_to("benign")),
        command=["check", "data"],
    ),
    BadInput(
        "link-to-another-class",
        ["again, by a link"],
        good_and(lambda d: (d / "malignant/z").symlink_to("../benign")),
        command=["check", "data"],
    ),
    BadInput(
        "link-to-the-data",
        ["again, by a link"],
        good_and(lambda d: (d / "benign/up").symlink_to("..")),
        command=["check", "data"],
    ),
    BadInput(
        "train-that-is-test",
        ["again, by a link"],
        lambda at: (classes("train/a", "train/b")(at), (at / "data/test").symlink_to("train"))[0],
        command=["check", "data"],
    ),
    BadInput(
        "link-in-two-classes",
        ["'benign/a.png' as 'benign' and 'malignant/x.png' as 'malignant'", "remove the wrong"],
        good_and(link_in_two_classes),
        call=split(1),
    ),
    BadInput("copy-in-two-classes", ["'malignant/x.png' as 'malignant'"], good_and(copy_in_two_classes), call=split(1)),
    BadInput(
        "copy-in-two-classes-to-check",
        ["with different labels", "remove the wrong"],
        good_and(copy_in_two_classes),
        command=["check", "data"],
    ),
    BadInput(
        "hard-link-in-two-classes",
        ["'malignant/x.png' as 'malignant'"],
        good_and(lambda d: os.link(d / "benign/a.png", d / "malignant/x.png")),
        call=split(1),
    ),
    BadInput(
        "name-that-is-not-utf8",
        ["benign/caf\\udce9.png", "not UTF-8", "rename"],
        good_and(not_utf8),
        call=load("folder"),
    ),
    BadInput("name-that-is-not-utf8-to-check", ["not UTF-8", "rename"], good_and(not_utf8), command=["check", "data"]),
    BadInput("unknown-source", ["no data source 'folders'"], good_and(), call=load("folders")),
    BadInput(
        "unknown-source-to-check",
        ["no data source 'folders'"],
        good_and(),
        command=["check", "data", "--source", "folders"],
    ),
    BadInput("unknown-option", ["has no option 'pattern'"], good_and(), call=load("folder", pattern="x")),
    BadInput(
        "unknown-option-to-check",
        ["has no option 'pattern'"],
        good_and(),
        command=["check", "data", "--option", "pattern=x"],
    ),
    BadInput(
        "option-without-value",
        ["--option 'pattern' has no value"],
        good_and(),
        command=["check", "data", "--option", "pattern"],
    ),
    BadInput(
        "unknown-level", ["check_images 'some' is not known"], good_and(), call=load("folder", check_images="some")
    ),
    BadInput("no-shots", ["shots is 0"], good_and(), call=split(0)),
    BadInput("half-a-shot", ["shots is 0.5"], good_and(), call=split(0.5)),
    BadInput("seed-below-zero", ["seed must be a whole number of at least 0, got -1"], good_and(), call=split(1, -1)),
    BadInput("seed-in-words", ["seed must be", "'x'"], good_and(), call=split(1, "x")),
    BadInput("all-for-testing", ["test_fraction is 1", "between 0 and 1"], good_and(), call=split(1, test_fraction=1)),
    BadInput("fraction-in-words", ["test_fraction is 'x'"], good_and(), call=split(1, test_fraction="x")),
    BadInput("unknown-by", ["by 'patient' is not known"], good_and(), call=split(1, by="patient")),
    BadInput("unknown-val", ["val 'all' is not known"], good_and(), call=split(1, val="all")),
    BadInput("unknown-sampling", ["sampling 'new' is not known"], good_and(), call=split(1, sampling="new")),
    BadInput("no-published-list", ["has no published list"], good_and(), call=split(1, sampling="published")),
    BadInput("unknown-near-copies", ["near_copies 'drop' is not known"], good_and(), call=split(1, near_copies="drop")),
    BadInput("unknown-crossing", ["crossing 'both' is not known"], good_and(), call=split(1, crossing="both")),
    BadInput(
        "crossing-of-published",
        ["fixes what is chosen"],
        good_and(),
        call=split(1, sampling="published", crossing="train"),
    ),
    BadInput(
        "near-copies-of-volumes",
        ["holds volumes", "2-D images only"],
        call=lambda _: few_shot_split(
            load_source("synthetic_volume", num_per_class=2, num_test_per_class=0, img_size=16, lazy=True),
            1,
            near_copies="group",
        ),
    ),
    BadInput("nothing-to-train-on", ["none is left to train on"], classes("test/a", "test/b"), call=split(1)),
]


@pytest.mark.parametrize("case", parameters(CASES))
def test_refused(case, tmp_path, monkeypatch):
    refuse(case, tmp_path, monkeypatch)
