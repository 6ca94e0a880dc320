# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import csv
import inspect
import json
import logging
import os
import shutil

import numpy as np
import pytest
import torch
from monai.transforms import Compose

import monai_ept
from monai_ept import TunedViT, fit
from monai_ept.data import FewShotSplit, RecordSet, few_shot_split
from monai_ept.delta import read_delta
from monai_ept.engines import describe_run, network_transforms
from monai_ept.engines.recipe import SETTINGS
from monai_ept.files import WriteError
from monai_ept.handlers import CheckpointError, DeltaCheckpoint, NonFiniteError
from tests.backbones import monai_vit
from tests.drawing import all_pictures
from tests.engines.scenes import CLASSES, pictures, result_bytes, small_fit, small_net, small_split


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A training with validation that takes the last epoch all the same."""
    folder = tmp_path_factory.mktemp("fit") / "first"
    net = small_net()
    with all_pictures():
        return net, small_fit(folder, net, val_interval=1), folder


def test_is_a_public_name():
    assert monai_ept.fit is fit


def test_result(trained):
    net, result, _ = trained
    test = small_split(pictures()).test
    assert result.metrics["num_images"] == len(test) == 12
    assert 0 <= result.intervals["accuracy"].low <= result.metrics["accuracy"] <= result.intervals["accuracy"].high
    assert [row["epoch"] for row in result.history] == [1, 2, 3]
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    assert 0 < result.history[-1]["lr"] < result.history[0]["lr"] < 1e-2
    assert result.run_id is None and result.epoch == 3
    assert all(path.stat().st_size for path in result.paths.values())
    assert "<img" in result.paths["page"].read_text(encoding="utf-8")
    assert "95 % interval" in str(result) and "balanced_accuracy" in str(result)
    loaded = TunedViT.from_delta(result.paths["delta"], backbone=monai_ept_backbone()).eval()
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(loaded(image), net.eval()(image))


def monai_ept_backbone():
    from tests.backbones import timm_vit

    return timm_vit()


def test_predictions_are_complete_and_what_the_metrics_say(trained):
    _, result, _ = trained
    with open(result.paths["predictions"], newline="") as file:
        rows = list(csv.DictReader(file))
    test = {record["id"]: record for record in small_split(pictures()).test}
    assert [row["id"] for row in rows] == list(test)
    assert all(CLASSES[test[row["id"]]["label"]] == row["label"] for row in rows)
    assert np.mean([row["label"] == row["prediction"] for row in rows]) == pytest.approx(result.metrics["accuracy"])
    for row in rows:
        probabilities = [float(row[f"probability_{name}"]) for name in CLASSES]
        assert sum(probabilities) == pytest.approx(1, abs=1e-6)
        assert CLASSES[int(np.argmax(probabilities))] == row["prediction"]


def test_the_same_seed_gives_the_same_bytes(trained, tmp_path):
    _, _, folder = trained
    torch.manual_seed(99)  # what the process did before does not matter
    small_fit(tmp_path / "again", val_interval=1)
    assert result_bytes(tmp_path / "again") == result_bytes(folder)
    # Neither do processes that load images, nor validation, except that history has none.
    small_fit(tmp_path / "workers", num_workers=1)
    for name in ("delta.safetensors", "evaluation/metrics.json"):
        assert (tmp_path / "workers" / name).read_bytes() == (folder / name).read_bytes()
    other = small_fit(tmp_path / "other", seed=1)
    assert other.paths["delta"].read_bytes() != (folder / "delta.safetensors").read_bytes()


def test_the_last_epoch_is_the_result_unless_validation_is_asked_for(trained, tmp_path):
    _, last, folder = trained
    rates = {"lr": 0.3, "schedule": "constant", "tuned_start": False}  # so high that it does not only get better
    chosen = small_fit(tmp_path / "val", select="val", epochs=5, key_metric="auc", **rates)
    scores = [row["val"]["auc"] for row in chosen.history]
    assert chosen.epoch == 1 + int(np.argmax(scores)) < 5
    delta = read_delta(chosen.paths["delta"])
    best = DeltaCheckpoint.read(tmp_path / "val" / "best.pt")
    assert best["epoch"] == chosen.epoch == delta.metadata["extra"]["epoch"]
    assert all(torch.equal(delta.tensors[name], value) for name, value in best["delta"].items())
    final = DeltaCheckpoint.read(folder / "last.pt")
    kept = read_delta(last.paths["delta"])
    assert all(torch.equal(kept.tensors[name], value) for name, value in final["delta"].items())


def test_resuming_what_is_done_changes_nothing(trained, tmp_path, caplog):
    _, _, folder = trained
    shutil.copytree(folder, tmp_path / "done")
    with caplog.at_level(logging.INFO):
        result = small_fit(tmp_path / "done", val_interval=1, resume=True)
    assert "epoch 3 of 3 is done" in caplog.text
    assert result_bytes(tmp_path / "done") == result_bytes(folder)
    assert len(result.history) == 3


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"lr": 2e-2}, "lr is 0.01 and here it is 0.02"),
        ({"seed": 5}, "seed is 0 and here it is 5"),
        ({"epochs": 2}, "epochs is 3 and here it is 2"),
        ({"net": {"method": "lora", "prompt_length": None}}, "methods is"),
        ({"net": {"class_names": ("a", "b", "c")}}, "class_names is"),
    ],
)
def test_resume_refuses_another_training(trained, tmp_path, change, named):
    _, _, folder = trained
    shutil.copytree(folder, tmp_path / "run")
    options = {"val_interval": 1, "resume": True, **change}
    settings = options.pop("net", None)
    if settings is not None:
        settings = {k: v for k, v in {"prompt_length": 5, **settings}.items() if v is not None}
        torch.manual_seed(7)
        backbone = monai_ept_backbone()
        options["net"] = TunedViT(backbone, 3, **{"method": "ept", "class_names": CLASSES, "dropout": 0.2, **settings})
    with pytest.raises(CheckpointError, match="belongs to another training: its") as error:
        small_fit(tmp_path / "run", **options)
    assert named in str(error.value)
    assert (tmp_path / "run" / "last.pt").read_bytes() == (folder / "last.pt").read_bytes()


def test_resume_refuses_another_split_and_another_backbone(trained, tmp_path):
    _, _, folder = trained
    shutil.copytree(folder, tmp_path / "run")
    data = pictures()
    recipe = {"name": "train", "epochs": 3, "lr": 1e-2, "num_resamples": 10, "val_interval": 1}
    options = {"recipe": recipe, "track": False, "progress": False, "resume": True, "out_dir": tmp_path / "run"}
    with pytest.raises(CheckpointError, match="its split is"):
        fit(small_net(), few_shot_split(data, 2, seed=1, val="shots"), data=data, **options)
    net = small_net()
    with torch.no_grad():
        next(net.backbone.parameters()).add_(1)
    with pytest.raises(CheckpointError, match="its backbone is"):
        fit(net, small_split(data), data=data, **options)


@pytest.mark.parametrize("damage", ["cut", "garbage", "other"])
def test_damaged_checkpoint(trained, tmp_path, damage):
    _, _, folder = trained
    shutil.copytree(folder, tmp_path / "run")
    path = tmp_path / "run" / "last.pt"
    content = path.read_bytes()
    if damage == "other":
        torch.save({"weights": torch.zeros(3)}, path)
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"no checkpoint at all")
    with pytest.raises(CheckpointError, match="is no checkpoint of" if damage == "other" else "damaged"):
        small_fit(tmp_path / "run", val_interval=1, resume=True)


def test_starting_over_forgets_the_old_best(trained, tmp_path):
    _, _, folder = trained
    shutil.copytree(folder, tmp_path / "run")
    assert (tmp_path / "run" / "best.pt").exists()
    small_fit(tmp_path / "run", seed=3, overwrite=True)
    assert not (tmp_path / "run" / "best.pt").exists()


def test_resume_without_a_checkpoint_starts(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        small_fit(tmp_path / "new", resume=True, epochs=1)
    assert "starts from the beginning" in caplog.text


def test_nan_loss_keeps_the_last_good_state(tmp_path):
    net = small_net()

    class Poison:
        """Spoils a weight of the head in the middle of the second epoch, as an overflow would."""

        def attach(self, engine):
            from ignite.engine import Events

            @engine.on(Events.ITERATION_STARTED(once=3))
            def poison(_):
                with torch.no_grad():
                    net.head.fc.weight[0, 0] = torch.nan

    steps_per_epoch = -(-len(small_split(pictures()).train) // 8)
    with pytest.raises(NonFiniteError) as error:
        small_fit(tmp_path / "nan", net, batch_size=8, handlers=[Poison()])
    message = str(error.value)
    assert steps_per_epoch == 2 and message.startswith("the loss is nan in epoch 2, step 3 (images img")
    assert "lower the learning rate" in message and "last.pt (epoch 1)" in message
    kept = DeltaCheckpoint.read(tmp_path / "nan" / "last.pt")
    assert kept["epoch"] == 1 and all(torch.isfinite(value).all() for value in kept["delta"].values())


def test_unwritable_folder_is_found_before_training(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(WriteError, match=r"cannot write into the folder .*file/run \(Not a directory\)"):
        small_fit(tmp_path / "file" / "run")
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o555)
    as_root = os.geteuid() == 0
    if as_root:  # whom no rights keep out
        os.seteuid(65534)
    try:
        with pytest.raises(WriteError, match="Permission denied"):
            small_fit(shut)
    finally:
        if as_root:
            os.seteuid(0)


def test_validation_without_images_is_an_error(tmp_path):
    data = pictures()
    split = few_shot_split(data, 2)
    with pytest.raises(ValueError, match="the split has none"):
        fit(small_net(), split, data=data, recipe={"select": "val"}, out_dir=tmp_path, track=False)
    with pytest.raises(ValueError, match="data has 3 classes and the network 2"):
        fit(TunedViT(monai_ept_backbone(), 2), split, data=data, out_dir=tmp_path, track=False)


def test_multilabel_with_weights_and_clipping(tmp_path):
    data = pictures(36, "multilabel")
    split = few_shot_split(data, 2)
    recipe = {"name": "train", "epochs": 2, "lr": 1e-2, "class_weighting": True, "max_norm": 1.0, "num_resamples": 5}
    result = fit(small_net(), split, recipe=recipe, out_dir=tmp_path, track=False, progress=False)
    assert "exact_match" in result.metrics and result.metrics["num_images"] == 12
    content = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    assert content["metrics"]["map"]["value"] == pytest.approx(result.metrics["map"])


def test_volumes_without_test_images(tmp_path, caplog):
    rng = np.random.default_rng(0)
    records = [
        {"image": rng.integers(0, 100 + 50 * (i % 2), (20, 20, 20), dtype=np.uint8), "label": i % 2, "group": f"g{i}",
         "id": f"v{i}"}
        for i in range(4)
    ]  # fmt: skip
    data = RecordSet("volumes", records, ("low", "high"), spatial_dims=3)
    split = FewShotSplit(records, [], [], data.name, data.source_hash, {"shots": 2, "seed": 0})
    net = TunedViT(monai_vit(3), 2, prompt_length=3)
    result = fit(
        net, split, data=data, recipe={"name": "train", "epochs": 1}, out_dir=tmp_path, track=False, progress=False
    )
    assert result.metrics == {} and "no test images" in caplog.text
    assert result.paths["delta"].exists()


def test_describe_run():
    net, split = small_net(), small_split(pictures())
    about = describe_run(net, split, {"seed": 3, "lr": 1e-3})
    assert about["method"] == "ept" and about["method.prompt_length"] == 5
    assert about["backbone_fingerprint"] == net.fingerprint() and about["split_hash"] == split.hash
    assert about["shots"] == 2 and about["seed"] == 3 and about["train_images"] == len(split.train)
    assert about["version.torch"] == torch.__version__ and about["device"] == "cpu"
    assert all(isinstance(value, (str, int, float)) for value in about.values())
    assert json.loads(json.dumps(about)) == about


def test_arguments_of_the_first_release_say_what_they_are_now(tmp_path):
    data = pictures()
    given = {"epochs": 1, "num_resamples": 0, "track": False, "progress": False}
    with pytest.warns(DeprecationWarning, match="write recipe=.*'epochs': 1.* instead"):
        result = fit(small_net(), small_split(data), data=data, out_dir=tmp_path, **given)
    assert len(result.history) == 1 and result.record["recipe"]["epochs"] == 1
    with pytest.raises(TypeError, match="shots"):
        fit(small_net(), small_split(data), shots=3)


def test_own_transforms(tmp_path):
    net, data = small_net(), pictures()
    seen = []
    mine = Compose([network_transforms(net), lambda record: seen.append(record["id"]) or record])
    given = {
        "data": data,
        "recipe": {"name": "train", "epochs": 1, "num_resamples": 0},
        "track": False,
        "progress": False,
    }
    fit(net, small_split(data), out_dir=tmp_path / "new", transforms={"eval": mine}, **given)
    # The linear head beside it looks at training images as they are, prediction sets at validation images.
    split = small_split(data)
    assert set(seen) == {record["id"] for record in (*split.train, *split.val, *split.test)}
    with pytest.warns(DeprecationWarning, match="write transforms=.*'train': .* instead"):
        fit(net, small_split(data), out_dir=tmp_path / "old", train_transform=mine, **given)
    assert {record["id"] for record in small_split(data).train} <= set(seen)
    with pytest.raises(ValueError, match="transforms 'test' is not known"):
        fit(net, small_split(data), out_dir=tmp_path / "no", transforms={"test": mine}, **given)


def test_fit_takes_few_parameters_and_none_twice():
    names = set(inspect.signature(fit).parameters)
    assert len(names) <= 14 and not names & set(SETTINGS)
