# SPDX-License-Identifier: Apache-2.0

"""What caching, checking and resizing cost.

    python tools/measure/data_cache.py
    python tools/measure/data_cache.py --images 200 --height 1024 --width 1280

Images are made by code and written as JPEG files to a temporary folder, so the numbers need no data set. File opens
are counted by Python's audit hook, which sees every way of opening a file from Python.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from monai.data import CacheDataset, Dataset
from monai.transforms import Resize
from PIL import Image

from monai_ept.data import RecordSet, SeededDataLoader, train_transforms, validate_records
from monai_ept.data.image_transforms import ResizeImaged

opened: list[str] = []


def watch(event: str, details: tuple) -> None:
    if event == "open" and isinstance(details[0], str) and details[0].endswith(".jpg"):
        opened.append(details[0])


def make_images(folder: Path, count: int, height: int, width: int) -> RecordSet:
    """JPEG files with structure at every scale, as photographs have."""
    records = []
    for number in range(count):
        rng = np.random.RandomState(number)
        pixels = np.zeros((height, width, 3))
        for cells in (3, 12, 48, 192):
            coarse = Image.fromarray(rng.randint(0, 256, (cells, cells, 3), dtype=np.uint8))
            pixels += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) / 4
        path = folder / f"{number:05d}.jpg"
        Image.fromarray(pixels.astype(np.uint8)).save(path, quality=92)
        identity = f"{number:05d}"
        records.append({"image": str(path), "label": number % 7, "group": identity, "id": identity})
    return RecordSet("benchmark", records, tuple("abcdefg"))


def timed(work: Callable[[], object], repeats: int = 1) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - start) / repeats


def report(text: str, seconds: float | None = None, extra: str = "") -> None:
    print(f"{text:<52}{'' if seconds is None else f'{seconds * 1000:10.1f} ms'}  {extra}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=70, help="10 shots of 7 classes")
    parser.add_argument("--height", type=int, default=450)
    parser.add_argument("--width", type=int, default=600)
    parser.add_argument("--img-size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    sys.addaudithook(watch)
    shape = f"{args.height} x {args.width}"
    print(f"{args.images} images of {shape}, to {args.img_size}; one thread, torch {torch.__version__}")

    with tempfile.TemporaryDirectory() as name:
        data = make_images(Path(name), args.images, args.height, args.width)
        print("\nEpochs through train_transforms")
        for kind in (Dataset, CacheDataset):
            opened.clear()
            options = {"progress": False} if kind is CacheDataset else {}
            start = time.perf_counter()
            dataset = kind(data.records, train_transforms(args.img_size, 0.5, 0.5), **options)
            report(f"{kind.__name__}: set up", time.perf_counter() - start, f"{len(opened)} files opened")
            loader = SeededDataLoader(dataset, batch_size=4, shuffle=True, seed=0)
            for epoch in range(args.epochs):
                opened.clear()
                start = time.perf_counter()
                batches = len(list(loader))
                seconds = time.perf_counter() - start
                report(f"{kind.__name__}: epoch {epoch + 1}", seconds, f"{len(opened)} files opened, {batches} batches")
        megabytes = sum(item["image"].numel() * item["image"].element_size() for item in dataset._cache) / 2**20
        report(
            "CacheDataset: memory", None, f"{megabytes:.1f} MiB as bytes, {4 * megabytes:.1f} MiB had they been floats"
        )

        print("\nChecking the files before training")
        for level in ("quick", "full"):
            seconds = timed(lambda: validate_records(data, check_images=level))  # noqa: B023
            report(f"check_images={level!r}", seconds, f"{args.images / seconds:.0f} images a second")

        print("\nResizing one image (bicubic), difference from PIL in grey values of 255")
        pixels = np.asarray(Image.open(data.records[0]["image"]))
        size = (args.img_size, args.img_size)
        theirs = np.moveaxis(np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)), -1, 0)
        image = torch.from_numpy(np.array(np.moveaxis(pixels, -1, 0))).float() / 255
        ways: dict[str, Callable[[], torch.Tensor]] = {
            "ours (torch, antialiased)": lambda: ResizeImaged("image", size)({"image": image})["image"],
            "MONAI Resize, anti_aliasing=True": lambda: Resize(size, mode="bicubic", anti_aliasing=True)(image),
            "MONAI Resize, anti_aliasing=False": lambda: Resize(size, mode="bicubic")(image),
        }
        for way, resize in ways.items():
            gap = np.abs(resize().numpy() * 255 - theirs).mean()
            report(way, timed(resize, 10), f"mean difference {gap:.2f}")


if __name__ == "__main__":
    main()
