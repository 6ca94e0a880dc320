# SPDX-License-Identifier: Apache-2.0

"""``configs/inference.json`` and ``configs/metadata.json`` of a shipped bundle, in which all is MONAI's."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from monai_ept.data.read_image import DICOM_SUFFIXES, IMAGE_SUFFIXES, NIFTI_SUFFIXES
from monai_ept.deploy.preprocessing import plain_preprocessing
from monai_ept.deploy.shipment import Shipment
from monai_ept.files import plain_json, write_whole
from monai_ept.runs.network_inputs import network_transforms

__all__ = ["NETWORKS", "csv_header", "metadata", "write_configs"]

SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
NETWORKS = {
    "ts": "$torch.jit.load(@bundle_root + '/models/model.ts', map_location=@device)",
    # As modules of its own again, since what torch.export loads cannot be told to evaluate.
    "pt2": "$torch.export.unflatten(torch.export.load(@bundle_root + '/models/model.pt2'))",
}
"""How MONAI's parser loads each format that it can run."""
MEMBER = "$torch.jit.load(@bundle_root + '/../../models/model.ts', map_location=@device).tasks.{}"
"""The same of a task of a bank."""


def write_configs(shipment: Shipment) -> None:
    """Write the configurations of a bundle."""
    folder = shipment.folder / "configs"
    folder.mkdir()
    for name, content in (("inference", _inference(shipment)), ("metadata", metadata(shipment))):
        write_whole(folder / f"{name}.json", json.dumps(content, indent=4, ensure_ascii=False) + "\n")


def csv_header(class_names: Sequence[str]) -> str:
    """The first line of the bundle's ``predictions.csv``."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(["id", *(f"probability_{name}" for name in class_names)])
    return text.getvalue()


def _inference(shipment: Shipment) -> dict[str, Any]:
    network, names = shipment.network, list(shipment.class_names)
    dims = network.vit.spatial_dims
    transforms = network_transforms(network, **shipment.training.transform_settings)
    suffixes = [*(IMAGE_SUFFIXES if dims == 2 else ()), *NIFTI_SUFFIXES, *DICOM_SUFFIXES, ".npy"]
    known = {name: NETWORKS[name] for name in shipment.formats if name in NETWORKS}
    if shipment.member:
        known = {"ts": MEMBER.format(shipment.member)}
    return {
        "imports": ["$import pathlib", *(["$from PIL import ImageOps"] if dims == 2 else [])],
        "bundle_root": ".",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "dataset_dir": "images",
        "output_dir": "predictions",
        "batch_size": 4,
        "class_names": names,
        "suffixes": suffixes,
        "is_dicom": "$lambda path: path.is_file() and open(path, 'rb').read(132)[128:] == b'DICM'",
        "files": (
            "$[path for path in sorted([*pathlib.Path(@dataset_dir).rglob('*'), pathlib.Path(@dataset_dir)]) if "
            "path.is_file() and path.name[0] != '.' and "
            "(path.name.lower().endswith(tuple(@suffixes)) or @is_dicom(path))]"
        ),
        "datalist": _datalist(dims),
        "preprocessing": plain_preprocessing(transforms),
        "dataset": {"_target_": "monai.data.Dataset", "data": "@datalist", "transform": "@preprocessing"},
        "dataloader": {
            "_target_": "monai.data.DataLoader",
            "dataset": "@dataset",
            "batch_size": "@batch_size",
            "shuffle": False,
            "num_workers": 0,
        },
        "networks": known,
        "network_def": f"@networks#{next(iter(known))}",
        "network": "$@network_def.to(@device)",
        "inferer": {"_target_": "monai.inferers.SimpleInferer"},
        "postprocessing": _postprocessing(shipment),
        "handlers": [
            {
                "_target_": "monai.handlers.ClassificationSaver",
                "output_dir": "@output_dir",
                "filename": "predictions.csv",
                "overwrite": False,
                "batch_transform": "$lambda batch: [{'filename_or_obj': one['id']} for one in batch]",
                "output_transform": "$monai.handlers.from_engine('pred')",
            }
        ],
        "evaluator": {
            "_target_": "monai.engines.SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
        },
        "csv_header": csv_header(names),
        "run": [
            "$pathlib.Path(@output_dir).mkdir(parents=True, exist_ok=True)",
            "$pathlib.Path(@output_dir, 'predictions.csv').write_text(@csv_header, encoding='utf-8')",
            "$@evaluator.run()",
        ],
    }


def _datalist(dims: int) -> str:
    """Each file is an image; of volumes, each folder with DICOM slices in it is one."""
    images = "@files" if dims == 2 else "sorted({path.parent if @is_dicom(path) else path for path in @files})"
    return f"$[{{'image': str(path), 'id': str(path)}} for path in {images}]"


def _postprocessing(shipment: Shipment) -> dict[str, Any]:
    activation = {"sigmoid": True} if shipment.multilabel else {"softmax": True}
    named = "$lambda p: {name: float(value) for name, value in zip(@class_names, p)}"
    return {
        "_target_": "monai.transforms.Compose",
        "transforms": [
            {"_target_": "monai.transforms.Activationsd", "keys": "pred", **activation},
            {"_target_": "monai.transforms.Lambdad", "keys": "pred", "func": named, "overwrite": "probabilities"},
        ],
    }


def metadata(shipment: Shipment) -> dict[str, Any]:
    """What ``metadata.json`` says."""
    vit, names = shipment.network.vit, shipment.class_names
    packages = ["pytorch-ignite", "fire", "nibabel", "pydicom", *(["pillow"] if vit.spatial_dims == 2 else [])]
    packages += ["onnxruntime"] if "onnx" in shipment.formats else []
    activation = "sigmoid" if shipment.multilabel else "softmax"
    return {
        "schema": SCHEMA,
        "version": shipment.version,
        "changelog": {shipment.version: "shipped from the training"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {name: version(name) for name in packages if _installed(name)},
        "supported_apps": {},
        "name": shipment.name,
        "task": f"{'Multi-label' if shipment.multilabel else 'Multi-class'} image classification",
        "description": (
            f"Says the probability of {len(names)} {'labels' if shipment.multilabel else 'classes'} for "
            f"{'an image' if vit.spatial_dims == 2 else 'a volume'}: {', '.join(names)}."
        ),
        "authors": "see docs/README.md",
        "copyright": "see LICENSE",
        "data_source": "see docs/data_license.txt",
        "intended_use": "For research: nothing here has been validated for diagnosis.",
        "label_classes": ", ".join(f"{index}: {name}" for index, name in enumerate(names)),
        "pred_classes": f"{len(names)} logits; {activation} makes them probabilities",
        "eval_metrics": _measured(shipment),
        "network_data_format": _data_format(shipment),
    }


def _installed(name: str) -> bool:
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False


def _measured(shipment: Shipment) -> dict[str, float]:
    """The scalars of the training's test."""
    found = plain_json({name: value for name, value in shipment.training.metrics.items() if isinstance(value, float)})
    return {name: value for name, value in found.items() if value is not None}


def _data_format(shipment: Shipment) -> dict[str, Any]:
    vit, names = shipment.network.vit, shipment.class_names
    means, deviations = (value or (0.5,) * vit.in_channels for value in (vit.mean, vit.std))
    ends = [min((0 - m) / s for m, s in zip(means, deviations, strict=True))]
    ends.append(max((1 - m) / s for m, s in zip(means, deviations, strict=True)))
    colour = vit.spatial_dims == 2 and vit.in_channels == 3
    channels = "RGB" if colour else [f"channel {index}" for index in range(vit.in_channels)]
    image = {
        "type": "image",
        "format": "RGB" if colour else "magnitude",
        "modality": shipment.modality or "n/a",
        "num_channels": vit.in_channels,
        "spatial_shape": list(vit.img_size),
        "dtype": "float32",
        "value_range": [round(end, 6) for end in ends],
        "is_patch_data": False,
        "channel_def": {str(index): name for index, name in enumerate(channels)},
    }
    pred = {
        "type": "classification",
        "format": "logits",
        "num_channels": len(names),
        "spatial_shape": [1, len(names)],
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": False,
        "channel_def": {str(index): name for index, name in enumerate(names)},
    }
    return {"inputs": {"image": image}, "outputs": {"pred": pred}}
