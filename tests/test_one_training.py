# SPDX-License-Identifier: Apache-2.0

"""``fit``, ``monai-ept train``, a bundle and a cell of a sweep are doors to one training: one split, one result."""

from __future__ import annotations

from itertools import product

import monai.bundle
import pytest
import torch
from safetensors import safe_open

from monai_ept import TunedViT, adapt, fit
from monai_ept.__main__ import main
from monai_ept.benchmark.plan.expand import sweep_cells
from monai_ept.benchmark.plan.sweep_file import sweep_from
from monai_ept.benchmark.run.train_cell import cell_training
from monai_ept.benchmark.run.worker_cache import Workbench, cell_split
from monai_ept.data import few_shot_split, load_source
from monai_ept.delta import read_delta
from monai_ept.start import start_as_written
from tests.bundles.cases import DERM, config
from tests.drawing import nothing_is_drawn  # noqa: F401, a fixture

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file", "ignore:synthetic_")


SOURCE, SIZE, SHOTS, SEED = "synthetic_derm", 32, 1, 3
CLASSES = ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"]  # in the order of the source, which is not the bundle's


def by_fit(folder, method, recipe, adapted=None):
    data = load_source(SOURCE, lazy=True, **DERM)
    torch.manual_seed(SEED)
    net = TunedViT("embedded", data.num_classes, method=method, img_size=SIZE, class_names=data.class_names)
    start_as_written(net, adapted)
    split = few_shot_split(data, SHOTS, SEED)
    recipe = {**recipe, "num_resamples": 0}  # of no influence on what is learnt
    fit(net, split, data=data, recipe=recipe, seed=SEED, out_dir=folder, track=False, progress=False)
    return folder / "delta.safetensors"


def by_bundle(folder, method, recipe, **more):
    settings = {"method": method, "img_size": SIZE, "source_options": DERM, "class_names": CLASSES}
    settings.update({"recipe" if key == "name" else key: value for key, value in recipe.items()})
    monai.bundle.run(
        config_file=config("ept_derm", "train.yaml"),
        **settings,
        **more,
        shots=SHOTS,
        seed=SEED,
        track=False,
        run_dir=str(folder),
        **{"recipe_settings#num_resamples": 0},
    )
    return folder / "delta.safetensors"


def by_command(folder, method, recipe, **more):
    given = {"method": method, "img_size": SIZE, "shots": SHOTS, "seed": SEED, "recipe": recipe["name"], **more}
    words = [word for key, value in given.items() for word in (f"--{key}", str(value))]
    words += [word for key, value in DERM.items() for word in ("--option", f"{key}={value}")]
    settings = {**{key: value for key, value in recipe.items() if key != "name"}, "num_resamples": 0}
    words += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    assert main(["train", "--source", SOURCE, *words, "--no-track", "--out", str(folder)]) == 0
    return folder / "delta.safetensors"


def by_sweep(folder, method, recipe, adapted=None):
    content = {
        "name": "small",
        "sources": [{"name": SOURCE, **DERM}],
        "backbones": [{"name": "embedded", "img_size": SIZE}],
        "shots": [SHOTS],
        "samplings": [SEED],
        "seeds": [SEED],
        "recipe": recipe,
        "methods": [{"method": method, "adapted": adapted}],
    }
    (cell,) = sweep_cells(sweep_from(content))
    bench = Workbench(folder / "images")
    data = bench.data(cell)
    net = bench.network(cell, data)
    cell_training(cell, bench, net, cell_split(cell, data), data).train()
    net.save_delta(folder / "cell.safetensors")
    return folder / "cell.safetensors"


def tensors(path):
    with safe_open(str(path), "pt") as file:
        return {name: file.get_tensor(name).numpy().tobytes() for name in file.keys()}  # noqa: SIM118, no mapping


METHODS = "ept", "lora", ["ept", "ln"]
SHORT = {
    "default": {"views": "turned"},  # the bundle's
    "tune": {"views": "turned", "epochs": 1, "steps_per_epoch": 2, "batch_size": 4, "warmup_steps": 1},
    "train": {"epochs": 2},
    "paper": {"epochs": 2},
}
QUICK = ("ept", "default"), (["ept", "ln"], "paper")


@pytest.mark.parametrize(
    ("method", "recipe"),
    [
        pytest.param(*case, id="-".join(map(str, case)), marks=[] if case in QUICK else pytest.mark.slow)
        for case in product(METHODS, SHORT)
    ],
)
def test_all_doors_lead_to_one_training(method, recipe, tmp_path):
    given = method, {"name": recipe, **SHORT[recipe]}
    fitted = by_fit(tmp_path / "fit", *given)
    bundled = by_bundle(tmp_path / "bundle", *given)
    commanded = by_command(tmp_path / "command", *given)
    swept = by_sweep(tmp_path / "sweep", *given)
    assert tensors(fitted) == tensors(bundled) == tensors(swept)
    assert fitted.read_bytes() == bundled.read_bytes() == commanded.read_bytes(), "what adapters say of themselves"


@pytest.mark.slow
def test_all_doors_start_from_one_adaptation(tmp_path):
    data = load_source(SOURCE, lazy=True, **DERM)
    torch.manual_seed(SEED)
    net = TunedViT("embedded", data.num_classes, method="ln", img_size=SIZE, class_names=data.class_names)
    settings = {"steps": 2, "batch_size": 8, "views": "turned"}
    made = adapt(net, data, settings=settings, seed=SEED, out_dir=tmp_path / "made", progress=False).path
    given = "ln", {"name": "solve", "views": "turned"}
    start = {"file": str(made), "check": False}
    fitted = by_fit(tmp_path / "fit", *given, start)
    bundled = by_bundle(tmp_path / "bundle", *given, adapted=start)
    commanded = by_command(tmp_path / "command", *given, adapted=start)
    swept = by_sweep(tmp_path / "sweep", *given, start)
    assert tensors(fitted) == tensors(bundled) == tensors(swept)
    assert fitted.read_bytes() == bundled.read_bytes() == commanded.read_bytes(), "what adapters say of themselves"
    assert tensors(fitted)["backbone.norm.weight"] == tensors(made)["backbone.norm.weight"]
    # A bundle adapts by itself, to the same.
    settings = {"steps": 2, "batch_size": 8, "check": False}
    by_itself = by_bundle(tmp_path / "itself", *given, unlabelled="rest", adaptation=settings)
    assert tensors(by_itself) == tensors(fitted)
    kept = tmp_path / "itself" / "adapted" / "adapted.safetensors"
    assert tensors(kept) == tensors(made)
    assert read_delta(by_itself).metadata["start"]["identity"]["images"] == len(data.official("train"))
