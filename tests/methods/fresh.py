# Copyright (c) The monai_ept developers
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#     http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

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
