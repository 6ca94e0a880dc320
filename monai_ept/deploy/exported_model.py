# SPDX-License-Identifier: Apache-2.0

"""The network as files that other programs run: weights, TorchScript, ``torch.export`` and ONNX."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from monai.data import save_net_with_metadata
from monai.utils import optional_import

from monai_ept.checks import check_choice
from monai_ept.deploy.inference_config import metadata
from monai_ept.deploy.shipment import Shipment
from monai_ept.model import TunedViT
from monai_ept.tracking.model_files import fold_if_possible

__all__ = ["FORMATS", "check_formats", "folded", "write_models"]

FORMATS = ("ts", "pt2", "onnx")
"""TorchScript, ``torch.export``'s archive, and ONNX."""


def check_formats(formats: Any) -> tuple[str, ...]:
    """
    The formats to export to, each once.

    Raises:
        ValueError: when one is unknown, or the bundle could run none of them.
        ImportError: when what writes one is not installed.
    """
    wanted = tuple(dict.fromkeys(check_choice("formats", one, FORMATS) for one in formats))
    if not {"ts", "pt2"} & set(wanted):
        raise ValueError("a bundle of MONAI runs model.ts or model.pt2: ask for one of them, --formats ts onnx.")
    if "onnx" in wanted and not (optional_import("onnx")[1] and optional_import("onnxruntime")[1]):
        raise ImportError("onnx and onnxruntime write and check ONNX: pip install monai_ept[onnx].")
    return wanted


def folded(network: TunedViT) -> TunedViT:
    """The network in evaluation mode, with its methods folded where they can be."""
    return fold_if_possible(network).eval().requires_grad_(False)


def write_models(shipment: Shipment) -> None:
    """Write ``models/``: ``model.pt``, whose names of weights are those of ``model.ts``, and the formats asked for."""
    folder = shipment.folder / "models"
    folder.mkdir()
    net = shipment.network
    torch.save(net.state_dict(), folder / "model.pt")
    example = torch.zeros(2, net.vit.in_channels, *net.vit.img_size)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about constants of timm's, and about exporters that will be replaced
        for name in shipment.formats:
            _EXPORT[name](shipment, example, folder / f"model.{name}")


def _torchscript(shipment: Shipment, example: torch.Tensor, path: Path) -> None:
    traced = torch.jit.trace(shipment.network, example[:1], check_trace=False)
    # With the configurations in it, the file alone is a bundle to MONAI Deploy.
    configs = {"inference.json": (shipment.folder / "configs" / "inference.json").read_bytes()}
    save_net_with_metadata(traced, str(path), meta_values=metadata(shipment), more_extra_files=configs)


def _exported_program(shipment: Shipment, example: torch.Tensor, path: Path) -> None:
    batch = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(shipment.network, (example,), dynamic_shapes=batch), path)


def _onnx(shipment: Shipment, example: torch.Tensor, path: Path) -> None:
    names: dict[str, Any] = {"input_names": ["image"], "output_names": ["pred"]}
    axes = {"image": {0: "batch"}, "pred": {0: "batch"}}
    # The exporter over torch.export takes ten times as long for the same file.
    torch.onnx.export(shipment.network, (example,), str(path), dynamic_axes=axes, dynamo=False, **names)


_EXPORT = {"ts": _torchscript, "pt2": _exported_program, "onnx": _onnx}
