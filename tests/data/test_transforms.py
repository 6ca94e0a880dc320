# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import builtins
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import CacheDataset, DataLoader, Dataset
from monai.transforms.traits import RandomizableTrait
from PIL import Image

from monai_ept.data import eval_transforms, train_transforms
from tests.data.conftest import write_image


def record(image: object, label: object = 1, identity: str = "a") -> dict:
    return {"image": image, "label": label, "group": identity, "id": identity}


MODES = [("1", "png"), ("L", "png"), ("LA", "png"), ("P", "png"), ("RGB", "jpg"), ("RGBA", "png"), ("CMYK", "jpg")]


@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize("mode, suffix", MODES)
def test_every_mode_ends_in_the_right_channels(tmp_path: Path, mode: str, suffix: str, in_channels: int) -> None:
    path = write_image(tmp_path / f"a.{suffix}", mode=mode)
    for transform in (
        train_transforms(8, 0.5, 0.5, in_channels=in_channels),
        eval_transforms(8, 0.5, 0.5, in_channels=in_channels),
    ):
        image = transform(record(str(path)))["image"]
        assert image.shape == (in_channels, 8, 8) and image.dtype == torch.float32 and type(image) is torch.Tensor
        assert -1 <= image.min() < image.max() <= 1


def test_sixteen_bits_and_arrays(tmp_path: Path) -> None:
    pixels = (np.arange(64, dtype=np.uint16) * 60).reshape(8, 8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    transform = eval_transforms(8, 0.0, 1.0)
    expected = np.broadcast_to(pixels / pixels.max(), (3, 8, 8))
    for image in (str(tmp_path / "a.png"), tmp_path / "a.png", pixels, pixels[..., None], pixels[None], pixels / 7.0):
        np.testing.assert_allclose(transform(record(image))["image"], expected, atol=1e-6)
    bits = transform(record(pixels > 1000))["image"]
    assert set(bits.unique().tolist()) == {0.0, 1.0}
    dark = transform(record(np.full((8, 8), 51, np.uint8)))["image"]  # 8 bits are not stretched
    assert torch.allclose(dark, torch.tensor(0.2))
    assert not transform(record(np.full((8, 8), 51, np.int32)))["image"].isnan().any()


def test_volumes() -> None:
    volume = np.random.RandomState(0).randint(0, 256, (6, 7, 8), dtype=np.uint8)
    for transform in (
        train_transforms((8, 8, 4), 0.5, 0.5, in_channels=1, spatial_dims=3),
        eval_transforms((8, 8, 4), 0.5, 0.5, in_channels=1, spatial_dims=3),
        eval_transforms((8, 8, 4), 0.5, 0.5, in_channels=1, spatial_dims=3, keep_aspect=True),
    ):
        assert transform(record(volume))["image"].shape == (1, 8, 8, 4)
    kept = eval_transforms((6, 7, 8), 0.0, 1.0, in_channels=2, spatial_dims=3)(record(np.stack([volume] * 2, -1)))
    np.testing.assert_allclose(kept["image"][1], volume / 255, atol=1e-6)


def test_window_cuts_off() -> None:
    transform = eval_transforms(2, 0.0, 1.0, in_channels=1, intensity_range=(-100, 300))
    image = transform(record(np.array([[-1000, -100], [100, 3000]], np.int16)))["image"]
    assert image.flatten().tolist() == [0.0, 0.0, 0.5, 1.0]
    with pytest.raises(ValueError, match="must be below"):
        eval_transforms(2, 0.0, 1.0, intensity_range=(3, 3))


def test_mean_and_std() -> None:
    grey = np.full((4, 4), 255, np.uint8)
    image = eval_transforms(4, (0.4, 0.5, 0.6), (0.1, 0.2, 0.4))(record(grey))["image"]
    assert torch.allclose(image[:, 0, 0], torch.tensor([6.0, 2.5, 1.0]))
    single = eval_transforms(4, (0.4, 0.5, 0.6), (0.2, 0.2, 0.2), in_channels=1)(record(grey))["image"]
    assert torch.allclose(single, torch.tensor(2.5))
    with pytest.raises(ValueError, match="mean has 2 values"):
        eval_transforms(4, (0.4, 0.5), 1.0)


def test_labels() -> None:
    transform = eval_transforms(4, 0.5, 0.5)
    image = np.zeros((4, 4), np.uint8)
    assert transform(record(image, 3))["label"].dtype == torch.int64
    several = transform(record(image, [0, 1, 1]))["label"]
    assert several.dtype == torch.float32 and several.tolist() == [0, 1, 1]
    assert "label" not in transform({"image": image})  # inference
    batch = next(iter(DataLoader(Dataset([record(image, [0, 1])] * 3, transform), batch_size=3)))
    assert batch["label"].shape == (3, 2) and batch["image"].shape == (3, 3, 4, 4)


def test_keep_or_squash() -> None:
    white = np.full((10, 40, 3), 255, np.uint8)
    squashed = eval_transforms(20, 0.0, 1.0)(record(white))["image"]
    assert torch.allclose(squashed, torch.tensor(1.0))
    kept = eval_transforms(20, 0.0, 1.0, keep_aspect=True)(record(white))["image"][0]
    rows = kept.mean(1)
    assert kept.shape == (20, 20) and (rows[7:12] > 0.999).all() and not rows[:7].any() and not rows[12:].any()


def test_resize_agrees_with_pil() -> None:
    """Networks were trained on images that PIL had resized; ours must look the same to them."""
    noise = Image.fromarray(np.random.RandomState(0).randint(0, 256, (37, 53, 3), dtype=np.uint8))
    pixels = np.array(noise.resize((300, 200), Image.Resampling.BICUBIC))
    for mode, resampling in (("bicubic", Image.Resampling.BICUBIC), ("bilinear", Image.Resampling.BILINEAR)):
        for size in ((64, 64), (250, 330)):
            ours = eval_transforms(size, 0.0, 1.0, interpolation=mode)(record(pixels))["image"]
            theirs = np.asarray(Image.fromarray(pixels).resize(size[::-1], resampling)) / 255
            gap = np.abs(ours.numpy() - np.moveaxis(theirs, -1, 0)) * 255
            assert gap.max() < 4 and gap.mean() < 0.6  # PIL rounds to whole numbers twice


def test_metadata_on_request(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png")
    image = eval_transforms(8, 0.5, 0.5, track_meta=True)(record(str(path)))["image"]
    assert image.meta["filename_or_obj"] == str(path)


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(RuntimeError) as caught:  # Compose wraps what a transform raises
        eval_transforms(8, 0.5, 0.5)(record(np.zeros((9, 9, 9))))
    assert "record 'a' has shape (9, 9, 9)" in str(caught.value.__cause__)
    assert "spatial_dims=3" in str(caught.value.__cause__)
    with pytest.raises(RuntimeError) as caught:
        eval_transforms(8, 0.5, 0.5, in_channels=5)(record(np.zeros((9, 9, 3), np.uint8)))
    assert "3 channels and the network takes 5" in str(caught.value.__cause__)


def test_flips() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    options = {"in_channels": 1, "scale": (1.0, 1.0), "keep_aspect": True}
    always = train_transforms((3, 4), 0.0, 1 / 255, flip_prob=1.0, **options)
    np.testing.assert_allclose(always(record(image))["image"][0], image[:, ::-1], atol=1e-4)
    both = train_transforms((3, 4), 0.0, 1 / 255, flip_prob=1.0, flip_axis=(0, 1), **options)
    np.testing.assert_allclose(both(record(image))["image"][0], image[::-1, ::-1], atol=1e-4)
    never = train_transforms((3, 4), 0.0, 1 / 255, flip_prob=0.0, **options)
    np.testing.assert_allclose(never(record(image))["image"][0], image, atol=1e-4)


def test_nothing_random_in_eval_and_before_the_random_part() -> None:
    assert not any(isinstance(t, RandomizableTrait) for t in eval_transforms(8, 0.5, 0.5).transforms)
    steps = train_transforms(8, 0.5, 0.5).transforms
    random = [n for n, step in enumerate(steps) if isinstance(step, RandomizableTrait)]
    assert len(random) == 1 and type(steps[0]).__name__ == "LoadRecordd" and random[0] > 2


def test_second_epoch_reads_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seventy images, two epochs: each file is opened once, and the cache holds bytes, not floats."""
    records = [record(str(write_image(tmp_path / f"{n}.png", n)), n % 7, str(n)) for n in range(70)]
    opened: list[str] = []
    real_open = builtins.open

    def counting_open(file, *args, **kwargs):
        if str(file).startswith(str(tmp_path)):
            opened.append(str(file))
        return real_open(file, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", counting_open)
    dataset = CacheDataset(records, train_transforms(16, 0.5, 0.5), progress=False)
    assert len(set(opened)) == 70
    assert all(item["image"].dtype == torch.uint8 for item in dataset._cache)
    opened.clear()
    loader = DataLoader(dataset, batch_size=4, shuffle=True)
    first, second = (torch.cat([batch["image"] for batch in loader]) for _ in range(2))
    assert first.shape == second.shape == (70, 3, 16, 16)
    assert opened == []
    for path in tmp_path.iterdir():  # nor by any other way of opening files
        path.unlink()
    assert len(list(loader)) == 18
