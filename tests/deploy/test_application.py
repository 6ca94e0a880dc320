# SPDX-License-Identifier: Apache-2.0

"""The files of an application import each other alone, and MONAI Deploy takes them by its own rules."""

from __future__ import annotations

import ast
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import MapTransform

from monai_ept.deploy.application import PROGRAMS


def test_programs_import_each_other_and_nothing_else_of_ours(place):
    app = place / "bundle" / "app"
    assert {*PROGRAMS, "app.py", "__main__.py"} == {path.name for path in app.glob("*.py")}
    for path in app.glob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        imported = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        imported |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        assert not {name for name in imported if name.startswith("monai_ept")}, path
        local = {"app", *(Path(name).stem for name in PROGRAMS)}
        known = sys.stdlib_module_names | local | {"monai", "torch", "pydicom"}
        assert {name.partition(".")[0] for name in imported} <= known, path


# ------------------------------------------- what MONAI Deploy's App SDK 4.0.0 does in MonaiBundleInferenceOperator


def filter_compose(compose, disallowed):
    """Its own rule: what has one of these texts in the name of its class is taken out of ``.transforms``."""
    kept = [step for step in compose.transforms if not any(name in type(step).__name__ for name in disallowed)]
    compose.transforms = tuple(kept)
    return compose


def test_the_sdk_reads_the_configurations_and_takes_the_loader_out(place, dicom):
    # It looks into model.ts alone: extra/ in the archive, below a folder named like the file.
    with zipfile.ZipFile(place / "bundle" / "models" / "model.ts") as archive:
        meta = json.loads(archive.read("model/extra/metadata.json"))
        config = json.loads(archive.read("model/extra/inference.json"))
    parser = ConfigParser()
    parser.read_meta(meta)
    parser.read_config(config)
    parser.parse()
    data_format = parser["_meta_"]["network_data_format"]
    assert list(data_format["inputs"]) == ["image"] and list(data_format["outputs"]) == ["pred"]
    whole = parser.get_parsed_content("preprocessing")
    (load,) = [step for step in whole.transforms if "LoadImage" in type(step).__name__]
    (path, *_) = sorted((dicom[0] / "first").iterdir())
    expected = whole({"image": str(path)})["image"]
    kept = filter_compose(whole, ["LoadImage", "SaveImage"])
    assert load not in kept.transforms and isinstance(kept.transforms[0], MapTransform)  # it is given a dictionary
    loaded = load({"image": str(path)})["image"]
    given = MetaTensor.ensure_torch_and_prune_meta(loaded, loaded.meta)
    assert torch.equal(kept({"image": given})["image"], expected)
    after = filter_compose(parser.get_parsed_content("postprocessing"), ["LoadImage", "SaveImage"])
    network = torch.jit.load(place / "bundle" / "models" / "model.ts").eval()
    inferer = parser.get_parsed_content("inferer")
    (logits,) = tuple(inferer(inputs=expected[None].as_tensor(), network=network))
    said = after({"pred": logits, "image": expected})
    row = dicom[1][str(pydicom.dcmread(path).SOPInstanceUID)]
    assert np.allclose(
        list(said["probabilities"].values()), [float(row[f"probability_{one}"]) for one in "ab"], atol=1e-5
    )
