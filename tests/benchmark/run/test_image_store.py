# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import multiprocessing
import signal

import numpy as np
import pytest
import torch
from PIL import Image

from monai_ept import TunedViT
from monai_ept.benchmark.run.image_store import ImageStore, RecordImages, image_key, split_transform
from monai_ept.data import SeededDataLoader, eval_transforms, load_source, train_transforms
from monai_ept.engines import network_transforms
from tests.backbones import timm_vit


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


def test_what_a_full_disk_has_cut_off_is_not_taken_for_an_image(files, tmp_path):
    """A worker that met a full disk goes on beside others, which put other images where its own should be."""
    resource = pytest.importorskip("resource")
    load, _ = split_transform(eval_transforms(16, 0.5, 0.5))
    records = dict(zip(map(image_key, files), files, strict=True))
    first, *others = records
    unlucky, other = (ImageStore(tmp_path / "store", load) for _ in range(2))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
        with pytest.raises(OSError, match="File too large"):
            unlucky.add({key: records[key] for key in others})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert not any(key in unlucky for key in others)
    other.add({first: records[first]})
    assert unlucky.add(records) == 4
    for key, record in records.items():
        assert torch.equal(unlucky.image(key), load(dict(record))["image"])


@pytest.mark.parametrize("line", ["[1, 2]", "no JSON", '["k", 0, [1000000000], "|u1"]', '["k", -5, [1], "|u1"]', "5"])
def test_a_damaged_index_is_said(files, tmp_path, line):
    load, _ = split_transform(eval_transforms(16, 0.5, 0.5))
    store = ImageStore(tmp_path / "store", load)
    (tmp_path / "store" / "images.jsonl").write_text(line + "\n")
    with pytest.raises(ValueError, match="images.jsonl is damaged: delete"):
        store.add({image_key(files[0]): files[0]})


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


def test_the_split_of_a_transform():
    net = TunedViT(timm_vit(), 2, method="linear")
    load, rest = split_transform(network_transforms(net))
    assert len(load.transforms) == 4 and len(rest.transforms) > 2
    with pytest.raises(ValueError, match="does not begin with LoadRecordd"):
        split_transform(rest)
