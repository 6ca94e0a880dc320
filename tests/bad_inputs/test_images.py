# SPDX-License-Identifier: Apache-2.0

"""Files that are no images, or damaged ones, or hold what no network should see."""

from __future__ import annotations

import os
import socket
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_ept.bundle import CollectErrors, find_images
from monai_ept.data import eval_transforms
from tests.bad_inputs.case import BadInput, parameters, refuse
from tests.bad_inputs.images import good_folder, load_and_read, picture


def cut(path: Path) -> None:
    picture(path, size=(64, 64))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def damaged(path: Path) -> None:
    picture(path, size=(64, 64))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def floats(value: float):
    def write(path: Path) -> None:
        pixels = np.ones((12, 16), np.float32)
        pixels[3, 4] = value
        Image.fromarray(pixels).save(path)

    return write


def says_it_is_huge(path: Path) -> None:
    """A PNG of some bytes whose header promises 100,000 × 100,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)


def listens(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = os.getcwd()
        os.chdir(path.parent)  # the name of a socket must be short
        made.bind(path.name)
        os.chdir(here)


def text(words: str):
    return lambda path: path.write_text(words)


def array(**content):
    """An ``.npy`` file of what is given, which may be what NumPy would not write."""
    return lambda path: np.save(path, content["of"], allow_pickle=True)


def npy_header(shape: tuple[int, ...]):
    def write(path: Path) -> None:
        with open(path, "wb") as file:
            np.lib.format.write_array_header_1_0(file, {"shape": shape, "fortran_order": False, "descr": "<f8"})

    return write


UNREADABLE = ["cannot be read"]
CASES = [
    *load_and_read("empty", "x.png", ["empty"], lambda path: path.touch())[:1],
    *load_and_read("empty-to-predict", "x.png", UNREADABLE, lambda path: path.touch())[1:],
    *load_and_read("words", "x.png", UNREADABLE, text("no image")),
    *load_and_read("web-page", "x.jpg", UNREADABLE, text("<html><body>404 Not Found</body></html>")),
    *load_and_read("drawing", "x.png", UNREADABLE, text('<svg xmlns="http://www.w3.org/2000/svg"/>')),
    *load_and_read("pdf", "x.jpeg", UNREADABLE, lambda path: path.write_bytes(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")),
    *load_and_read("zeros", "x.bmp", UNREADABLE, lambda path: path.write_bytes(bytes(4096))),
    *load_and_read("cut-png", "x.png", UNREADABLE, cut),
    *load_and_read("cut-jpeg", "x.jpg", UNREADABLE, cut),
    *load_and_read("cut-tiff", "x.tif", UNREADABLE, cut),
    *load_and_read("cut-bmp", "x.bmp", UNREADABLE, cut),
    *load_and_read("cut-webp", "x.webp", UNREADABLE, cut),
    *load_and_read("cut-ppm", "x.ppm", UNREADABLE, cut),
    *load_and_read("damaged-in-the-middle", "x.png", UNREADABLE, damaged),
    *load_and_read("nan-tiff", "x.tif", ["not finite", "replace or remove"], floats(np.nan)),
    *load_and_read("infinite-tiff", "x.tif", ["not finite", "replace or remove"], floats(np.inf)),
    *load_and_read("huge", "x.png", ["exceeds limit"], says_it_is_huge),
    *load_and_read("pipe", "x.png", ["is a named pipe and no image file: remove it"], os.mkfifo),
    *load_and_read("socket", "x.png", ["is a socket and no image file: remove it"], listens),
    *load_and_read(
        "broken-link", "x.png", ["is a link to 'gone.png', which does not exist"], lambda p: p.symlink_to("gone.png")
    ),
    *load_and_read(
        "link-to-itself", "x.png", ["cannot be read", "symbolic links"], lambda path: path.symlink_to("x.png")
    ),
    *load_and_read(
        "link-to-a-device", "x.png", ["is a device and no image file"], lambda path: path.symlink_to("/dev/zero")
    ),
    *load_and_read("objects", "x.npy", UNREADABLE, array(of=np.array([{}, []], object)), suffixes=(".png", ".npy")),
    *load_and_read(
        "text-array", "x.npy", ["instead of numbers"], array(of=np.full((4, 4), "a")), suffixes=(".png", ".npy")
    ),
    *load_and_read(
        "complex",
        "x.npy",
        ["complex128 instead of numbers"],
        array(of=np.ones((4, 4), complex)),
        suffixes=(".png", ".npy"),
    ),
    *load_and_read(
        "one-axis",
        "x.npy",
        ["has shape (9,), which is not 2-D"],
        array(of=np.ones(9, np.uint8)),
        suffixes=(".png", ".npy"),
    ),
    *load_and_read(
        "five-axes",
        "x.npy",
        ["has shape (2, 2, 2, 2, 2)"],
        array(of=np.ones((2,) * 5, np.uint8)),
        suffixes=(".png", ".npy"),
    ),
    *load_and_read("no-pixels", "x.npy", ["has no pixels"], array(of=np.ones((0, 4))), suffixes=(".png", ".npy")),
    *load_and_read("nan-array", "x.npy", ["not finite"], array(of=np.full((4, 4), np.nan)), suffixes=(".png", ".npy")),
    *load_and_read(
        "promises-60-gb",
        "x.npy",
        ["60,000,000,000 bytes", "damaged"],
        npy_header((75000, 100000)),
        suffixes=(".png", ".npy"),
    ),
    *load_and_read("picture-as-volume", "x.png", ["x.png"], picture, spatial_dims=3)[1:],
    BadInput(
        "nan-array-of-a-record",
        ["record 'a'", "not finite"],
        call=lambda _: eval_transforms(8, 0.5, 0.5)({"image": np.full((8, 8), np.nan), "id": "a"}),
    ),
    BadInput(
        "predict-nothing",
        ["there is no image in", "PNG, JPEG"],
        lambda at: (at / "data").mkdir(),
        call=lambda at: find_images(at / "data"),
    ),
    BadInput(
        "predict-nowhere", ["there is no file or folder", "check the path"], call=lambda at: find_images(at / "data")
    ),
    BadInput(
        "predict-a-pipe",
        ["there is no file or folder"],
        lambda at: os.mkfifo(at / "x.png"),
        call=lambda at: find_images(at / "x.png"),
    ),
    BadInput("check-nowhere", ["does not exist"], command=["check", "data"]),
    BadInput(
        "check-a-cut-file",
        ["a training would refuse data", "x.png"],
        lambda at: cut(good_folder(at) / "benign/x.png"),
        command=["check", "data"],
    ),
]


@pytest.mark.parametrize("case", parameters(CASES))
def test_refused(case, tmp_path, monkeypatch):
    refuse(case, tmp_path, monkeypatch)


def test_only_unreadable_images_are_no_prediction(tmp_path, monkeypatch):
    """As the evaluator of a bundle calls it: batch after batch, then the end."""
    from ignite.engine import Engine

    def predict(batches):
        errors = CollectErrors()
        engine = Engine(lambda _, batch: batch)
        errors.attach(engine)
        engine.run(batches)
        return errors.errors

    bad = {"id": ["a", "b"], "error": ["cut off", "empty"]}
    assert predict([bad, {"id": ["c"], "error": [""]}]) == {"a": "cut off", "b": "empty"}
    with pytest.raises(ValueError, match="none of the 2 images could be read, so there is no prediction: a: cut off"):
        predict([bad])
