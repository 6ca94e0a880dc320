# SPDX-License-Identifier: Apache-2.0

"""Loads deltas in a process that has seen nothing else, and notes what the networks answer."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from monai_ept import TunedViT
from tests.backbones import images_for
from tests.methods.cases import BACKBONES

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    outputs = {}
    for path in sorted(folder.glob("*.safetensors")):
        backbone = BACKBONES[path.stem.split("+")[0]]()
        net = TunedViT.from_delta(path, backbone=backbone).eval()
        with torch.no_grad():
            outputs[path.stem] = net(images_for(net.vit))
    torch.save(outputs, folder / "outputs.pt")
