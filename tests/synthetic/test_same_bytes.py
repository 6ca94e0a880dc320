# SPDX-License-Identifier: Apache-2.0

"""What a painter draws is the same to the bit on every machine."""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from monai_ept.synthetic import paint
from monai_ept.synthetic.chest import CHEST_CLASSES, chest_findings, render_chest
from monai_ept.synthetic.derm import DERM_CLASSES, render_derm
from monai_ept.synthetic.volume import VOLUME_CLASSES, render_volume

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
    """NumPy picks other loops on a processor without AVX, say; where it has no choice, this repeats the test above."""
    code = (
        "import tests.synthetic.test_same_bytes as t\n"
        "assert {kind: t.digest(t.pinned_pictures(kind)) for kind in t.PINNED} == t.PINNED\n"
    )
    features = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(features)}
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
