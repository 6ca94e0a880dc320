# SPDX-License-Identifier: Apache-2.0

"""Draws the figures of docs/analysis.md: python -m tools.figures.analysis [weights of vit_tiny_patch16_224]"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import torch
from PIL import Image

import monai_ept.analysis.analysis as whole
from monai_ept import TunedViT, fit
from monai_ept.analysis import analyze
from monai_ept.data import few_shot_split, load_source
from tools.figures import IMAGES

SHOWN = ("components", "densities", "kept_layers", "kept_examples", "prompt_values", "reliability")


def main(pretrained: str | bool = True) -> None:
    data = load_source("synthetic_derm", num_workers=2)
    split = few_shot_split(data, shots=5, val="shots")
    torch.manual_seed(0)
    net = TunedViT(
        "vit_tiny_patch16_224.augreg_in21k_ft_in1k",
        data.num_classes,
        method={"name": "ept", "prompt_length": 20, "prompt_lr_scale": 10.0},
        pretrained=pretrained,
        class_names=data.class_names,
    )
    with tempfile.TemporaryDirectory() as folder:
        fit(
            net,
            split,
            data=data,
            recipe={"epochs": 5, "lr": 3e-3, "weight_decay": 0.0, "num_resamples": 0},
            out_dir=Path(folder, "run"),
            track=False,
        )
        whole.MOST_EXAMPLES = 3  # as many as the docs have room for
        found = analyze(net, split, out_dir=Path(folder, "analysis"), progress=True)
        print(found)
        for name in SHOWN:
            # A few hundred colours do for documentation.
            picture = Image.open(found.paths[name]).convert("RGB")
            picture.quantize(200).save(IMAGES / f"analysis_{name}.png", optimize=True)
        shutil.copy(found.paths["page"], Path(tempfile.gettempdir(), "analysis.html"))


if __name__ == "__main__":
    main(*sys.argv[1:])
