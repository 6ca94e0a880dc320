# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import dataclasses
import gc
import multiprocessing
import os

import numpy as np
import pytest
import timm
import torch
from monai.networks.nets import ViT
from PIL import Image

from monai_ept import TunedViT
from monai_ept.benchmark.plan.expand import sweep_cells
from monai_ept.benchmark.plan.sweep_file import sweep_from
from monai_ept.benchmark.run.image_store import ImageStore, RecordImages, image_key, split_transform
from monai_ept.benchmark.run.train_cell import run_cell
from monai_ept.benchmark.run.worker_cache import Workbench
from monai_ept.data import SeededDataLoader, eval_transforms, load_source, train_transforms
from monai_ept.engines import fit, network_transforms
from monai_ept.engines.frozen_layers import UpperPart, lower_part, trained_level


@pytest.fixture(autouse=True, scope="module")
def quick_collection():
    """Each cell begins with a full garbage collection, which need not look at all of torch each time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def files(tmp_path):
    """Files of several kinds: colour, grey, alpha, 16 bits, and an array."""
    rng = np.random.default_rng(0)
    (tmp_path / "files").mkdir()
    records = []
    for index, (_, shape, dtype) in enumerate(
        [
            ("RGB", (20, 30, 3), "uint8"),
            ("L", (25, 25), "uint8"),
            ("RGBA", (9, 8, 4), "uint8"),
            ("I;16", (7, 6), "uint16"),
        ]
    ):
        pixels = rng.integers(0, 200, shape).astype(dtype)
        path = tmp_path / "files" / f"{index}.png"
        Image.fromarray(pixels).save(path)
        records.append({"image": str(path), "label": index % 2, "id": f"r{index}", "group": f"g{index}"})
    records.append({"image": rng.integers(0, 255, (12, 14, 3)).astype("uint8"), "label": 1, "id": "r4", "group": "g4"})
    return records


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_out_of_the_store_are_those_of_the_transforms(files, tmp_path, train, channels):
    make = train_transforms if train else eval_transforms
    whole = make(16, 0.5, 0.5, in_channels=channels)
    load, rest = split_transform(make(16, 0.5, 0.5, in_channels=channels))
    store = ImageStore(tmp_path / "store", load)
    keys = [image_key(record) for record in files]
    assert store.add(dict(zip(keys, files, strict=True))) == 5 and store.add(dict(zip(keys, files, strict=True))) == 0
    stored = SeededDataLoader(RecordImages(files, keys, store, rest), batch_size=5, seed=3)
    plain = SeededDataLoader(_Plain(files, whole), batch_size=5, seed=3)
    for _ in range(2):  # two epochs, augmented differently
        (ours,), (theirs,) = list(stored), list(plain)
        assert torch.equal(ours["image"], theirs["image"]) and torch.equal(ours["label"], theirs["label"])


class _Plain(torch.utils.data.Dataset):
    def __init__(self, records, transform):
        self.records, self.transform = records, transform

    def __len__(self):
        return len(self.records)

    def __getitem__(self, index):
        return self.transform({key: self.records[index][key] for key in ("image", "label", "id")})


def test_a_changed_file_is_another_image(files):
    before = image_key(files[0])
    Image.new("RGB", (20, 30)).save(files[0]["image"])
    assert image_key(files[0]) != before
    assert image_key(files[4]) == image_key({**files[4], "image": files[4]["image"].copy()})
    assert image_key(files[4]) != image_key({**files[4], "image": files[4]["image"] + 1})


def test_a_lazy_picture_is_known_by_its_plan():
    records = load_source("synthetic_derm", num_per_class=2, num_test_per_class=0, img_size=16, lazy=True).records
    again = load_source("synthetic_derm", num_per_class=2, num_test_per_class=0, img_size=16, lazy=True).records
    other = load_source("synthetic_derm", num_per_class=2, num_test_per_class=0, img_size=16, lazy=True, seed=1).records
    assert [image_key(r) for r in records] == [image_key(r) for r in again]
    assert not {image_key(r) for r in records} & {image_key(r) for r in other}


def test_what_a_killed_process_left_is_cut_off(files, tmp_path):
    load, _ = split_transform(eval_transforms(16, 0.5, 0.5))
    keys = [image_key(record) for record in files]
    first = ImageStore(tmp_path / "store", load)
    first.add(dict(zip(keys[:2], files[:2], strict=True)))
    with (
        open(tmp_path / "store" / "images.bin", "ab") as data,
        open(tmp_path / "store" / "images.jsonl", "ab") as index,
    ):
        data.write(b"half an image")
        index.write(b'["' + keys[2].encode() + b'", 123')
    second = ImageStore(tmp_path / "store", load)
    assert second.add(dict(zip(keys, files, strict=True))) == 3
    for key, record in zip(keys, files, strict=True):
        assert torch.equal(second.image(key), load(dict(record))["image"])
    assert first.add(dict(zip(keys, files, strict=True))) == 0  # it reads what another has added


def test_processes_share_the_work(tmp_path):
    context = multiprocessing.get_context("fork")
    with context.Pool(3) as pool:
        added = pool.map(_fill, [(str(tmp_path), start) for start in (0, 4, 8)])
    assert sum(added) == 84  # each picture once, whoever was there first
    assert _fill((str(tmp_path), 0)) == 0


def _fill(job):
    folder, start = job
    torch.set_num_threads(1)
    records = load_source("synthetic_derm", num_per_class=12, num_test_per_class=0, img_size=16, lazy=True).records
    load, _ = split_transform(eval_transforms(16, 0.5, 0.5))
    records = records[start:] + records[:start]
    return ImageStore(folder, load).add({image_key(record): record for record in records})


def timm_vit(**settings):
    torch.manual_seed(0)
    return timm.create_model("vit_tiny_patch16_224", img_size=32, depth=3, num_classes=0, **settings)


def eva_vit():
    torch.manual_seed(0)
    return timm.create_model("eva02_tiny_patch14_224", img_size=28, depth=3, num_classes=0)


def monai_vit():
    torch.manual_seed(0)
    return ViT(1, (16, 16, 16), (8, 8, 8), hidden_size=48, mlp_dim=96, num_layers=3, num_heads=4, classification=True)


LEVELS = [
    ("linear", {}, 4),
    ("mlp", {}, 4),
    ("damp", {}, 4),
    ("partial", {}, 2),
    ("partial", {"num_blocks": 3}, 0),
    ("ept", {"prompt_layers": [-1]}, 2),
    ("ept", {}, 0),
    ("lora", {}, 0),
    ("bias", {}, 0),
    ("vpt", {}, 0),
    ("vp", {}, 0),
    ("vp", {"on": "frame", "size": 3}, 0),
    ("adapter", {}, 0),
    ("ln", {}, 0),
    ("full", {}, 0),
]


@pytest.mark.parametrize(("method", "settings", "level"), LEVELS)
def test_the_level_is_that_of_the_lowest_layer_that_trains(method, settings, level):
    net = TunedViT(timm_vit(), 2, method=method, **settings)
    # A block's own weights, and nothing before it: vit_tiny has no norm before its blocks.
    assert trained_level(net) == level
    assert net.training


def test_chance_in_a_frozen_layer_ends_the_frozen_part():
    net = TunedViT(timm_vit(), 2, method="linear")
    net.vit.blocks[1].inserted = torch.nn.Dropout(0.1)  # as a method might that is random and does not train
    kept = net.train
    net.train = lambda mode=True: kept(mode) and net.vit.blocks[1].inserted.train(mode) and net
    assert trained_level(net) == 1


@pytest.mark.parametrize("backbone", [timm_vit, lambda: timm_vit(global_pool="avg"), eva_vit, monai_vit])
@pytest.mark.parametrize(
    ("method", "settings"),
    [("linear", {}), ("damp", {"c": 2.0}), ("partial", {}), ("ept", {"prompt_layers": [-1]})],
)
def test_upper_part_on_lower_part_is_the_network(backbone, method, settings):
    torch.manual_seed(1)
    net = TunedViT(backbone(), 3, method=method, **settings)
    level = trained_level(net)
    assert level > 0
    images = torch.randn(4, net.vit.in_channels, *net.vit.img_size)
    net.eval()
    with torch.no_grad():
        tokens = lower_part(net, level, images)
    blocks = list(net.vit.blocks)
    net.train()
    upper = UpperPart(net, level)
    short, whole = upper(tokens), net(images)
    torch.testing.assert_close(short, whole, rtol=1e-5, atol=1e-6)
    assert all(a is b for a, b in zip(blocks, net.vit.blocks, strict=True))
    grads = []
    for logits in (short, whole):
        net.zero_grad()
        logits.square().sum().backward()
        grads.append([p.grad.clone() for p in net.parameters() if p.grad is not None])
    assert len(grads[0]) == len(grads[1]) > 0
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def cells(methods, **changes):
    content = {
        "name": "t",
        "sources": [{"name": "synthetic_derm", "num_per_class": 5, "num_test_per_class": 2, "img_size": 32}],
        "backbones": [{"name": "embedded", "img_size": 32}],
        "shots": [2],
        "samplings": 1,
        "val": "shots",
        "recipe": {"epochs": 2, "lr": 0.05},
        "methods": methods,
    }
    return sweep_cells(sweep_from({**content, **changes}))


@pytest.mark.parametrize(
    ("augment", "methods"),
    [
        (False, ["linear", "mlp", "partial", {"method": "ept", "frozen": True}, {"method": "damp", "c": [1.0, 4.6]}]),
        (True, ["linear", "partial", "ept"]),
    ],
)
def test_results_are_the_same_with_and_without_reuse(tmp_path, augment, methods):
    recipe = {"epochs": 2, "lr": 0.05, "augment": augment}
    with_reuse, without = Workbench(tmp_path), Workbench(tmp_path, reuse=False)
    for cell in cells(methods, recipe=recipe):
        ours, theirs = run_cell(cell, with_reuse), run_cell(cell, without)
        # Not to the bit: a matrix product rounds differently for another number of images.
        np.testing.assert_allclose(
            ours.predictions["probabilities"], theirs.predictions["probabilities"], atol=1e-5, err_msg=cell.id
        )
        assert list(ours.predictions["ids"]) == list(theirs.predictions["ids"])
        assert [row["loss"] for row in ours.result["history"]] == pytest.approx(
            [row["loss"] for row in theirs.result["history"]], rel=1e-5
        )


@pytest.mark.parametrize("method", ["linear", "ept"])
def test_bfloat16_shares_nothing_with_float32(tmp_path, method):
    bench, found = Workbench(tmp_path), {}
    for amp in ("off", "bfloat16", "off"):
        (cell,) = cells([method], recipe={"epochs": 2, "lr": 0.05, "amp": amp})
        probabilities = run_cell(cell, bench).predictions["probabilities"]
        np.testing.assert_array_equal(found.setdefault(amp, probabilities), probabilities)
    difference = np.abs(found["bfloat16"] - found["off"]).max()
    assert 1e-6 < difference < 0.05
    (alone,) = cells([method], recipe={"epochs": 2, "lr": 0.05, "amp": "bfloat16"})
    probabilities = run_cell(alone, Workbench(tmp_path, reuse=False)).predictions["probabilities"]
    np.testing.assert_allclose(probabilities, found["bfloat16"], atol=0.02)


@pytest.mark.parametrize("method", ["ept", "full"])
def test_a_cell_is_what_fit_does(tmp_path, method, monkeypatch):
    (cell,) = cells([method])
    bench = Workbench(tmp_path / "images")
    nets = []
    build = bench.network
    monkeypatch.setattr(bench, "network", lambda *a: nets.append(build(*a)) or nets[-1])
    outcome = run_cell(cell, bench)

    data = bench.data(cell)
    from monai_ept.benchmark.run.worker_cache import cell_split

    net = build(cell, data)
    result = fit(
        net,
        cell_split(cell, data),
        data=data,
        epochs=2,
        recipe="paper",
        lr=0.05,
        seed=0,
        out_dir=tmp_path / "fit",
        track=False,
        progress=False,
        num_resamples=0,
    )
    for name, tensor in net.delta_tensors().items():
        assert torch.equal(tensor, nets[0].delta_tensors()[name]), name  # bit for bit
    assert outcome.result["metrics"]["auc"] == pytest.approx(result.metrics["auc"], abs=1e-9)
    assert [row["loss"] for row in outcome.result["history"]] == [row["loss"] for row in result.history]
    assert outcome.result["count"]["delta"] == net.count().delta


def test_what_is_known_is_not_computed_again(tmp_path, monkeypatch):
    from monai_ept.benchmark.run import worker_cache as workbench

    passes = []
    plain = workbench.lower_part
    monkeypatch.setattr(workbench, "lower_part", lambda *a: passes.append(len(a[2])) or plain(*a))
    bench = Workbench(tmp_path)
    grid = {"method": "linear", "grid": {"lr": [0.1, 0.01]}}
    first, *others = cells([grid, "mlp"], shots=[2, 1])
    result = run_cell(first, bench).result
    assert sum(passes) == 2 * result["num_train"] + result["num_val"] + result["num_test"]  # two epochs
    passes.clear()
    for cell in others:  # another learning rate, another head, and fewer of the same training images
        run_cell(cell, bench)
    # One shot has other validation images than two, and these are all that is new.
    assert sum(passes) == sum(passes[:1])
    passes.clear()
    run_cell(cells(["linear"], recipe={"epochs": 3, "lr": 0.05})[0], bench)
    assert set(passes) == {1} and len(passes) == result["num_train"]  # the third epoch


def test_frozen_prompts_stay_and_only_the_head_trains(tmp_path):
    (cell,) = cells([{"method": "ept", "frozen": True}])
    outcome = run_cell(cell, Workbench(tmp_path))
    assert outcome.result["count"]["delta"] == 0 and outcome.result["count"]["head"] > 0
    assert outcome.result["moved"]["c_moved"] == 0
    # Large enough a rate to be seen: without `frozen` they move.
    trained = run_cell(dataclasses.replace(cell, frozen=False), Workbench(tmp_path))
    assert trained.result["moved"]["c_moved"] > 0
    assert trained.result["moved"]["c_start"] == outcome.result["moved"]["c_start"]


def test_results_of_frozen_layers_do_not_pile_up(tmp_path, monkeypatch):
    from monai_ept.benchmark.run import worker_cache as workbench

    bench = Workbench(tmp_path)
    monkeypatch.setattr(workbench, "TOKENS_AT_MOST", 20_000)
    first, second = cells(["linear", "partial"])
    expected = run_cell(second, Workbench(tmp_path)).predictions["probabilities"]
    run_cell(first, bench)
    assert np.array_equal(run_cell(second, bench).predictions["probabilities"], expected)
    assert workbench._bytes(bench._tokens.values()) <= 20_000


def test_the_split_of_a_transform():
    net = TunedViT(timm_vit(), 2, method="linear")
    load, rest = split_transform(network_transforms(net))
    assert len(load.transforms) == 4 and len(rest.transforms) > 2
    with pytest.raises(ValueError, match="does not begin with LoadRecordd"):
        split_transform(rest)


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="users have no numbers here")
def test_the_usual_cache_belongs_to_one_user():
    from monai_ept.benchmark.run.worker_cache import default_cache

    assert str(os.getuid()) in default_cache().name
