# SPDX-License-Identifier: Apache-2.0

"""Settings that no training, evaluation or prediction can have: each is refused under the name that a user gave it."""

from __future__ import annotations

import pytest
import torch

from monai_ept.engines import Training, fit, recipe_of
from tests.bad_inputs.case import BadInput, parameters, refuse
from tests.engines.scenes import pictures, small_net, small_split

TRAIN = {"config": "ept_derm/train.yaml", "shots": 1, "img_size": 32, "run_dir": "run"}
VOLUME = {"config": "ept_volume/train.yaml", "shots": 1, "run_dir": "run"}
EVALUATE = {"config": "ept_derm/evaluate.yaml", "run_dir": "run"}
PREDICT = {"config": "ept_derm/inference.yaml", "run_dir": "run"}


def typed(name, value, *says, config=TRAIN, slow=False):
    """A setting of a bundle with a value as the command line hands it over."""
    case = f"{config['config'].split('/')[1].split('.')[0]}-{name}-{str(value)[:24]!r}"
    return BadInput(case, [name, *says], bundle={**config, name: value}, slow=slow)


def given(name, says, **options):
    """An argument of ``fit``."""

    def call(folder):
        data = pictures()
        split = small_split(data, val=options.pop("val", "shots"))
        fit(small_net(), split, **{"data": data, "out_dir": folder / "run", "track": False, **options})

    return BadInput(f"fit-{name}", says, call=call)


CASES = [
    typed("epochs", -1, "at least 0", "got -1"),
    typed("epochs", "x", "got 'x'"),
    typed("epochs", 1.5, "got 1.5"),
    typed("epochs", True, "got True"),
    typed("batch_size", 0, "at least 1"),
    typed("batch_size", -4, "at least 1"),
    typed("optimizer", "adam", "did you mean 'adamw'"),
    typed("lr", 0, "above 0"),
    typed("lr", "1e-3x", "above 0", "'1e-3x'"),
    typed("lr", float("nan"), "above 0"),
    typed("lr", 10**400, "above 0"),
    typed("momentum", 2, "below 1"),
    typed("weight_decay", -1, "at least 0"),
    typed("schedule", "linear", "'cosine', 'constant'"),
    typed("warmup_steps", -1, "at least 0"),
    typed("warmup_steps", 1000, "leave some for the training", config={**TRAIN, "recipe": "train"}, slow=True),
    typed("class_weighting", "perhaps", "neither true nor false"),
    typed("max_norm", -1, "above 0"),
    typed("augment", "x", "neither true nor false"),
    typed("amp", "fp16", "'bfloat16', 'float16'"),
    typed("amp", "float16", "CUDA", "leave amp at 'auto'"),
    typed("select", "best", "'last', 'val'"),
    typed("val_interval", 0, "at least 1"),
    typed("adaptation", {"steps": 0}, "steps must be a whole number of at least 1"),
    typed("adaptation", {"step": 5}, "did you mean 'steps'"),
    typed("adapted", {"path": "x"}, "'file'"),
    typed("unlabelled", 5, "text"),
    typed("recipe", "papers", "did you mean 'paper'"),
    typed("recipe", 5, "name or a mapping"),
    typed("seed", -1, "at least 0"),
    typed("seed", "x", "at least 0", "'x'"),
    typed("seed", 0.5, "whole number"),
    typed("seed", 2**63, "at most"),
    typed("shots", 0, "at least 1"),
    typed("shots", "many", "at least 1"),
    typed("sampling", "random", "'fresh'"),
    typed("test_fraction", "x", "above 0 and below 1"),
    typed("test_fraction", 1, "below 1"),
    typed("source", "folders", "did you mean 'folder'"),
    typed("source", 5, "not known"),
    typed("source_options", "x", "such as {'group_pattern'"),
    BadInput(
        "train-no-option", ["no option 'nothing'", "img_size"], bundle={**TRAIN, "source_options": {"nothing": 1}}
    ),
    typed("class_names", "nevus", "list of different names"),
    typed("class_names", ["nv", "nv"], "different"),
    typed("dataset_dir", 5, "text"),
    typed("backbone", "vit_tini_patch16_224", "did you mean vit_tiny_patch16_224"),
    typed("backbone", 16, "not a timm model"),
    typed("backbone", "vit_tiny_patch16_224.no_such_tag", "tag that timm does not know"),
    typed("pretrained", "nowhere.pth", "does not exist"),
    typed("pretrained", 5, "true, false or the path"),
    typed("img_size", "x", "at least 1"),
    typed("img_size", 0, "at least 1"),
    typed("img_size", 33, "32 or 48"),
    typed("img_size", [32, 32, 32], "one number or two"),
    typed("img_size", 224000, "patches", "choose a smaller one"),
    typed("method", "loar", "did you mean 'lora'"),
    typed("method", 5, "a name, a Method, a mapping"),
    typed("method", {"rank": 4}, "'name'"),
    typed("method", {"name": "lora", "rnk": 4}, "did you mean 'rank'"),
    typed("method_settings", "rank=8", "{'rank': 8}", "'rank=8'"),
    typed("method_settings", [1], "{'rank': 8}", "[1]"),
    BadInput(
        "train-rank-0", ["rank", "at least 1"], bundle={**TRAIN, "method": "lora", "method_settings": {"rank": 0}}
    ),
    BadInput(
        "train-rank-beyond-the-layer",
        ["rank", "10000000", "layer", "256"],
        bundle={**TRAIN, "method": "lora", "method_settings": {"rank": 10_000_000}},
    ),
    BadInput("train-layers-5", ["prompt_layers", "5"], bundle={**TRAIN, "method_settings": {"prompt_layers": 5}}),
    BadInput("train-targets-5", ["targets"], bundle={**TRAIN, "method": "lora", "method_settings": {"targets": 5}}),
    BadInput(
        "train-hidden_size",
        ["hidden_size"],
        bundle={**TRAIN, "method": "mlp", "method_settings": {"hidden_size": 10**9}},
    ),
    BadInput(
        "train-prompt_length-of-lora",
        ["'lora' has no setting 'prompt_length'"],
        bundle={**TRAIN, "method": "lora", "prompt_length": 5},
    ),
    typed("prompt_length", 0, "at least 1"),
    typed("prompt_length", 10**9, "at most 10000"),
    typed("dropout", 1, "below 1"),
    typed("dropout", "x", "below 1"),
    typed("num_workers", -1, "at least 0"),
    typed("num_workers", "x", "at least 0"),
    typed("device", "gpu", "not known", "cpu"),
    typed("device", "meta", "not there"),
    typed("device", True, "not known"),
    typed("resume", "x", "neither true nor false"),
    typed("track", "x", "neither true nor false"),
    typed("tags", "x", "such as {'study'"),
    typed("tags", [1], "such as {'study'"),
    typed("experiment", 5, "name of 1 to 500 characters"),
    typed("tracking_uri", ["x"], "text"),
    typed("register", "", "1 to 250 characters"),
    BadInput(
        "train-metric", ["key_metric 'acuracy'", "'accuracy'"], bundle={**TRAIN, "validate#key_metric": "acuracy"}
    ),
    BadInput("train-max_epochs", ["--epochs 3"], bundle={**TRAIN, "train#trainer#max_epochs": 3}, slow=True),
    BadInput(
        "train-max_epoch", ["did you mean 'max_epochs'"], bundle={**TRAIN, "train#trainer#max_epoch": 3}, slow=True
    ),
    typed("intensity_range", 5, "[from, to]", config=VOLUME),
    typed("intensity_range", [400, -200], "rise", config=VOLUME),
    typed("patch_size", 0, "at least 1", config=VOLUME),
    typed("patch_size", 7, "multiple", config=VOLUME),
    typed("in_channels", 0, "at least 1", config=VOLUME),
    typed("img_size", 48000, "patches", config=VOLUME),
    typed("part", "tests", "did you mean 'test'", config=EVALUATE),
    typed("num_resamples", -1, "at least 0", config=EVALUATE),
    typed("seed", -1, "at least 0", config=EVALUATE),
    typed("batch_size", 0, "at least 1", config=EVALUATE),
    typed("device", "gpu", "not known", config=EVALUATE),
    typed("track", "maybe", "neither true nor false", config=EVALUATE),
    typed("source", "foldr", "did you mean 'folder'", config=EVALUATE),
    BadInput(
        "evaluate-run_dir", ["nowhere", "folder of a finished training"], bundle={**EVALUATE, "run_dir": "nowhere"}
    ),
    typed("batch_size", "x", "at least 1", config=PREDICT),
    typed("device", "gpu", "not known", config=PREDICT),
    typed("num_workers", -2, "at least 0", config=PREDICT),
    typed("pretrained", 7, "path of a checkpoint", config=PREDICT),
    given("epochs", ["epochs", "at least 1"], recipe={"name": "train", "epochs": 0}),
    given("recipe", ["a name or a mapping"], recipe=[1]),
    given("setting", ["a recipe has no 'epoch'", "'epochs'"], recipe={"epoch": 3}),
    given("seed", ["seed", "at least 0"], seed=-1),
    given("device", ["device 'gpu' is not known", "cpu"], device="gpu"),
    given("workers", ["num_workers", "at least 0"], num_workers=-1),
    given("resume", ["resume", "neither true nor false"], resume="x"),
    given("track", ["track", "neither true nor false"], track="x"),
    given("tags", ["tags", "such as"], track={"tags": "x"}),
    given("experiment", ["experiment", "name of 1 to 500 characters"], track={"experiment": 5}),
    given("misspelled", ["track has no 'experimnt'"], track={"experimnt": "x"}),
    given("metric", ["key_metric 'acc' is not known"], recipe={"key_metric": "acc"}),
    given("select", ["select='val' needs validation images"], recipe={"select": "val"}, val="none"),
    given("amp", ["amp 'float16' is for CUDA cards", "leave amp at 'auto'"], recipe={"amp": "float16"}),
]
if not torch.cuda.is_available():
    CASES += [
        typed("device", "cuda", "sees no CUDA card", "cpu"),
        typed("device", "cuda:0", "sees no CUDA card", config=EVALUATE),
        given("cuda", ["device 'cuda' is not there", "cpu"], device="cuda"),
    ]


@pytest.mark.filterwarnings("ignore:parsing config_file", "ignore:synthetic_")
@pytest.mark.parametrize("case", parameters(CASES))
def test_refused(case, tmp_path, monkeypatch):
    refuse(case, tmp_path, monkeypatch)


def test_a_metric_of_one_task_alone_is_none_of_the_other():
    recipe = recipe_of({"key_metric": "exact_match"})  # of several labels for an image
    with pytest.raises(ValueError, match="key_metric 'exact_match' is not known"):
        Training(small_net(), small_split(pictures()), recipe)


def test_a_recipe_and_a_training_refuse_in_the_same_words():
    with pytest.raises(ValueError) as by_recipe:
        recipe_of({"name": "train", "epochs": 0})
    with pytest.raises(ValueError) as by_training:
        Training(small_net(), small_split(pictures()), {"name": "train", "epochs": 0})
    assert str(by_recipe.value) == str(by_training.value)
