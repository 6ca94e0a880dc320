# SPDX-License-Identifier: Apache-2.0

"""Folders that hold something already, that are none, or that miss a part; and commands over a finished training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from monai_ept import FitResult
from monai_ept.engines import Training
from monai_ept.runs import find_training
from tests.bad_inputs.case import BadInput, parameters, refuse
from tests.bundles.cases import DERM
from tests.engines.scenes import pictures, small_net, small_split

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file", "ignore:synthetic_")

OLD = Path(__file__).parents[1] / "runs" / "of_release_0.1" / "bundle"
TRAIN = {"config": "ept_derm/train.yaml", "source_options": DERM, "img_size": 32, "shots": 1, "run_dir": "run"}
EVALUATE = {"config": "ept_derm/evaluate.yaml", "run_dir": "run", "num_resamples": 5}
PREDICT = {"config": "ept_derm/inference.yaml", "run_dir": "run"}


@pytest.fixture(scope="module", autouse=True)
def finished(tmp_path_factory):
    """A finished training, whose place the cases know once it is there."""
    from monai.bundle import run

    from tests.bundles.cases import config

    place = tmp_path_factory.mktemp("finished") / "run"
    settings = {key: value for key, value in TRAIN.items() if key != "config"}
    run(config_file=config("ept_derm", "train.yaml"), **{**settings, "run_dir": str(place)}, epochs=1, track=False)
    FINISHED.append(place)
    yield
    FINISHED.clear()


FINISHED: list[Path] = []


def copy(*but, to="run", **texts):
    """A copy of the finished training, without some of its files, and with others of these texts."""

    def make(folder):
        shutil.copytree(FINISHED[0], folder / to, ignore=shutil.ignore_patterns(*but), dirs_exist_ok=True)
        for name, text in texts.items():
            write(f"{to}/{name.replace('_', '.')}", text)(folder)

    return make


def write(path, text="x"):
    def make(folder):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)

    return make


def all_of(*makes):
    return lambda folder: [make(folder) for make in makes]


def train(path="run", **options):
    """A training whose folder alone is bad: it is not even put together."""

    def call(folder):
        data = pictures()
        Training(small_net(), small_split(data), {"epochs": 1}, data=data, folder=path, progress=False, **options).run()

    return call


def link_to_itself(folder):
    (folder / "run").symlink_to(folder / "run")


NEITHER = ["holds a finished training", "--overwrite true", "another --run_dir (out_dir of fit) keeps both"]

FOLDERS = [
    BadInput("finished", NEITHER, copy(), call=train()),
    BadInput("finished-by-0.1", NEITHER, lambda folder: shutil.copytree(OLD, folder / "run"), call=train()),
    BadInput("only-its-evaluation", NEITHER,
             all_of(write("run/evaluation/metrics.json"), write("run/training.json")), call=train()),
    BadInput(
        "unfinished",
        ["holds a training that is not finished", "--resume true", "--overwrite true", "--run_dir"],
        write("run/last.pt"),
        call=train(),
    ),
    BadInput(
        "resumed-without-checkpoint",
        ["without its checkpoint last.pt", "--overwrite true trains anew"],
        copy("last.pt"),
        call=train(resume=True),
    ),
    BadInput("a-file", ["run is a file and no folder", "choose another --run_dir"], write("run"), call=train()),
    BadInput("below-a-file", ["file/run", "Not a directory"], write("file"), call=train("file/run")),
    BadInput("no-letters", ["cannot be used", "null byte"], call=train("r\0un")),
    BadInput("long-name", ["cannot be used", "File name too long"], call=train("x" * 300)),
    BadInput("nowhere-to-write", ["/proc/nothing", "cannot write into the folder"], call=train("/proc/nothing/run")),
    BadInput("link-to-itself", ["cannot write into the folder", "run (File exists)"], link_to_itself, call=train()),
    BadInput("name-of-what-is-not-complete", ["run.next", "not complete yet"], call=train("run.next")),
    BadInput("lock-is-a-folder", [".lock", "Is a directory"], write("run/.lock/x"), call=train()),
    BadInput("evaluation", ["run holds an evaluation", "choose another"], write("run/metrics.json"), call=train()),
    BadInput("predictions", ["run holds predictions"], write("run/predictions.csv"), call=train()),
    BadInput("export", ["run holds an exported model"], write("run/model.pt"), call=train(overwrite=True)),
    BadInput("analysis", ["run holds an analysis"], write("run/analysis.json"), call=train(overwrite=True)),
    BadInput("sweep", ["run holds a sweep"], write("run/sweep.yaml"), call=train(resume=True)),
    BadInput("bundle", ["run holds a bundle"], write("run/configs/metadata.json"), call=train()),
    BadInput(
        "replaced-with-other-things",
        ["run holds other things too (notes.txt)", "move them away"],
        all_of(copy(), write("run/notes.txt")),
        call=train(overwrite=True),
    ),
    BadInput(
        "somebodys-next",
        ["run.next holds other things too (thesis.tex)"],
        all_of(copy(), write("run.next/thesis.tex")),
        call=train(overwrite=True),
    ),
    BadInput(
        "working-directory",
        ["is the working directory or holds it", "run the command from elsewhere"],
        copy(to="."),
        call=train(".", overwrite=True),
    ),
    BadInput("link-to-a-file", ["f is a file and no folder"], all_of(write("f"), lambda f: (f / "run").symlink_to("f")),
             call=train()),
    BadInput("nothing-trained", ["there is no finished training in", "--run_dir PATH"],
             bundle=EVALUATE | {"run_dir": None}, slow=True),
    BadInput("load-nothing", ["nothing is not the folder of a finished training"],
             call=lambda folder: FitResult.load("nothing")),
    BadInput("load-a-file", ["has no delta.safetensors"], write("file"), call=lambda folder: FitResult.load("file")),
    BadInput("load-a-damaged-record", ["training.json does not describe a training"], copy(training_json="{"),
             call=lambda folder: FitResult.load("run")),
    BadInput("load-without-record", ["run has no training.json"], copy("training.json"),
             call=lambda folder: FitResult.load("run")),
    BadInput("load-without-split", ["it has no split.json"], copy("split.json"),
             call=lambda folder: FitResult.load("run")),
    BadInput("find-in-unfinished", ["there is no finished training in"], copy(to="runs/run.next"),
             call=lambda folder: find_training(runs="runs")),
]  # fmt: skip


@pytest.mark.parametrize("case", parameters(FOLDERS))
def test_folders(case, tmp_path, monkeypatch):
    refuse(case, tmp_path, monkeypatch)


# What the issue reports of a finished training: each of these has removed its adapter, or written over it.
COMMANDS = [
    BadInput(name, says or ["run holds a finished training", "--overwrite true"], copy(),
             bundle={**TRAIN, "epochs": 1, **given}, slow=slow)
    for name, says, given, slow in [
        ("nothing-changed", None, {}, False),
        ("lr", None, {"lr": 0.01}, True),
        ("other-shots", None, {"shots": 2}, True),
        ("amp", ["amp", "fp16"], {"amp": "fp16"}, False),
        ("epochs", None, {"epochs": 0}, True),
        ("batch_size", ["batch_size"], {"batch_size": 0}, True),
        ("select", ["select", "best"], {"select": "best"}, True),
        ("max_norm", ["max_norm"], {"max_norm": -1, "overwrite": True}, True),
        ("momentum", ["momentum"], {"momentum": 2, "optimizer": "sgd", "overwrite": True}, True),
        ("warmup_steps", ["warmup"], {"warmup_steps": 100, "overwrite": True}, False),
        ("max_epochs", ["set --epochs 3"], {"train#trainer#max_epochs": 3, "overwrite": True}, False),
        ("resume-of-another", ["belongs to another training: its lr"], {"lr": 0.5, "resume": True}, False),
    ]
]  # fmt: skip


@pytest.mark.parametrize("case", parameters(COMMANDS))
def test_commands_over_a_finished_training(case, tmp_path, monkeypatch):
    refuse(case, tmp_path, monkeypatch)


USES = [
    BadInput("evaluation-in-its-training", ["run holds a finished training", "another --output_dir"], copy(),
             bundle=EVALUATE | {"output_dir": "run", "overwrite": True}),
    BadInput("evaluation-as-the-trainings-own", ["run/evaluation lies in the folder of a training"], copy(),
             bundle=EVALUATE | {"output_dir": "run/evaluation", "overwrite": True}, slow=True),
    BadInput("evaluation-again",
             ["run.evaluation-test holds an evaluation already", "--overwrite true", "--output_dir"],
             all_of(copy(), write("run.evaluation-test/metrics.json")), bundle=EVALUATE),
    BadInput("evaluation-among-others", ["other things too (mine.txt)"],
             all_of(copy(), write("out/metrics.json"), write("out/mine.txt")),
             bundle=EVALUATE | {"output_dir": "out", "overwrite": True}, slow=True),
    BadInput("evaluation-in-a-file", ["out is a file and no folder"], all_of(copy(), write("out")),
             bundle=EVALUATE | {"output_dir": "out"}, slow=True),
    BadInput("predictions-again", ["run.predictions-embedded holds predictions already", "--overwrite true"],
             all_of(copy(), write("run.predictions-embedded/predictions.csv")), bundle=PREDICT),
    BadInput("predictions-in-an-evaluation", ["run/evaluation holds an evaluation"], copy(),
             bundle=PREDICT | {"output_dir": "run/evaluation", "overwrite": True}, slow=True),
    BadInput("export-again", ["run.export holds an exported model already", "--export_dir"],
             all_of(copy(), write("run.export/model.pt")), bundle=PREDICT | {"run_id": "export"}),
    BadInput("export-into-a-bundle", ["mine holds a bundle"], all_of(copy(), write("mine/configs/metadata.json")),
             bundle=PREDICT | {"run_id": "export", "export_dir": "mine"}, slow=True),
    BadInput("use-of-a-damaged-record", ["training.json does not describe a training"],
             copy(training_json=json.dumps({"format": "x"})), bundle=PREDICT, slow=True),
    BadInput("use-without-adapter", ["run is not the folder of a finished training", "no delta.safetensors"],
             copy("delta.safetensors"), bundle=EVALUATE),
    BadInput("use-of-a-sweep", ["run is not the folder of a finished training"], write("run/sweep.yaml"),
             bundle=PREDICT, slow=True),
    BadInput("analysis-again", ["run/analysis holds an analysis already", "--overwrite", "--out"],
             all_of(copy(), write("run/analysis/analysis.json")), command=["analyze", "--run", "run"]),
    BadInput("analysis-in-its-training", ["run holds a finished training"], copy(),
             command=["analyze", "--run", "run", "--out", "run", "--overwrite"], slow=True),
    BadInput("analysis-in-a-file", ["out is a file and no folder"], all_of(copy(), write("out")),
             command=["analyze", "--run", "run", "--out", "out"], slow=True),
]  # fmt: skip


@pytest.mark.parametrize("case", parameters(USES))
def test_uses_of_a_training(case, tmp_path, monkeypatch):
    refuse(case, tmp_path, monkeypatch)
