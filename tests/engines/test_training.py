# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from ignite.engine import Events

from monai_ept.engines import RECIPES, Training, fit
from monai_ept.networks.compiled_network import check_compiler
from tests.engines.scenes import pictures, result_bytes, small_fit, small_net, small_split

RECIPE = {"name": "train", "epochs": 2, "lr": 1e-2, "num_resamples": 5}


def small_training(folder=None, **options):
    data = pictures()
    return Training(small_net(), small_split(data), RECIPE, data=data, folder=folder, progress=False, **options)


def test_is_what_fit_runs(tmp_path):
    small_training(tmp_path / "parts").run()
    data = pictures()
    given = {"data": data, "out_dir": tmp_path / "fit", "track": False, "progress": False}
    fit(small_net(), small_split(data), recipe=RECIPE, **given)
    assert result_bytes(tmp_path / "parts") == result_bytes(tmp_path / "fit")


def test_nothing_is_touched_before_it_begins(tmp_path):
    training = small_training(tmp_path / "run")
    for part in ("train_loader", "optimizer", "scheduler", "loss", "checkpoint", "trainer"):
        assert getattr(training, part) is getattr(training, part)
    assert not (tmp_path / "run").exists()
    training.begin()
    assert {path.name for path in (tmp_path / "run").glob("[!.]*")} == {"training.json", "split.json"}


def test_without_a_folder_it_only_trains():
    training = small_training()
    start = {name: tensor.clone() for name, tensor in training.net.delta_tensors().items()}
    history = training.train()
    assert [row["epoch"] for row in history] == [1, 2]
    assert any(not torch.equal(start[name], tensor) for name, tensor in training.net.delta_tensors().items())
    with pytest.raises(ValueError, match="without a folder has no result on disk"):
        training.run()


def test_the_record_says_how_it_went(tmp_path):
    training = small_training(tmp_path / "run", origin={"name": "mine", "transforms": {"interpolation": "bilinear"}})
    result = training.run()
    record = json.loads((tmp_path / "run" / "training.json").read_text())
    assert record == json.loads(json.dumps(dict(result.record), default=str))
    assert record["name"] == "mine" and record["transforms"] == {"interpolation": "bilinear"}
    assert record["recipe"] == {**RECIPES["train"].to_dict(), **RECIPE, "weight_decay": 0.01}
    assert record["params"]["recipe"] == "train" and record["params"]["method.start"] == 0
    assert record["class_names"] == list(pictures().class_names) and record["task"] == "multiclass"


def test_a_part_can_be_replaced():
    seen = []

    class Look:
        def attach(self, engine):
            engine.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: seen.append(engine.state.batch["id"]))

    training = small_training(train_set=[{"image": torch.rand(3, 64, 64), "label": 0, "id": "only"}], handlers=[Look()])
    training.train()
    assert seen == [["only"], ["only"]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": {"select": "val"}}, "give the training a folder"),
        ({"recipe": "papers"}, "did you mean 'paper'"),
    ],
)
def test_what_does_not_go_together_is_said_at_once(options, message):
    given = {"net": small_net(), "split": small_split(pictures()), **options}
    with pytest.raises(ValueError, match=message):
        Training(**given)


def test_a_misspelled_word_about_the_record_is_named(tmp_path):
    with pytest.raises(ValueError, match="track has no 'experimnt': it takes experiment, run_name, tags"):
        small_training(tmp_path / "run", tracking={"experimnt": "x"}).run()
    assert not (tmp_path / "run").exists()


def test_half_precision_on_a_cpu():
    training = Training(
        small_net(), small_split(pictures()), {**RECIPE, "amp": "bfloat16"}, device="cpu", progress=False
    )
    exact = Training(small_net(), small_split(pictures()), RECIPE, device="cpu", progress=False)
    losses, expected = ([row["loss"] for row in one.train()] for one in (training, exact))
    assert losses != expected and losses == pytest.approx(expected, rel=0.05)


def test_everything_that_decides_the_result_is_in_the_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = pictures()

    def named(recipe=RECIPE, *, net=None, split=None, **options):
        training = Training(net or small_net(), split or small_split(data), recipe, data=data, folder=True, **options)
        assert training.folder == Path("runs") / options.get("origin", {"name": "pictures"})["name"] / training.name
        assert training.tracking.run_name == training.name
        return training.folder

    usual = named()
    assert re.fullmatch(r"ept-2shot-seed0-[0-9a-f]{6}", usual.name)
    other_weights = small_net()
    with torch.no_grad():
        next(other_weights.backbone.parameters()).add_(1)
    others = [
        named({**RECIPE, "lr": 2e-2}),
        named({**RECIPE, "num_resamples": 6}),
        named(seed=1),
        named(split=small_split(data, seed=1)),
        named(net=small_net(prompt_length=6)),
        named(net=other_weights),
        *(named(origin={"name": "pictures", "data": {"source": "folder", "dataset_dir": one}}) for one in ("a", "b")),
        named(origin={"name": "pictures", "transforms": {"keep_aspect": True}}),
        named(origin={"name": "my bundle".replace(" ", "-")}),
    ]
    assert len({usual, *others}) == 1 + len(others)
    assert named(num_workers=3, progress=False, device="cpu") == usual
    assert not list(tmp_path.iterdir())


def test_the_same_training_again_goes_on_and_is_not_done_anew(tmp_path):
    small_training(tmp_path / "run").run()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("*.pt")}
    small_training(tmp_path / "run", resume=True, overwrite=True).run()  # as in a job that is queued again
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("*.pt")} == before
    with pytest.raises(FileExistsError, match="holds a finished training"):
        small_training(tmp_path / "run")
    result = small_training(tmp_path / "run", resume=True, overwrite=True, seed=1).run()
    assert result.record["seed"] == 1 and [path.name for path in tmp_path.iterdir()] == ["run"]
    assert all(path.is_file() for path in result.paths.values())


@pytest.mark.slow
def test_a_compiled_training_makes_one_graph(tmp_path):
    try:
        check_compiler(torch.device("cpu"))
    except ValueError:
        pytest.skip("there is no C++ compiler here")
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    plain = small_fit(tmp_path / "plain", small_net(dropout=0.0), batch_size=5)
    compiled = small_fit(tmp_path / "compiled", small_net(dropout=0.0), batch_size=5, compile=True)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1  # three epochs of batches of 5 and of 1
    losses = [[row["loss"] for row in result.history] for result in (plain, compiled)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert compiled.record["recipe"]["compile"] is True and "compile" not in plain.record["params"]
