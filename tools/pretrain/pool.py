# SPDX-License-Identifier: Apache-2.0
"""A pool of pictures on disk with all that is to be learnt about them, made once and then read as often as needed."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save

from monai_ept.files import usable_folder, write_whole
from tools.pretrain.pictures import make_picture
from tools.pretrain.targets import Describer

__all__ = ["CHUNK", "DESCRIBER_FILE", "Pool", "make_pool"]

CHUNK = 1000
"""Pictures in a file, all of which are lost when the making is interrupted."""

SETTINGS_FILE = "pool.json"

DESCRIBER_FILE = "describer.safetensors"

FITTED_ON = 3
"""Files whose pictures the words and components are found on."""


class Pool:
    """
    Pictures and what is told of them.

    Args:
        folder: where ``make_pool`` has written them.
        number: pictures to use, from the first.

    Raises:
        FileNotFoundError: when not all of them are there.
    """

    def __init__(self, folder: str | os.PathLike, number: int) -> None:
        folder = Path(folder)
        if not (folder / SETTINGS_FILE).exists():
            raise FileNotFoundError(f"{folder} is no pool of pictures: make one with make_pool.")
        self.chunk = json.loads((folder / SETTINGS_FILE).read_text())["chunk"]
        chunks = [folder / f"{index:05d}" for index in range(-(-number // self.chunk))]
        for file in (chunk.with_suffix(".safetensors") for chunk in chunks):
            if not file.exists():
                raise FileNotFoundError(f"{file} is not there: make the pool of {number} pictures first.")
        self.number = number
        self.images = [np.load(chunk.with_suffix(".npy"), mmap_mode="r") for chunk in chunks]
        told = [load_file(chunk.with_suffix(".safetensors")) for chunk in chunks]
        self.told = {name: torch.cat([one[name] for one in told]) for name in told[0]}

    def __len__(self) -> int:
        return self.number

    def read(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        """A batch: ``image`` as uint8 (pictures, side, side, 3), ``choices``, ``values`` and ``described``."""
        images = np.stack([self.images[index // self.chunk][index % self.chunk] for index in indices])
        at = torch.as_tensor(indices)
        return {"image": torch.from_numpy(images), **{name: values[at] for name, values in self.told.items()}}


def make_pool(
    folder: str | os.PathLike,
    number: int,
    *,
    seed: int = 0,
    size: int = 224,
    workers: int | None = None,
    chunk: int = CHUNK,
) -> Iterator[tuple[str, int, int]]:
    """
    Make what a pool of so many pictures still lacks.

    Args:
        folder: where to write.
        number: pictures; a larger pool begins with the pictures of a smaller one.
        seed: chooses the pictures.
        size: their side in pixels.
        workers: processes, as many as there are cores by default.
        chunk: pictures in a file.

    Yields:
        what is being done ("drawn", then "described"), how many files are, and how many there will be.

    Raises:
        ValueError: when the folder holds a pool of another seed, size or chunk.
    """
    folder = usable_folder(folder)
    _same_settings(folder, {"seed": seed, "size": size, "chunk": chunk})
    total = -(-number // chunk)
    lacking = [index for index in range(total) if not (folder / f"{index:05d}.safetensors").exists()]
    done = total - len(lacking)
    context = get_context("spawn")
    with ProcessPoolExecutor(workers or os.cpu_count(), mp_context=context, initializer=_one_thread) as processes:
        undrawn = [index for index in range(max(total, FITTED_ON)) if not (folder / f"{index:05d}.npy").exists()]
        drawn = {
            processes.submit(_draw, folder, index, range(index * chunk, (index + 1) * chunk), seed, size): index
            for index in undrawn
        }
        for count, future in enumerate(as_completed(drawn), 1):
            future.result()
            yield "drawn", max(total, FITTED_ON) - len(undrawn) + count, max(total, FITTED_ON)
        if lacking:
            processes.submit(_fit, folder, seed).result()
        described = [processes.submit(_describe, folder, index) for index in lacking]
        for future in as_completed(described):
            future.result()
            done += 1
            yield "described", done, total


def _same_settings(folder: Path, settings: dict) -> None:
    path = folder / SETTINGS_FILE
    if not path.exists():
        write_whole(path, json.dumps(settings) + "\n")
    elif (there := json.loads(path.read_text())) != settings:
        raise ValueError(f"{folder} holds a pool of {there} and {settings} was asked for: use another folder.")


def _one_thread() -> None:
    torch.set_num_threads(1)


def _draw(folder: Path, chunk: int, indices: range, seed: int, size: int) -> None:
    pictures = [make_picture(seed, index, size) for index in indices]
    told = {
        "choices": torch.from_numpy(np.stack([picture.choices for picture in pictures])),
        "values": torch.from_numpy(np.stack([picture.values for picture in pictures])),
    }
    write_whole(folder / f"{chunk:05d}.labels", save(told))
    images = io.BytesIO()
    np.save(images, np.stack([picture.image for picture in pictures]))
    write_whole(folder / f"{chunk:05d}.npy", images.getvalue())  # last: it says that both are there


def _batches(folder: Path, chunks: Sequence[int], length: int = 50) -> Iterator[torch.Tensor]:
    for chunk in chunks:
        images = np.load(folder / f"{chunk:05d}.npy", mmap_mode="r")
        for start in range(0, len(images), length):
            yield torch.from_numpy(np.array(images[start : start + length]))


def _fit(folder: Path, seed: int) -> None:
    path = folder / DESCRIBER_FILE
    if not path.exists():
        found = Describer.fit(lambda: _batches(folder, range(FITTED_ON)), seed=seed)
        write_whole(path, save({name: tensor.contiguous() for name, tensor in found.tensors.items()}))


def _describe(folder: Path, chunk: int) -> None:
    describer = Describer(load_file(folder / DESCRIBER_FILE))
    described = torch.cat([describer(batch) for batch in _batches(folder, [chunk])])
    told = load_file(folder / f"{chunk:05d}.labels")
    write_whole(folder / f"{chunk:05d}.safetensors", save({**told, "described": described.contiguous()}))
