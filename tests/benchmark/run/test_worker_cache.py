# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import tempfile

import numpy as np
import pytest

from monai_ept.benchmark.run.train_cell import run_cell
from monai_ept.benchmark.run.worker_cache import Workbench, cell_split, default_cache
from tests.benchmark.run.scenes import cells, count_passes


@pytest.mark.parametrize(
    ("augment", "methods"),
    [
        (False, ["linear", "mlp", "partial", {"method": "ept", "frozen": True}, {"method": "damp", "c": 4.6}]),
        pytest.param(True, ["linear", "partial", "ept"], marks=pytest.mark.slow),
    ],
)
def test_results_are_the_same_with_and_without_reuse(tmp_path, augment, methods):
    recipe = {"name": "train", "epochs": 2, "lr": 0.05, "augment": augment}
    with_reuse, without = Workbench(tmp_path), Workbench(tmp_path, reuse=False)
    for cell in cells(methods, recipe=recipe):
        ours, theirs = run_cell(cell, with_reuse), run_cell(cell, without)
        # Not to the bit: a matrix product rounds differently for another number of images, and training adds to it.
        np.testing.assert_allclose(
            ours.predictions["probabilities"], theirs.predictions["probabilities"], atol=5e-5, err_msg=cell.id
        )
        assert list(ours.predictions["ids"]) == list(theirs.predictions["ids"])
        assert [row["loss"] for row in ours.result["history"]] == pytest.approx(
            [row["loss"] for row in theirs.result["history"]], rel=1e-5
        )


@pytest.mark.parametrize("method", ["linear", pytest.param("ept", marks=pytest.mark.slow)])
def test_bfloat16_shares_nothing_with_float32(tmp_path, method):
    bench, found = Workbench(tmp_path), {}
    for amp in ("off", "bfloat16", "off"):
        (cell,) = cells([method], recipe={"name": "train", "epochs": 2, "lr": 0.05, "amp": amp})
        probabilities = run_cell(cell, bench).predictions["probabilities"]
        np.testing.assert_array_equal(found.setdefault(amp, probabilities), probabilities)
    difference = np.abs(found["bfloat16"] - found["off"]).max()
    assert 1e-6 < difference < 0.1  # eight bits of each number, and a few steps of training
    (alone,) = cells([method], recipe={"name": "train", "epochs": 2, "lr": 0.05, "amp": "bfloat16"})
    probabilities = run_cell(alone, Workbench(tmp_path, reuse=False)).predictions["probabilities"]
    np.testing.assert_allclose(probabilities, found["bfloat16"], atol=0.02)


def test_what_is_known_is_not_computed_again(tmp_path, monkeypatch):
    passes = count_passes(monkeypatch)
    bench = Workbench(tmp_path)
    grid = {"method": "linear", "grid": {"lr": [0.1, 0.01]}}
    first, *others = cells([grid, "mlp"], shots=[2, 1])
    result = run_cell(first, bench).result
    names = 2  # one pass each for the name of the network that meets validation and test images
    assert sum(passes) == 2 * result["num_train"] + result["num_val"] + result["num_test"] + names  # two epochs
    passes.clear()
    for cell in others:  # another learning rate, another head, and fewer of the same training images
        run_cell(cell, bench)
    # One shot has other validation images than two, and these are all that is new.
    val = [{record["id"] for record in cell_split(cell, bench.data(cell)).val} for cell in (first, others[-1])]
    assert sum(passes) == len(val[1] - val[0]) + names * len(others)
    passes.clear()
    run_cell(cells(["linear"], recipe={"name": "train", "epochs": 3, "lr": 0.05})[0], bench)
    assert sum(passes) == result["num_train"] + names  # the third epoch


def test_views_that_are_known_are_not_seen_again(tmp_path, monkeypatch):
    """Of all samplings, shots, heads and workers, and of methods that begin with the same features."""
    passes = count_passes(monkeypatch)
    solve = {"name": "solve", "views": "turned", "amp": "off"}
    first, *others = cells(["linear", "lora", "bias"], recipe=solve, shots=[2, 1], val="none")
    result = run_cell(first, Workbench(tmp_path)).result
    names = 2
    assert sum(passes) == 8 * result["num_train"] + 6 * result["num_test"] + names
    passes.clear()
    bench = Workbench(tmp_path)  # another worker
    for cell in others:
        run_cell(cell, bench)
    assert sum(passes) == names * len(others)


def test_solved_heads_are_the_same_to_the_bit_whoever_has_computed_what(tmp_path):
    """Alone, or after others that have left some of the features, in another order."""
    methods = ["linear", {"method": "ept", "prompt_length": 3}]
    todo = cells(methods, recipe={"name": "solve", "amp": "bfloat16"}, shots=[1, 2], samplings=2, val="none")
    bench = Workbench(tmp_path / "together")
    together = {cell.id: run_cell(cell, bench) for cell in reversed(todo)}
    for number, cell in enumerate((todo[1], todo[-1], todo[-2])):
        alone = run_cell(cell, Workbench(tmp_path / f"alone-{number}"))
        assert alone.result["metrics"] == together[cell.id].result["metrics"]
        for name, array in alone.predictions.items():
            np.testing.assert_array_equal(array, together[cell.id].predictions[name], err_msg=f"{cell.id} {name}")


def test_solved_heads_are_those_without_the_store(tmp_path):
    methods = ["linear", {"method": "damp", "c": 4.6}, {"method": "ept", "prompt_length": 3}]
    bench = Workbench(tmp_path)
    for cell in cells(methods, recipe={"name": "solve", "amp": "off", "views": "turned"}):
        ours, theirs = run_cell(cell, bench), run_cell(cell, Workbench(tmp_path, reuse=False))
        np.testing.assert_allclose(
            ours.predictions["probabilities"], theirs.predictions["probabilities"], atol=1e-5, err_msg=cell.id
        )
        assert ours.result["metrics"] == pytest.approx(theirs.result["metrics"], abs=1e-5)


def test_results_of_frozen_layers_do_not_pile_up(tmp_path, monkeypatch):
    from monai_ept.benchmark.run import worker_cache as workbench

    bench = Workbench(tmp_path)
    monkeypatch.setattr(workbench, "TOKENS_AT_MOST", 20_000)
    first, second = cells(["linear", "partial"])
    expected = run_cell(second, Workbench(tmp_path)).predictions["probabilities"]
    run_cell(first, bench)
    assert np.array_equal(run_cell(second, bench).predictions["probabilities"], expected)
    assert workbench._bytes(bench._tokens.values()) <= 20_000


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    if not hasattr(os, "getuid"):
        pytest.skip("users have no numbers here")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_usual_cache_belongs_to_one_user(temporary):
    folder = default_cache()
    assert str(os.getuid()) in folder.name and folder.parent == temporary
    assert folder.stat().st_mode & 0o777 == 0o700 and default_cache() == folder
    folder.chmod(0o755)  # as earlier releases made it: others could read and nobody else write
    assert default_cache() == folder and folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("how", ["writable", "link", "file", "foreign"])
def test_a_cache_that_others_may_have_filled_is_left_alone(temporary, how):
    usual = default_cache()
    usual.rmdir()
    if how == "writable":
        usual.mkdir()
        usual.chmod(0o777)
    elif how == "link":
        (temporary / "elsewhere").mkdir()
        usual.symlink_to(temporary / "elsewhere")
    elif how == "file":
        usual.touch()
    else:
        if os.getuid() != 0:
            pytest.skip("only root can make a folder of another user")
        usual.mkdir()
        os.chown(usual, 65534, 65534)
    other = default_cache()
    assert other != usual and other.parent == temporary and other.stat().st_mode & 0o777 == 0o700
    assert default_cache() == other  # also the next time
