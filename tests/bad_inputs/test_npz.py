# SPDX-License-Identifier: Apache-2.0

"""MedMNIST files that are damaged, or promise what they have not."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.bad_inputs.case import BadInput, parameters, refuse
from tests.bad_inputs.images import load


def content(**other) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 8), ("val", 4), ("test", 4)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, 9, 9), dtype=np.uint8)
        arrays[f"{split}_labels"] = (np.arange(count) % 2).astype(np.uint8)[:, None]
    return {key: value for key, value in {**arrays, **other}.items() if value is not None}


def file_of(**other):
    def make(folder: Path) -> None:
        (folder / "data").mkdir()
        np.savez(folder / "data/x.npz", **content(**other))

    return make


def raw(change):
    """A good file of which the bytes are changed."""

    def make(folder: Path) -> None:
        file_of()(folder)
        path = folder / "data/x.npz"
        path.write_bytes(change(path.read_bytes()))

    return make


def claims(shape: tuple[int, ...]):
    """A member whose header promises more than is there, as it is in a file that somebody wrote to do harm."""

    def make(folder: Path) -> None:
        (folder / "data").mkdir()
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"shape": shape, "fortran_order": False, "descr": "|u1"})
        with zipfile.ZipFile(folder / "data/x.npz", "w") as packed:
            packed.writestr("train_images.npy", header.getvalue() + bytes(64))

    return make


def damaged(whole: bytes) -> bytes:
    """A byte of the pixels is another, which the archive's checksum shows."""
    at = whole.index(b"train_images") + 400
    return whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :]


TEXT = np.array([["benign"], ["malignant"]] * 4)
CASES = [
    BadInput("nowhere", ["does not exist"], call=load("medmnist", "data/x.npz")),
    BadInput("no-file", ["name the file", "none"], lambda at: (at / "data").mkdir(), call=load("medmnist")),
    BadInput(
        "two-files",
        ["name the file", "x.npz, y.npz"],
        lambda at: (file_of()(at), np.savez(at / "data/y.npz"))[0],
        call=load("medmnist"),
    ),
    BadInput("another-file", ["y.npz", "does not exist"], file_of(), call=load("medmnist", file="y.npz")),
    BadInput(
        "words",
        ["x.npz", "cannot be read as npz", "not a zip file"],
        raw(lambda _: b"no archive"),
        call=load("medmnist"),
    ),
    BadInput("empty", ["x.npz", "not a zip file"], raw(lambda _: b""), call=load("medmnist")),
    BadInput(
        "cut", ["x.npz", "cannot be read as npz"], raw(lambda whole: whole[: len(whole) // 2]), call=load("medmnist")
    ),
    BadInput("damaged", ["x.npz", "cannot be read as npz", "CRC"], raw(damaged), call=load("medmnist")),
    BadInput(
        "claims-60-gb",
        ["train_images says that it has 60,000,000,000 bytes", "damaged"],
        claims((600_000, 100_000)),
        call=load("medmnist"),
    ),
    BadInput("claims-exabytes", ["train_images says", "damaged"], claims((10**9, 10**9)), call=load("medmnist")),
    BadInput(
        "claims-60-gb-to-check",
        ["60,000,000,000 bytes"],
        claims((600_000, 100_000)),
        command=["check", "data", "--source", "medmnist"],
    ),
    BadInput(
        "text-labels", ["train_labels holds <U9 instead of numbers"], file_of(train_labels=TEXT), call=load("medmnist")
    ),
    BadInput(
        "text-images",
        ["train_images holds <U1 instead of numbers"],
        file_of(train_images=np.full((8, 9, 9), "a")),
        call=load("medmnist"),
    ),
    BadInput(
        "text-labels-to-check",
        ["instead of numbers"],
        file_of(train_labels=TEXT),
        command=["check", "data", "--source", "medmnist"],
    ),
    BadInput(
        "objects",
        ["cannot be read as npz", "allow_pickle"],
        file_of(train_labels=np.array([{}] * 8, object)),
        call=load("medmnist"),
    ),
    BadInput(
        "dates",
        ["datetime64[D] instead of numbers"],
        file_of(train_labels=np.zeros((8, 1), "datetime64[D]")),
        call=load("medmnist"),
    ),
    BadInput("no-images", ["no key 'train_images'", "train_labels"], file_of(train_images=None), call=load("medmnist")),
    BadInput("no-test-labels", ["no key 'test_labels'"], file_of(test_labels=None), call=load("medmnist")),
    BadInput(
        "a-label-too-few",
        ["8 train images, but 7 labels"],
        file_of(train_labels=np.zeros((7, 1), np.uint8)),
        call=load("medmnist"),
    ),
    BadInput(
        "flat-images",
        ["these are no images and labels", "(8, 81)"],
        file_of(train_images=np.zeros((8, 81), np.uint8)),
        call=load("medmnist"),
    ),
    BadInput(
        "masks-for-labels",
        ["these are no images and labels", "(8, 9, 9)"],
        file_of(train_labels=np.zeros((8, 9, 9), np.uint8)),
        call=load("medmnist"),
    ),
    BadInput(
        "colour-in-a-part",
        ["the splits hold different things"],
        file_of(val_images=np.zeros((4, 9, 9, 3), np.uint8)),
        call=load("medmnist"),
    ),
    BadInput(
        "one-class",
        ["only one class, '0'"],
        file_of(
            **{
                f"{part}_labels": np.zeros((count, 1), np.uint8)
                for part, count in (("train", 8), ("val", 4), ("test", 4))
            }
        ),
        call=load("medmnist"),
    ),
    BadInput(
        "class-of-millions",
        ["label 4294967295 is out of range"],
        file_of(val_labels=np.array([[0], [1], [0], [2**32 - 1]])),
        call=load("medmnist"),
    ),
    BadInput(
        "negative-class",
        ["label -1 is out of range"],
        file_of(val_labels=np.array([[0], [1], [0], [-1]])),
        call=load("medmnist"),
    ),
    BadInput(
        "nan-image",
        ["train_000003", "not finite"],
        file_of(train_images=np.where(np.arange(8)[:, None, None] == 3, np.nan, np.ones((8, 9, 9)))),
        call=load("medmnist"),
    ),
]


@pytest.mark.parametrize("case", parameters(CASES))
def test_refused(case, tmp_path, monkeypatch):
    refuse(case, tmp_path, monkeypatch)
