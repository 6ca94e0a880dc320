# SPDX-License-Identifier: Apache-2.0

"""
Writes the configuration files of the bundles: ``python -m tools.bundles``, from the repository's top folder.

What a bundle adds of its own is in ``bundles/<name>/bundle.yaml``; what all share is in ``bundles/common``. A bundle
must be complete when its folder is copied elsewhere, and MONAI cannot merge a file that the command line does not name,
so the files are written out and kept; a test compares them with what this would write.
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

__all__ = ["ROOT", "bundle_files", "bundle_names"]

ROOT = Path(__file__).resolve().parents[1] / "bundles"
CONFIGS = ("train.yaml", "evaluate.yaml", "inference.yaml", "multi_gpu_train.yaml")


def bundle_names() -> list[str]:
    """All bundles there are."""
    return sorted(path.parent.name for path in ROOT.glob("*/bundle.yaml"))


def bundle_files(name: str) -> dict[str, str]:
    """
    Text by path within the bundle's folder.

    Args:
        name: of the bundle.
    """
    own = yaml.safe_load((ROOT / name / "bundle.yaml").read_text(encoding="utf-8"))
    common = ROOT / "common"
    jinja = Environment(
        loader=FileSystemLoader(common),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    values = {"embedded_classes": None, "volume": None, **own, "name": name, **_in_yaml(own)}
    files = {f"configs/{config}": jinja.get_template(f"{config}.jinja").render(values) for config in CONFIGS}
    files["configs/logging.conf"] = (common / "logging.conf").read_text(encoding="utf-8")
    files["LICENSE"] = (common / "LICENSE").read_text(encoding="utf-8")
    shared = json.loads((common / "metadata.json").read_text(encoding="utf-8"))
    files["configs/metadata.json"] = json.dumps(_metadata(shared, own), indent=4, ensure_ascii=False) + "\n"
    return files


def _in_yaml(own: dict[str, Any]) -> dict[str, str]:
    """Parts of a bundle's file as they stand in its configurations."""
    names = ", ".join(own["class_names"])
    listed = {"class_list": f"[{names}]", "class_list_indented": f"[{names}]"}
    if len(names) > 80:
        for key, margin in (("class_list", "  "), ("class_list_indented", " " * 6)):
            lines = textwrap.wrap(f"[{names}]", 108, initial_indent=margin, subsequent_indent=f"{margin} ")
            listed[key] = "\n" + "\n".join(lines)
    volume = own.get("volume") or {}
    network = {"backbone": "embedded", **({"spatial_dims": 3, **volume} if volume else {})}
    listed["untrained_network"] = "{" + ", ".join(f"{key}: {value}" for key, value in network.items()) + "}"
    return listed


def _metadata(shared: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """What the Model Zoo wants to know of a bundle."""
    about, names = own["metadata"], own["class_names"]
    classes = {str(index): name for index, name in enumerate(names)}
    activation = "softmax" if own["task"] == "multiclass" else "sigmoid"
    image = {"type": "image", "dtype": "float32", "value_range": [-1, 1], "is_patch_data": False}
    volume = own.get("volume")
    if volume is None:
        image |= {"format": "RGB", "num_channels": 3, "spatial_shape": [224, 224]}
        image["channel_def"] = dict(zip("012", "RGB", strict=True))
    else:
        image |= {"format": "magnitude", "num_channels": volume["in_channels"]}
        image |= {"spatial_shape": [volume["img_size"]] * 3, "channel_def": {"0": "image"}}
    pred = {"type": "classification", "format": "logits", "num_channels": len(names), "spatial_shape": [1, len(names)]}
    pred |= {"dtype": "float32", "value_range": [], "is_patch_data": False, "channel_def": classes}
    return {
        **{key: value for key, value in shared.items() if key != "references"},
        **{key: value for key, value in about.items() if key not in ("modality", "references")},
        "label_classes": ", ".join(f"{index}: {name}" for index, name in classes.items()),
        "pred_classes": f"{len(names)} logits; {activation} makes them probabilities",
        "references": [*shared["references"], *about["references"]],
        "network_data_format": {
            "inputs": {"image": {**image, "modality": about["modality"]}},
            "outputs": {"pred": pred},
        },
    }


def main() -> None:
    for name in bundle_names():
        for path, text in bundle_files(name).items():
            target = ROOT / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.is_file() or target.read_text(encoding="utf-8") != text:
                target.write_text(text, encoding="utf-8")
                print(target.relative_to(ROOT.parent))


if __name__ == "__main__":
    main()
