# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import json
import math

import pytest
import torch
from ignite.engine import Events

from monai_ept import EPTWrapper, TunedViT, fit
from monai_ept.data import few_shot_split, load_source
from monai_ept.data.views import train_views
from monai_ept.engines import Training, recipe_of
from monai_ept.engines.ridge import Ridge
from monai_ept.runs.build_network import make_network
from monai_ept.runs.training_record import read_choice


@pytest.fixture(scope="module")
def data():
    return load_source("synthetic_derm", num_per_class=6, num_test_per_class=1, img_size=32)


@pytest.fixture(scope="module")
def split(data):
    return few_shot_split(data, shots=3, seed=0)


def network(data, method="linear", **settings):
    torch.manual_seed(0)
    return TunedViT("embedded", data.num_classes, method=method, img_size=32, class_names=data.class_names, **settings)


def solved(net, split, **settings):
    training = Training(net, split, {"name": "solve", **settings}, progress=False)
    training.train()
    return training


def test_the_head_is_the_ridge_of_all_views(data, split):
    training = solved(network(data), split)
    net, solution = training.net.eval(), training.solution
    assert (net.readout, net.views) == (4, "upright")
    assert (solution.folds, solution.views) == (3, 8)
    images = torch.stack([training.dataset("train")[index]["image"] for index in range(len(split.train))])
    labels = torch.tensor([record["label"] for record in split.train])
    with torch.no_grad():
        features = torch.stack([net.features(view(images)) for view in train_views("upright")], 1).double()
    counts = labels.bincount().double()
    weights = (1 / counts)[labels]
    ridge = Ridge.fit(
        features.flatten(0, 1),
        torch.nn.functional.one_hot(labels, data.num_classes).double().repeat_interleave(8, 0),
        solution.strength,
        (weights / weights.mean()).repeat_interleave(8),
    )
    expected = ridge.scores(features[:, 0]) * solution.sharpness
    with torch.no_grad():
        logits = net.head(net.features(images))
    torch.testing.assert_close(logits, expected.float(), rtol=1e-3, atol=1e-3)


def test_twice_the_same_bytes(data, split, tmp_path):
    for folder in ("first", "second"):
        recipe = {"name": "solve", "num_resamples": 2}
        fit(network(data), split, recipe=recipe, out_dir=tmp_path / folder, track=False, progress=False)
    first, second = (tmp_path / folder / "delta.safetensors" for folder in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


def test_a_finished_training_like_any_other(data, split, tmp_path):
    net = network(data, "ept", prompt_length=3)
    result = fit(net, split, recipe="solve", out_dir=tmp_path / "run", track=False, progress=False)
    chosen = read_choice(result.folder)
    assert chosen["folds"] == 3 and chosen["penalty"] in (0.3, 1.0, 3.0)
    assert chosen["methods"] == [method.settings() for method in net.methods]
    assert result.epoch == 0 and result.history == []
    assert all(path.is_file() for path in result.paths.values())
    assert 0 <= result.metrics["balanced_accuracy"] <= 1
    record = json.loads((tmp_path / "run" / "training.json").read_text())
    assert record["recipe"]["name"] == "solve"
    again = TunedViT.from_delta(result.delta_path).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(again(images), net.eval()(images))


def test_the_start_of_the_prompts_is_a_choice_of_the_images_left_out(data, split):
    net = network(data, "ept", prompt_length=3)
    training = solved(net, split)
    start = net.methods[0].start
    assert start in (0.0, 4.6)
    for prompt in (module for module in net.modules() if hasattr(module, "sink")):
        torch.testing.assert_close(prompt.sink, torch.full_like(prompt.sink, start), rtol=0, atol=1e-4)
    assert training.solution.methods == net.methods


def test_a_start_of_ones_own_stays(data, split):
    torch.manual_seed(0)
    net = EPTWrapper("embedded", data.num_classes, img_size=32, prompt_length=3, start=2.0)
    assert solved(net, split).solution.methods[0].start == 2.0


def test_one_image_per_class_has_fixed_values(data):
    split = few_shot_split(data, shots=1, seed=0)
    solution = solved(network(data), split).solution
    assert (solution.folds, solution.strength, solution.likelihood) == (0, 1.0, None)


def test_several_labels():
    data = load_source("synthetic_chest", num_images=60, num_test_images=6, img_size=32)
    split = few_shot_split(data, shots=3, seed=0)
    training = solved(network(data), split)
    assert training.task == "multilabel"
    assert math.isfinite(training.solution.sharpness)


def test_volumes():
    data = load_source("synthetic_volume", num_per_class=4, num_test_per_class=1, img_size=16)
    net = make_network(data.class_names, spatial_dims=3, img_size=16, patch_size=8, in_channels=1, method="linear")
    training = solved(net, few_shot_split(data, shots=2, seed=0))
    assert (net.readout, net.views, training.solution.views) == (4, "upright", 8)
    assert training.solution.folds == 2
    assert net.head.fc.weight.shape == (2, 4 * 2 * net.vit.embed_dim)


def test_training_goes_on_from_the_solved_head(data, split):
    start = solved(network(data), split).net.head.fc.weight.detach().clone()
    training = solved(network(data), split, epochs=1, lr=1e-6, augment=True)
    moved = (training.net.head.fc.weight - start).abs().max()
    assert 0 < moved < 1e-3 * start.abs().max() + 1e-4
    assert len(training.trainer.state.history) == 1


def test_a_wish_of_the_network_counts_more_than_the_recipe(data, split):
    net = solved(network(data, readout="pooled", views="one"), split).net
    assert (net.readout, net.views) == ("pooled", "one")


def test_a_head_of_several_layers_is_refused(data, split):
    with pytest.raises(ValueError, match="method mlp has a head of 3 layers, which no closed form solves"):
        Training(network(data, "mlp"), split, "solve")


def test_the_default_solves_what_can_be_solved_and_trains_what_cannot(data, split):
    solved_head, trained_head = (Training(network(data, method), split) for method in ("ept", "mlp"))
    assert (solved_head.recipe.solve, solved_head.recipe.epochs, solved_head.net.readout) == (True, 0, 4)
    assert (trained_head.recipe.solve, trained_head.recipe.epochs, trained_head.net.readout) == (False, 20, "pooled")
    told = Training(network(data), split, {"epochs": 2})
    assert (told.recipe.solve, told.recipe.epochs, told.recipe.lr) == (True, 2, 1e-3)
    pooled = Training(network(data), split, {"readout": "pooled", "views": "one"})
    assert (pooled.recipe.solve, pooled.net.readout, pooled.net.views) == (True, "pooled", "one")


def test_a_method_that_is_left_as_it_is_is_said(data, split, tmp_path, caplog):
    settings = {"track": False, "progress": False, "recipe": {"num_resamples": 0}}
    for method, said in (("lora", 1), ("ept", 0), ("linear", 0)):
        caplog.clear()
        fit(network(data, method), split, out_dir=tmp_path / method, **settings)
        assert caplog.text.count("recipe 'tune' trains it from the solved head") == said, method


def test_there_is_no_best_of_no_epochs():
    with pytest.raises(ValueError, match="select='val' chooses among epochs and the recipe has none"):
        recipe_of({"name": "solve", "select": "val"})


@pytest.mark.parametrize("recipe", ["train", "paper"])
def test_other_recipes_leave_readout_and_views(data, split, recipe):
    training = Training(network(data), split, recipe)
    assert (training.net.readout, training.net.views) == ("pooled", "one")


def test_tuning_begins_at_the_solved_head(data, split, tmp_path):
    recipe = {"name": "tune", "epochs": 2, "steps_per_epoch": 2, "warmup_steps": 1, "num_resamples": 2}
    net = network(data, "lora")
    training = Training(net, split, recipe, folder=tmp_path / "one", progress=False)
    start = {}
    training.trainer.add_event_handler(Events.STARTED, lambda _: start.update(copy.deepcopy(net.delta_tensors())))
    result = training.run()
    head = solved(network(data, "lora"), split).net.head.state_dict()
    for name, weight in head.items():
        torch.testing.assert_close(start[f"head.{name}"], weight)
    moved = net.delta_tensors()
    assert all(torch.equal(start[name], moved[name]) == name.startswith("solved.") for name in start)
    assert [group["initial_lr"] for group in training.optimizer.param_groups] == [1e-3, 1e-4]  # the head comes last
    assert (len(training.train_loader), result.epoch) == (2, 2)
    again = Training(network(data, "lora"), split, recipe, folder=tmp_path / "two", progress=False).run()
    assert result.paths["delta"].read_bytes() == again.paths["delta"].read_bytes()


def test_tuning_keeps_the_solved_head_beside_what_comes_of_it(data, split, tmp_path):
    tune = {"name": "tune", "epochs": 1, "steps_per_epoch": 3, "warmup_steps": 1, "num_resamples": 2}
    plain = solved(network(data, "linear"), split).net.eval()
    net = network(data, "full")
    training = Training(net, split, tune, folder=tmp_path / "kept", progress=False)
    result = training.run()
    images = torch.stack([one["image"] for one in training.dataset("test")])
    net.eval()
    with torch.no_grad():
        both = net(images)
        torch.testing.assert_close(net.solved(images), plain(images), atol=1e-4, rtol=1e-4)
        net.keep_solved(False)
        torch.testing.assert_close(both, (net(images) + plain(images)) / 2, atol=1e-4, rtol=1e-4)
    # That head is what the result is compared with, and its answers are those of the delta.
    baseline = json.loads(result.paths["metrics"].read_text())["baseline"]
    assert baseline["name"] == "the solved head without tuning"
    again = TunedViT.from_delta(result.paths["delta"]).eval()
    with torch.no_grad():
        torch.testing.assert_close(again(images), both)
    assert result.record["params"]["keep_solved"] and result.record["recipe"]["keep_solved"]
    # Whoever does not want it, and whoever trains nothing, has one network.
    net.keep_solved()
    for settings in ({**tune, "keep_solved": False}, {**tune, "epochs": 0}, {"name": "train", "epochs": 1}):
        Training(net, split, settings, progress=False)
        assert net.solved is None
