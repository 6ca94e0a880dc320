# SPDX-License-Identifier: Apache-2.0

"""Results are not written over, and what replaces one is whole; ``overwritten.py`` has trainings that are killed."""

from __future__ import annotations

import os

import pytest

from monai_ept.files import WriteError
from monai_ept.runs.result_folder import ResultFolder
from tests.engines.test_interrupted import small_disk  # noqa: F401, a fixture
from tests.fresh_process import fresh_processes
from tests.runs import overwritten
from tests.runs.overwritten import MOMENTS, QUICK


def write(folder, content, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or ("predictions.csv", "metrics.json"):
        (folder / name).write_text(content)
    return folder


def evaluation(folder, content, **options):
    with ResultFolder(folder, "evaluation", **options) as place:
        write(place.begin(), content)
        place.deliver()
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_appears_when_it_is_complete(tmp_path):
    with ResultFolder(tmp_path / "one", "evaluation") as place:
        work = place.begin()
        assert names(tmp_path) == ["one.next"] and not work.samefile(tmp_path)
        written = write(work, "1") / "metrics.json"
        assert place.deliver() == tmp_path / "one" and place.find(written) == tmp_path / "one" / "metrics.json"
    assert names(tmp_path) == ["one"] and names(tmp_path / "one") == ["metrics.json", "predictions.csv"]


def test_it_is_refused_or_replaces(tmp_path):
    evaluation(tmp_path / "one", "1")
    with pytest.raises(FileExistsError, match="one holds an evaluation already: --overwrite true replaces it when"):
        ResultFolder(tmp_path / "one", "evaluation")
    evaluation(tmp_path / "one", "2", overwrite=True)
    assert (tmp_path / "one" / "metrics.json").read_text() == "2" and names(tmp_path) == ["one"]


def test_what_fails_leaves_nothing_and_the_old_result(tmp_path):
    evaluation(tmp_path / "one", "1")
    with pytest.raises(ZeroDivisionError), ResultFolder(tmp_path / "one", "evaluation", overwrite=True) as place:
        write(place.begin(), "2")
        _ = 1 / 0
    assert (tmp_path / "one" / "metrics.json").read_text() == "1" and names(tmp_path) == ["one"]
    assert names(tmp_path / "one") == ["metrics.json", "predictions.csv"]


def test_what_came_there_meanwhile_is_not_lost(tmp_path):
    place = ResultFolder(tmp_path / "one", "evaluation")
    evaluation(tmp_path / "one", "1")
    with pytest.raises(FileExistsError, match="holds an evaluation already"):
        place.begin()
    # Nor is a file of somebody's that came while the result was replaced.
    with ResultFolder(tmp_path / "one", "evaluation", overwrite=True) as place:
        write(place.begin(), "2")
        (tmp_path / "one" / "notes.txt").write_text("mine")
        place.deliver()
    assert names(tmp_path) == ["one", "one.kept"] and (tmp_path / "one.kept" / "notes.txt").read_text() == "mine"


def test_records_that_have_not_reached_mlflow_are_kept(tmp_path, caplog):
    from monai_ept.tracking.journal import Journal

    old = write(tmp_path / "run", "1", "delta.safetensors", "split.json")
    Journal.create(old, {"id": "0123456789abcdef", "run_name": "old"}).close()
    with ResultFolder(old, "training", overwrite=True) as place:
        write(place.begin(), "2", "delta.safetensors")
        place.deliver()
    assert names(tmp_path) == ["run", "run.kept"] and names(tmp_path / "run") == ["delta.safetensors"]
    assert f"'monai-ept sync {tmp_path / 'run.kept'}' has to bring its run to MLflow first" in caplog.text


def test_what_was_made_with_a_training_that_is_replaced_is_named(tmp_path, caplog):
    write(tmp_path / "run", "1", "delta.safetensors")
    evaluation(tmp_path / "run.evaluation-test", "1")
    with ResultFolder(tmp_path / "run", "training", overwrite=True) as place:
        write(place.begin(), "2", "delta.safetensors")
        place.deliver()
    assert "run.evaluation-test: made with the training that was in" in caplog.text
    assert names(tmp_path) == ["run", "run.evaluation-test"]


def test_a_link_to_a_folder_stays_one(tmp_path):
    evaluation(tmp_path / "real" / "one", "1")
    (tmp_path / "link").symlink_to(tmp_path / "real" / "one")
    evaluation(tmp_path / "link", "2", overwrite=True)
    assert (tmp_path / "link").is_symlink() and names(tmp_path / "real") == ["one"]
    assert (tmp_path / "link" / "metrics.json").read_text() == "2"


def test_a_mounted_disk_stays_where_it_is(small_disk):  # noqa: F811
    if small_disk is None:
        pytest.skip("this user may not mount a small file system")
    write(small_disk, "1", "metrics.json")
    with pytest.raises(WriteError, match="is where a disk is mounted"):
        ResultFolder(small_disk, "evaluation", overwrite=True)
    (small_disk / "metrics.json").unlink()


# ------------------------------------------------------------------------------------------ whole trainings


def processes(folder, *arguments):
    if not hasattr(os, "fork"):
        pytest.skip("needs fork, which this system has not")
    with fresh_processes() as pool:
        return pool.submit(overwritten.main, folder, *arguments).result()


@pytest.fixture(scope="module")
def report(tmp_path_factory, small_disk):  # noqa: F811
    disks = [] if small_disk is None else [small_disk]
    return processes(tmp_path_factory.mktemp("trainings"), 0, *disks)


def check(name, case):
    """The folder has held a whole result at any moment, and the new one in the end."""
    assert case["loads"] and case["nothing_else"] and case["found"] in ("old", "new"), name
    assert case["again"]["status"] == 0 and case["equal"] and case["beside"] == ["run"], (name, case["again"]["said"])


@pytest.mark.parametrize("moment", QUICK)
def test_a_killed_replacement_leaves_the_old_result_or_the_new(report, moment):
    case = report[moment]
    check(moment, case)
    assert case["signal"] == 9 and case["found"] == ("old" if moment == "third epoch" else "new")


@pytest.mark.slow
def test_thirty_of_thirty_kills_leave_a_whole_result(tmp_path):
    report = processes(tmp_path, 30)
    assert len(report) == 30 + len(MOMENTS) - len(QUICK)
    for name, case in report.items():
        check(name, case)
    assert sum(case["signal"] == 9 for case in report.values()) > 20  # a few come when all is done
    assert any(case["left"] == ["run", "run.next"] for case in report.values())


def test_two_trainings_in_one_folder_at_once(report):
    case = report["two at once"]
    assert case["first"]["status"] == 0 and case["seed"] == 0
    second = said(case["second"])
    assert "another process is writing into" in second and "choose another --run_dir" in second
    assert case["third"]["status"] == 0 and case["left"] == []


def said(case):
    assert case["status"] == 1
    *_, sentence, kind = case["said"].strip().splitlines()
    assert kind == "WriteError", case["said"]
    return sentence


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("removed", "was removed while the command ran; what was in it is gone: start it again."),
        ("replaced", "was replaced by another while the command ran"),
    ],
)
def test_a_folder_that_disappears_is_missed(report, name, words):
    assert words in said(report[name]) and "intact" not in report[name]["said"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("limit in overwriting", "the checkpoint of epoch 2 cannot be written to"),
        ("disk in evaluation", "evaluation (No space left on device): make room"),
        ("disk at the start", "(No space left on device): make room"),
    ],
)
def test_a_full_disk_is_a_sentence(report, small_disk, name, words):  # noqa: F811
    if name.startswith("disk") and small_disk is None:
        pytest.skip("this user may not mount a small file system")
    assert words in said(report[name]) and report["limited is old"]
