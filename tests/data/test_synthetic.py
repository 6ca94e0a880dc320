# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from monai.data import CacheDataset
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged

from monai_ept.data.check_records import validate_records
from monai_ept.data.read_image import read_image
from monai_ept.data.records import RecordSet
from monai_ept.data.sources.medfmc import MEDFMC_TASKS
from monai_ept.data.sources.registry import load_source
from monai_ept.data.sources.synthetic import (
    CHEST_CLASSES,
    DERM_CLASSES,
    VOLUME_CLASSES,
    chest_findings,
    render_chest,
    render_derm,
    render_volume,
    synthetic_chest,
    synthetic_derm,
    synthetic_volume,
)
from monai_ept.synthetic import paint

SMALL = {
    "derm": lambda **options: synthetic_derm(3, 2, img_size=32, **options),
    "chest": lambda **options: synthetic_chest(40, 4, img_size=32, **options),
    "volume": lambda **options: synthetic_volume(3, 2, img_size=16, **options),
}

# Pixels that every machine must draw. Whoever changes them on purpose raises RENDER_VERSION in picture_store.py.
PINNED = {
    "derm": "aa85774c3a6e596deee267438cb4bf56817db19960ca064fb8ffd8d3c16ec9db",
    "chest": "8f37452d31d7b7b2807f3b84f32787bef4e3b798e444400d7611f41739556112",
    "volume": "f5aa46c924a97d078054af802a347841cc10374a50aa768d1519be4a9c3c0d96",
}


def pinned_pictures(kind):
    if kind == "derm":
        for number, name in enumerate(DERM_CLASSES):
            for lesion in range(3):
                size = 96 if lesion else 224
                yield render_derm(name, seed=0, lesion=lesion, view=number % 3, img_size=size)
    elif kind == "chest":
        for n in range(20):
            size = 224 if n < 4 else 96
            yield render_chest(chest_findings(0, n), seed=0, patient=n, view=n % 2, img_size=size)
        yield render_chest(CHEST_CLASSES, seed=1, patient=0, view=0, img_size=128)
    else:
        for name in VOLUME_CLASSES:
            for n in range(3):
                yield render_volume(name, seed=0, gland=n, scan=n, img_size=32).astype("<i2")


def digest(pictures):
    total = hashlib.sha256()
    for picture in pictures:
        total.update(picture.tobytes())
    return total.hexdigest()


@pytest.mark.parametrize("kind", PINNED)
def test_same_bytes_on_every_machine(kind):
    assert digest(pinned_pictures(kind)) == PINNED[kind]


def test_same_bytes_without_vector_instructions():
    """NumPy picks other loops on a processor without AVX; on one that never had it, this repeats the test above."""
    code = (
        "import tests.data.test_synthetic as t\n"
        "assert {kind: t.digest(t.pinned_pictures(kind)) for kind in t.PINNED} == t.PINNED\n"
    )
    features = "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL"
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": features}
    command = [sys.executable, "-W", "ignore", "-c", code]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_drawing_uses_only_exact_arithmetic():
    """Sums, powers, products of matrices and transcendental functions depend on the machine: none may be called."""
    allowed = {"abs", "all", "append", "arange", "array", "asarray", "ascontiguousarray", "at", "broadcast_to", "ceil"}
    allowed |= {"clip", "concatenate", "empty", "floor", "full", "fsum", "linspace", "maximum", "max", "minimum"}
    allowed |= {"moveaxis", "ndarray", "ones_like", "sqrt", "square", "take", "where", "zeros", "zeros_like"}
    allowed |= {"float32", "int16", "intp", "ldexp", "uint8", "random", "Generator", "PCG64", "SeedSequence"}
    folder = Path(paint.__file__).parent
    for file in sorted(folder.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("np", "math"):
                assert node.attr in allowed, f"{file.name}, line {node.lineno}: {node.attr}"
            if isinstance(node, ast.Attribute):
                assert node.attr not in {"sum", "mean", "std", "dot", "prod", "cumsum", "normal", "standard_normal"}
            if isinstance(node, ast.BinOp):
                assert not isinstance(node.op, ast.MatMult)
                # a square is a product; other powers come from the C library
                assert not isinstance(node.op, ast.Pow) or ast.unparse(node.right) in ("2", "spatial_dims")


@pytest.mark.parametrize("kind", SMALL)
def test_records_are_valid_and_typed(kind):
    data = SMALL[kind]()
    assert isinstance(data, RecordSet)
    validate_records(data, check_images="full")
    shapes = {"derm": ((32, 32, 3), np.uint8), "chest": ((32, 32), np.uint8), "volume": ((16, 16, 16), np.int16)}
    for record in data.records:
        assert (record["image"].shape, record["image"].dtype) == shapes[kind]
        assert set(record) == {"image", "label", "group", "id", "split"}
    assert data.spatial_dims == (3 if kind == "volume" else 2)
    assert data.task == ("multilabel" if kind == "chest" else "multiclass")
    train, test = ({record["group"] for record in data.official(split)} for split in ("train", "test"))
    assert train and test and not train & test


def test_counts_are_as_asked_for():
    assert set(synthetic_derm(4, 3, img_size=16).counts().values()) == {7}
    assert set(synthetic_volume(4, 0, img_size=8, num_classes=3).counts().values()) == {4}
    data = synthetic_chest(40, 0, img_size=16)
    assert len(data) == 40 and min(data.counts().values()) >= 1


@pytest.mark.parametrize("kind", SMALL)
def test_seed_decides(kind):
    first, again, other = SMALL[kind](seed=5), SMALL[kind](seed=5), SMALL[kind](seed=6)
    assert digest(r["image"] for r in first.records) == digest(r["image"] for r in again.records)
    assert first.source_hash == again.source_hash != other.source_hash
    assert not {r["image"].tobytes() for r in first.records} & {r["image"].tobytes() for r in other.records}


def test_larger_set_contains_the_smaller():
    small, large = synthetic_derm(2, 1, img_size=24), synthetic_derm(4, 3, img_size=24)
    images = {record["id"]: record["image"] for record in large.records}
    for record in small.records:
        assert np.array_equal(images[record["id"]], record["image"])


def test_workers_draw_the_same():
    alone, shared = SMALL["derm"](), SMALL["derm"](num_workers=2)
    assert alone.source_hash == shared.source_hash
    for one, two in zip(alone.records, shared.records, strict=True):
        assert one["id"] == two["id"] and np.array_equal(one["image"], two["image"])


def test_groups_share_a_lesion_and_only_that():
    """Two views of a lesion are different pictures, yet nearer to each other than lesions are, once size is known."""
    data = synthetic_derm(30, 0, img_size=16)
    sizes = np.unique([r["group"] for r in data.records], return_counts=True)[1]
    assert set(sizes) == {1, 2, 3}
    for record in data.records:
        assert record["group"].split("_")[1] == data.class_names[record["label"]]
    assert len({r["image"].tobytes() for r in data.records}) == len(data)

    # skin and pigments belong to the lesion: views share them up to the light
    def colour(lesion, view):
        return render_derm("nv", seed=0, lesion=lesion, view=view, img_size=48).mean(axis=(0, 1))

    means = np.array([[colour(lesion, view) for view in range(4)] for lesion in range(12)])
    within = means.std(axis=1).mean()
    between = means.reshape(-1, 3).std(axis=0).mean()
    assert within < between


@pytest.mark.parametrize("kind", SMALL)
def test_cache_holds_the_same_pixels_and_is_drawn_once(kind, tmp_path):
    arrays, files = SMALL[kind](), SMALL[kind](cache_dir=tmp_path, num_workers=2)
    validate_records(files, root=tmp_path, check_images="full")
    assert arrays.source_hash == files.source_hash
    for one, two in zip(arrays.records, files.records, strict=True):
        assert np.array_equal(np.asarray(read_image(two["image"])), one["image"])
    found = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert len(found) == len(files)  # nothing unfinished is left behind
    times = [path.stat().st_mtime_ns for path in found]
    SMALL[kind](cache_dir=tmp_path)
    assert times == [path.stat().st_mtime_ns for path in found]


def test_broken_cache_file_is_drawn_again(tmp_path):
    files = SMALL["derm"](cache_dir=tmp_path)
    paths = [Path(record["image"]) for record in files.records[:2]]
    good = [path.read_bytes() for path in paths]
    paths[0].write_bytes(good[0][:100])
    paths[1].write_bytes(b"")
    SMALL["derm"](cache_dir=tmp_path)
    assert [path.read_bytes() for path in paths] == good


def test_failed_drawing_leaves_no_file(tmp_path, monkeypatch):
    from PIL import Image

    def disk_full(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(Image.Image, "save", disk_full)
    with pytest.raises(OSError, match="no space left"):
        SMALL["derm"](cache_dir=tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_monai_takes_arrays_and_files(tmp_path):
    arrays, files = SMALL["derm"](), SMALL["derm"](cache_dir=tmp_path)
    from_arrays = CacheDataset(arrays.records, EnsureChannelFirstd("image", channel_dim=-1), progress=False)
    load = Compose([LoadImaged("image", reverse_indexing=False), EnsureChannelFirstd("image")])
    from_files = CacheDataset(files.records, load, progress=False)
    for one, two in zip(from_arrays, from_files, strict=True):
        assert one["image"].shape == (3, 32, 32)
        assert np.array_equal(np.asarray(one["image"]), np.asarray(two["image"]))


def test_sources_are_found_by_name():
    assert load_source("synthetic", num_per_class=1, num_test_per_class=0, img_size=16).name == "synthetic_derm"
    assert load_source("synthetic_chest", num_images=40, num_test_images=0, img_size=16).name == "synthetic_chest"
    assert load_source("synthetic_volume", num_per_class=1, img_size=8).name == "synthetic_volume"


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: synthetic_derm(0), "num_per_class is 0, but must be at least 1"),
        (lambda: synthetic_derm(1, -1), "num_test_per_class is -1"),
        (lambda: synthetic_derm(1, img_size=8), "img_size is 8, but must lie between 16 and 4096"),
        (lambda: synthetic_derm(1, seed=-1), "seed is -1"),
        (lambda: synthetic_derm(1, img_size=16, num_workers=-1), "num_workers is -1"),
        (lambda: synthetic_chest(39), "num_images is 39, but must be at least 40"),
        (lambda: synthetic_volume(1, num_classes=4), "num_classes is 4"),
        (lambda: synthetic_volume(1, img_size=2), "img_size is 2"),
        (lambda: render_derm("naevus", seed=0, lesion=0, view=0), "no class 'naevus'"),
        (lambda: render_chest(("flu",), seed=0, patient=0, view=0), "no finding 'flu'"),
        (lambda: render_volume("cyst", seed=0, gland=0, scan=0), "no class 'cyst'"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_chest_labels():
    assert MEDFMC_TASKS["chest"].class_names == CHEST_CLASSES
    patients = [chest_findings(0, n) for n in range(400)]
    together = [len(findings) for findings in patients]
    assert 0 in together and max(together) >= 3 and np.mean(together) > 1.4
    for name in CHEST_CLASSES:
        assert sum(name in findings for findings in patients) >= 20
    # findings come together as in clinics, not independently
    with_heart = [f for f in patients if "cardiomegaly" in f]
    without = [f for f in patients if "cardiomegaly" not in f]
    share = [np.mean(["pulmonary_edema" in f for f in some]) for some in (with_heart, without)]
    assert share[0] > 3 * share[1]


@pytest.mark.parametrize("name", CHEST_CLASSES)
def test_chest_finding_is_visible(name):
    """The same chest with and without it: at least a small place changes clearly, in most patients."""
    changes = []
    for patient in range(6):
        healthy, ill = (
            render_chest(f, seed=2, patient=patient, view=0, img_size=112).astype(float) for f in ((), (name,))
        )
        changes.append(np.abs(paint.blur(ill - healthy, 2)).max())
    assert np.median(changes) > 20


def test_volume_classes_differ_in_shape_not_in_brightness():
    """A ball in a thin-limbed gland is seen by opening (thin things vanish), not by mean intensity."""
    from scipy.ndimage import grey_opening
    from sklearn.metrics import roc_auc_score

    labels, means, balls = [], [], []
    for label, name in enumerate(("normal", "mass")):
        for gland in range(60):
            volume = render_volume(name, seed=1, gland=gland, scan=0, img_size=28).astype(np.float32)
            opened = grey_opening(paint.blur(volume, 2, 3), size=(5, 5, 5))[6:22, 7:24, 5:23]
            labels.append(label)
            means.append(volume.mean())
            balls.append(np.percentile(opened, 97))
    brightness, shape = roc_auc_score(labels, means), roc_auc_score(labels, balls)
    assert abs(brightness - 0.5) < 0.2
    assert shape > 0.8, shape


def test_colour_alone_does_not_solve_it():
    """Colours leave most lesions undecided; structure adds a lot. Measured at full size in tools/measure."""
    script = Path(__file__).parents[2] / "tools" / "measure" / "synthetic_colour.py"
    spec = importlib.util.spec_from_file_location("synthetic_colour", script)
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)

    data = synthetic_derm(40, 25, img_size=96)
    images, labels = {}, {}
    for split in ("train", "test"):
        images[split] = np.stack([record["image"] for record in data.official(split)])
        labels[split] = np.array([record["label"] for record in data.official(split)])

    def score(function):
        return bench.accuracy(function(images["train"]), labels["train"], function(images["test"]), labels["test"])

    means, colours = score(bench.mean_colours), score(bench.colour_statistics)
    grey = score(lambda x: bench.structure_statistics(x, colour_contrasts=False))
    both = score(lambda x: bench.structure_statistics(x, colour_contrasts=True))
    assert means < 0.35
    assert colours < 0.62
    assert grey > colours + 0.05
    assert both > colours + 0.2
    print(f"mean colours {means:.3f}, colours {colours:.3f}, grey structure {grey:.3f}, both {both:.3f}")
