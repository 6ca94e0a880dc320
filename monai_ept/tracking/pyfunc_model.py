# SPDX-License-Identifier: Apache-2.0

"""A registered model's other end: what ``mlflow.pyfunc.load_model`` calls.

A model is three files, none of which is unpickled: ``delta.safetensors``, ``backbone.safetensors`` and
``config.json``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from monai_ept.metrics import probabilities_of
from monai_ept.model import TunedViT
from monai_ept.networks import create_backbone, monai_vit_from_timm
from monai_ept.networks.tuner import own_name

__all__ = ["PyfuncModel", "fold_if_possible", "load_model_files", "save_model_files"]

DELTA = "delta.safetensors"
BACKBONE = "backbone.safetensors"
CONFIG = "config.json"
MONAI_VIT = ("monai.networks.nets.ViT", "monai.networks.nets.vit.ViT")
CONVERTED = "monai_ept.networks.monai_vit_from_timm"
CREATED = "monai_ept.networks.create_backbone"
CHUNK = 32


def save_model_files(net: TunedViT, folder: Path, task: str, backbone: Any = None) -> None:
    """Write all that a network needs to be built again anywhere.

    Args:
        net: a network that is not folded.
        folder: an existing, empty folder.
        task: "multiclass" or "multilabel".
        backbone: how to build a backbone that was given as a module: ``{"_target_": "monai.networks.nets.ViT", …}``,
            or the same of ``monai_ept.networks.monai_vit_from_timm`` or ``monai_ept.networks.create_backbone``.

    Raises:
        ValueError: when nobody can know how to build the backbone, or the network is merged already.
    """
    name = net.delta_metadata()["backbone"]
    if not name["by_name"] and (backbone is None or backbone.get("_target_") not in (*MONAI_VIT, CONVERTED, CREATED)):
        raise ValueError(
            f"the backbone is a {name['name']} that was given as a module: pass backbone={{'_target_': "
            f"'{MONAI_VIT[0]}', …}} with the arguments that built it, or give the network a backbone by name."
        )
    net.save_delta(folder / DELTA)
    with net.disabled():  # trained weights are in the delta: here they are as they came
        weights = {own_name(key): tensor.detach().cpu().clone() for key, tensor in net.backbone.state_dict().items()}
    save_file({key: tensor.contiguous() for key, tensor in weights.items() if key in net._own_names}, folder / BACKBONE)
    if name["by_name"]:
        backbone = name["name"]
        if "settings" in name or "architecture" in name:  # without the repository that the weights came from
            architecture = name.get("architecture", backbone)
            backbone = {"_target_": CREATED, "name": architecture, "backbone_settings": name.get("settings")}
    config = {
        "backbone": backbone,
        "img_size": list(net.vit.img_size),
        "in_channels": net.vit.in_channels,
        "class_names": net.class_names,
        "task": task,
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load_model_files(folder: Path) -> tuple[TunedViT, dict[str, Any]]:
    """Build the network again, folded where its method can be, and its configuration."""
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    module = _backbone(config)
    # Not strict: a head of the backbone's own, which is not used, is not kept. Weights that were missing otherwise
    # would be noticed by the delta, which knows the fingerprint of its backbone.
    module.load_state_dict(load_file(folder / BACKBONE), strict=False)
    net = TunedViT.from_delta(folder / DELTA, backbone=module, img_size=config["img_size"]).eval()
    # A method with nothing to fold, or one whose effect depends on the image, runs as it is.
    return fold_if_possible(net), config


def fold_if_possible(net: TunedViT) -> TunedViT:
    """The folded network, or the network itself where there is nothing to fold."""
    try:
        return net.fold()
    except ValueError:
        return net


def _backbone(config: dict[str, Any]) -> nn.Module:
    about = config["backbone"]
    if isinstance(about, str):
        about = {"_target_": CREATED, "name": about}
    target, settings = about.get("_target_"), {key: value for key, value in about.items() if key != "_target_"}
    if target == CREATED:
        return create_backbone(**{"img_size": config["img_size"], "in_channels": config["in_channels"], **settings})
    if target == CONVERTED:
        return monai_vit_from_timm(**settings)
    if target not in MONAI_VIT:
        raise ValueError(f"the registered model has a backbone {target!r} that is not known here.")
    from monai.networks.nets import ViT

    return ViT(**settings)


class PyfuncModel:
    """Answers with probabilities ``(images, classes)``.

    Args:
        net: the network.
        task: "multiclass" (softmax) or "multilabel" (sigmoid).
    """

    def __init__(self, net: TunedViT, task: str) -> None:
        self.net = net
        self.task = task

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> np.ndarray:
        """Probabilities of images as the network takes them: normalised, ``(images, channels, *img_size)``."""
        images = torch.as_tensor(np.ascontiguousarray(model_input, dtype=np.float32))
        with torch.inference_mode():
            logits = torch.cat([self.net(chunk) for chunk in images.split(CHUNK)])
        return probabilities_of(logits, self.task).numpy()


def _load_pyfunc(path: str) -> PyfuncModel:
    """What MLflow calls, by this name."""
    net, config = load_model_files(Path(path))
    return PyfuncModel(net, config["task"])
