# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from monai_ept.data import DataError, FewShotSplit, few_shot_split, load_source
from monai_ept.data.sources.medfmc import MEDFMC_TASKS, read_list
from tests.data.conftest import write_image

COLON_HASH = "1482576eac9c54583878d1f0b14539c56297157f332bdfbfcbc2be4a8f9bea8e"

# rows of trainval, labelled test, unlabelled test; groups in trainval, in test
COUNTS = {
    "chest": (979, 1161, 2708, 979, 1161),
    "colon": (2358, 3296, 4355, 79, 308),
    "endo": (929, 881, 2055, 23, 17),
}


def test_all_real_lists_parse(real_data: Path) -> None:
    files = sorted((real_data / "medfmc_lists").glob("*/*.txt"))
    assert len(files) == 105
    rows = 0
    for file in files:
        content, problems = read_list(file)
        assert not problems, file
        lines = [line for line in file.read_text().splitlines() if line.strip()]
        assert len(content) == len(lines)
        kind = MEDFMC_TASKS[file.parent.name]
        width = 1 if kind.task == "multiclass" else len(kind.class_names)
        for (_, name, labels), line in zip(content, lines, strict=True):
            assert line.startswith(name) and name.endswith(".png")
            assert (labels is None) == (file.name == "test_WithoutLabel.txt")
            assert labels is None or len(labels) == width
        rows += len(content)
    assert rows == 86978


@pytest.mark.parametrize("task", COUNTS)
def test_real_counts(real_data: Path, task: str) -> None:
    train, test, unlabelled, train_groups, test_groups = COUNTS[task]
    folder = real_data / "medfmc_lists"
    data = load_source("medfmc", folder, task=task, check_images="none")
    assert (len(data.official("train")), len(data.official("test"))) == (train, test)
    assert len({r["group"] for r in data.official("train")}) == train_groups
    assert len({r["group"] for r in data.official("test")}) == test_groups
    assert len(read_list(folder / task / "test_WithoutLabel.txt")[0]) == unlabelled
    assert sorted(data.published) == [(shots, number) for shots in (1, 5, 10) for number in range(1, 6)]


def test_real_label_counts(real_data: Path) -> None:
    folder = real_data / "medfmc_lists"
    colon = load_source("medfmc_colon", folder, check_images="none")
    assert colon.counts() == {"non_tumor": 1471 + 2296, "tumor": 887 + 1000}
    endo = load_source("medfmc_endo", folder, check_images="none")
    assert endo.counts() == {"ulcer": 416, "erosion": 472, "polyp": 222, "tumor": 108}
    assert not any(record["label"][3] for record in endo.official("test"))


ENDO = "13333_2021.12_0006_5597722{}.png"


def small(root: Path) -> Path:
    lists = root / "endo"
    lists.mkdir()
    rows = [f"{ENDO.format(n)} {n % 2} {int(n == 2)} {int(n == 3)} {int(n == 4)}" for n in range(6)]
    (lists / "trainval.txt").write_text("\n".join(rows) + "\n\n")
    (lists / "endo_1-shot_train_exp1.txt").write_text("\n".join(rows[:3]))
    (lists / "endo_1-shot_val_exp1.txt").write_text("\n".join(rows[2:]))
    for n in range(6):
        write_image(root / "MedFMC_train" / "endo" / "images" / ENDO.format(n))
    return lists


def test_images_are_found(tmp_path: Path) -> None:
    small(tmp_path)
    data = load_source("medfmc", tmp_path, task="endo")
    assert len(data) == 6 and {record["group"] for record in data.records} == {"13333_2021.12_0006"}
    assert data.published[1, 1]["val"] == [ENDO.format(n) for n in range(2, 6)]


def test_bad_lines_are_named(tmp_path: Path) -> None:
    lists = small(tmp_path)
    with open(lists / "trainval.txt", "a") as file:
        file.write(f"{ENDO.format(6)} 1 0 0\n{ENDO.format(7)} 1 0 0 x\n{ENDO.format(8)} 1 0 2 0\n")
    with open(lists / "endo_1-shot_train_exp1.txt", "a") as file:
        file.write(f"\n{ENDO.format(9)} 1 0 0 0\n{ENDO.format(0)} 1 1 1 1")
    with pytest.raises(DataError) as caught:
        load_source("medfmc", tmp_path, task="endo")
    text = str(caught.value)
    assert "trainval.txt:8: 3 labels instead of 4" in text
    assert "trainval.txt:9: '13333_2021.12_0006_55977227.png 1 0 0 x' is not an image name followed by labels" in text
    assert "trainval.txt:10: label value 2 is neither 0 nor 1" in text
    assert "trainval.txt:10: '" in text and "does not exist" in text
    assert "endo_1-shot_train_exp1.txt:4: '13333_2021.12_0006_55977229.png' is not in trainval.txt" in text
    assert "endo_1-shot_train_exp1.txt:5: '13333_2021.12_0006_55977220.png' has labels [1, 1, 1, 1]" in text
    assert len(caught.value.problems) == 6


def test_no_lists(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"trainval.txt is in none of"):
        load_source("medfmc", tmp_path, task="chest")
    with pytest.raises(ValueError, match="lung"):
        load_source("medfmc", tmp_path, task="lung")


def quiet(*args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return few_shot_split(*args, **options)


def slides(records: list) -> set[str]:
    return {record["id"].partition("-lv1")[0] for record in records}


def test_colon_is_split_by_slide(real_data: Path) -> None:
    data = load_source("medfmc_colon", real_data / "medfmc_lists", check_images="none")
    assert len(slides(data.official("train"))) == 68 and len(slides(data.official("test"))) == 169
    assert len(slides(data.official("train")) & slides(data.official("test"))) == 50
    for seed in range(5):
        split = quiet(data, 3, seed, val="shots")
        assert not slides(split.train) & slides(split.test) and not slides(split.train) & slides(split.val)
        assert split.test == data.official("test") or len(split.test) == 3296
        assert split.summary["train"]["groups_by_class"] == {"non_tumor": 3, "tumor": 3}
        assert FewShotSplit.from_json(split.to_json(), data) == split
        # Ten slides of each class are there once the test split gives up what it shares.
        large = quiet(data, 10, seed, crossing="train")
        assert not slides(large.train) & slides(large.test) and len(large.test) == 3296 - 1012
        assert large.summary["train"]["groups_by_class"] == {"non_tumor": 10, "tumor": 10}


def test_colons_published_lists_stay_what_they_were_and_say_what_crosses(real_data: Path) -> None:
    folder = real_data / "medfmc_lists"
    data = load_source("medfmc_colon", folder, check_images="none")
    by_study = load_source("medfmc_colon", folder, group="study", check_images="none")
    with pytest.warns(UserWarning, match="parts of one slide kept together, 18 of 20 train groups are also in test"):
        split = few_shot_split(data, 10, 3, sampling="published-clean")
    assert (split.source_hash, split.hash) == (COLON_HASH, "0065d191f11d")  # as release 0.1 wrote them
    assert split.to_json() == quiet(by_study, 10, 3, sampling="published-clean").to_json()
    by_slide = load_source("medfmc_colon", folder, group="slide", check_images="none")
    clean = quiet(by_slide, 10, 3, sampling="published-clean")
    assert len(clean.train) == 785 and (len(clean.val), len(clean.test)) == (1536, 2284)
    assert not slides(clean.train) & (slides(clean.val) | slides(clean.test)) and not slides(clean.val) & slides(
        clean.test
    )
    # What was drawn before slides were known still loads.
    old = quiet(by_study, 5, 1)
    assert [record["id"] for record in FewShotSplit.from_json(old.to_json(), data).train] == [
        r["id"] for r in old.train
    ]
    with pytest.raises(ValueError, match="names no slides"):
        load_source("medfmc_endo", folder, group="slide", check_images="none")
