# SPDX-License-Identifier: Apache-2.0

"""What may be wrong with ``monai-ept train``, ``evaluate`` and ``predict``."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.bad_inputs.case import BadInput, parameters, refuse
from tests.bad_inputs.images import good_folder

pytestmark = pytest.mark.filterwarnings("ignore:synthetic_")

OLD = Path(__file__).parents[1] / "runs" / "of_release_0.1" / "bundle"


def finished(folder: Path) -> None:
    """A finished training, and images of other classes."""
    good_folder(folder)
    shutil.copytree(OLD, folder / "run")


def of(command: str, name: str, says: list[str], *words: str, make=finished) -> BadInput:
    return BadInput(f"{command}-{name}", says, make, command=[command, *words])


def train(name: str, says: list[str], *words: str) -> BadInput:
    given = ["train", "data", "--shots", "1", "--img-size", "32", "--no-track", *words]
    return BadInput(f"train-{name}", says, good_folder, command=given)


CASES = [
    of("train", "nothing", ["name a folder of labelled images", "monai-ept check", "--source synthetic_derm"]),
    of("train", "no-folder", ["nowhere", "does not exist"], "nowhere"),
    of("train", "source-without-folder", ["name a folder"], "--source", "folder"),
    of("train", "no-classes", ["put the images of each class into a folder of its own"], "data/benign"),
    train("source", ["source 'foldr' is not known", "did you mean 'folder'"], "--source", "foldr"),
    train("option", ["no option 'nothing'"], "--source", "folder", "--option", "nothing=1"),
    train("option-without-value", ["--option 'x' has no value"], "--option", "x"),
    train("shots", ["shots must be a whole number of at least 1, got 0"], "--shots", "0"),
    train("shots-text", ["shots must be", "'many'"], "--shots", "many"),
    train("seed", ["seed 'x' is neither a number, nor several such as 0:5"], "--seed", "x"),
    train("seeds-backwards", ["seed '5:0'"], "--seeds", "5:0"),
    train("seeds-twice", ["seed '1,1'"], "--seeds", "1,1"),
    train("seed-below-zero", ["seed must be a whole number of at least 0"], "--seed=-1"),
    train("test-fraction", ["test_fraction must be a number above 0 and below 1"], "--test-fraction", "1"),
    train("positive", ["positive 'melanoma' is no class"], "--positive", "melanoma"),
    train("operating-point", ["say which, with positive"], "--operating-point", "0.3"),
    train("operating-point-word", ["neither a probability"], "--positive", "benign", "--operating-point", "best"),
    train("backbone", ["did you mean vit_tiny_patch16_224"], "--backbone", "vit_tini_patch16_224"),
    train("pretrained", ["nowhere.pth", "does not exist"], "--pretrained", "nowhere.pth"),
    train("backbone-settings", ["backbone_settings"], "--backbone-settings", "5"),
    train("img-size", ["img_size", "32 or 48"], "--img-size", "33"),
    train("method", ["did you mean 'lora'"], "--method", "loar"),
    train("method-no-yaml", ["--method is no YAML"], "--method", "[ept"),
    train("method-setting", ["did you mean 'rank'"], "--method", "{name: lora, rnk: 4}"),
    train("readout", ["readout"], "--readout", "deep"),
    train("recipe", ["did you mean 'paper'"], "--recipe", "papers"),
    train("epochs", ["epochs must be", "got -1"], "--epochs=-1"),
    train("lr", ["lr must be a number above 0", "'fast'"], "--lr", "fast"),
    train("amp", ["amp 'fp16' is not known"], "--amp", "fp16"),
    train("views", ["views 'round' is not known"], "--views", "round"),
    train("set", ["a recipe has no 'epoch'", "'epochs'"], "--set", "epoch=3"),
    train("set-without-value", ["--set 'epochs' has no value"], "--set", "epochs"),
    train("unlabelled", ["nowhere", "check the path"], "--unlabelled", "nowhere"),
    train("adapted", ["nowhere"], "--adapted", "nowhere"),
    train("device", ["device 'gpu' is not known"], "--device", "gpu"),
    train("workers", ["num_workers must be"], "--num-workers", "x"),
    train("register-several", ["--register takes one training"], "--register", "derm", "--seeds", "0:2"),
    train("register", ["register is no name"], "--register", "derm@latest"),
    BadInput("train-out-holds-something", ["holds an evaluation", "choose another"],
             lambda folder: (good_folder(folder), (folder / "out").mkdir(), (folder / "out/metrics.json").touch()),
             command=["train", "data", "--shots", "1", "--img-size", "32", "--no-track", "--out", "out"]),
    of("predict", "run", ["nowhere is no folder", "name the folder of a finished training"], "nowhere", "data"),
    of("predict", "images", ["there is no file or folder nowhere"], "run", "nowhere"),
    of("predict", "batch-size", ["batch_size must be", "'x'"], "run", "data", "--batch-size", "x"),
    of("predict", "pretrained", ["nowhere.pth", "does not exist"], "run", "data", "--pretrained", "nowhere.pth"),
    of("predict", "into-the-training", ["run holds a finished training"], "run", "data", "--out", "run"),
    of("evaluate", "run", ["nowhere is no folder", "name the folder of a finished training"], "nowhere"),
    of("evaluate", "part", ["did you mean 'test'"], "run", "--part", "tests"),
    of("evaluate", "data", ["nowhere", "does not exist"], "run", "nowhere"),
    of("evaluate", "external-without-data", ["say where it is"], "run", "--part", "external"),
    of("evaluate", "other-classes", ["has a class 'benign' that was not trained"], "run", "data"),
    of("evaluate", "against", ["nowhere", "not the folder of a finished training"], "run", "--against", "nowhere"),
    of("evaluate", "positive", ["positive 'melanoma' is no class"], "run", "--positive", "melanoma"),
    of("evaluate", "point", ["is chosen by a training"], "run", "--positive", "mel", "--operating-point", "youden"),
    of("evaluate", "resamples", ["num_resamples must be"], "run", "--num-resamples=-1"),
]  # fmt: skip


@pytest.mark.parametrize("case", parameters(CASES))
def test_refused(case, tmp_path, monkeypatch):
    refuse(case, tmp_path, monkeypatch)
