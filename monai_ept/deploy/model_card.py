# SPDX-License-Identifier: Apache-2.0

"""The documents of a shipped bundle: what was trained on what, and what was measured."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from monai_ept.data.views import test_views
from monai_ept.deploy.shipment import Shipment
from monai_ept.evaluation.prediction_sets import about_sets
from monai_ept.files import write_whole
from monai_ept.model import TunedViT
from monai_ept.networks.embedded_weights import EMBEDDED
from monai_ept.networks.foundation_models import FOUNDATION_MODELS
from monai_ept.reporting.markdown import as_text, markdown_table
from monai_ept.reporting.metrics_table import metric_rows
from monai_ept.reporting.prose import template

__all__ = ["write_documents"]

WHAT = {
    "ts": "the network in TorchScript, with the configurations in it",
    "pt2": "the same as `torch.export` writes it",
    "onnx": "the same in ONNX, from `image` to `pred`",
}


def write_documents(shipment: Shipment) -> None:
    """Write ``docs/`` and ``LICENSE``."""
    folder = shipment.folder / "docs"
    folder.mkdir()
    text = template(Path(__file__).with_name("model_card.md.jinja")).render(**_content(shipment))
    write_whole(folder / "README.md", text)
    write_whole(folder / "data_license.txt", shipment.data_licence.rstrip() + "\n")
    write_whole(shipment.folder / "LICENSE", shipment.licence.rstrip() + "\n")


def _content(shipment: Shipment) -> dict[str, Any]:
    training, vit, original = shipment.training, shipment.network.vit, shipment.original
    params = dict(training.record.get("params") or {})
    window = training.transform_settings.get("intensity_range")
    pixels = "pixels" if vit.spatial_dims == 2 else "voxels"
    return {
        "names": [as_text(name) for name in shipment.class_names],
        "multilabel": shipment.multilabel,
        "images": "images" if vit.spatial_dims == 2 else "volumes",
        "params": {"source": None, "backbone_fingerprint": None, "shots_by": None, **params},
        "recipe": {"solve": False, "epochs": 0, **(training.record.get("recipe") or {})},
        "seed": training.record.get("seed", "not recorded"),
        "versions": {key.removeprefix("version."): params[key] for key in params if key.startswith("version.")},
        "backbone": _backbone(original),
        "method": " + ".join(_method(method.settings()) for method in original.methods),
        "count": original.count(),
        "readout": original.readout,
        "views": len(test_views(original.views)),
        "view_set": original.views,
        "channels": {1: "one channel", 3: "three channels"}.get(vit.in_channels, f"{vit.in_channels} channels"),
        "size": f"{' × '.join(map(str, vit.img_size))} {pixels}",
        "intensity": (
            f"{window[0]:g} to {window[1]:g}, and what lies outside is cut off"
            if window
            else "8 bits by 255, all else by the image's own minimum and maximum"
        ),
        "temperature": original.temperature,
        "num_images": training.metrics.get("num_images", 0),
        "table": _table(shipment),
        "said": _said(shipment),
        "checked": len(shipment.expected.records),
        "checked_of": shipment.expected.total,
        "checked_against": shipment.expected.source,
        "formats": shipment.formats,
        "member": shipment.member,
        "what": WHAT,
        "backbone_licence": _backbone_licence(shipment),
    }


def _backbone(net: TunedViT) -> str:
    settings = ", ".join(f"{key} {value}" for key, value in (net.built_from.get("settings") or {}).items())
    return f"`{net.backbone_name}`" + (f" ({settings})" if settings else "")


def _method(settings: dict[str, Any]) -> str:
    given = ", ".join(f"{key} {value}" for key, value in settings.items() if key != "name")
    return f"`{settings['name']}`" + (f" ({given})" if given else "")


def _table(shipment: Shipment) -> str:
    """The metrics of the test beside those of the baseline."""
    metrics = shipment.training.metrics
    rows = metric_rows(metrics, shipment.training.intervals)
    baseline = metrics.get("baseline") or {}
    theirs = {name: row["baseline"] for name, row in (baseline.get("metrics") or {}).items()}
    head = ["metric", "value", "95 % interval"] + ([baseline["name"]] if theirs else [])
    body = []
    for name, value, ends in rows:
        other = theirs.get(name)
        beside = "" if other is None or math.isnan(other) else f"{other:.3f}"
        body.append([name.strip().replace("_", " "), value, ends] + ([beside] if theirs else []))
    return markdown_table([head, *body]) if body else ""


def _said(shipment: Shipment) -> list[str]:
    metrics, task = shipment.training.metrics, shipment.training.task
    if not metrics:
        return []
    counts = ", ".join(f"{as_text(name)} {count}" for name, count in (metrics.get("support") or {}).items())
    said = [f"Test images of each {'label' if shipment.multilabel else 'class'}: {counts}."] if counts else []
    if metrics.get("baseline"):
        said.append(f"Beside a baseline: {metrics['baseline']['said']}")
    if metrics.get("prediction_sets"):
        sets = " ".join(about_sets(metrics["prediction_sets"], task))
        said.append(f"Prediction sets, which reports of `app/` have and `predictions.csv` has not: {sets}")
    return said


def _backbone_licence(shipment: Shipment) -> str:
    """As the weights' own configuration has it, where they are those that it tells of."""
    settings, name = shipment.training.record.get("network") or {}, shipment.original.backbone_name
    if EMBEDDED in (name, settings.get("backbone")):
        return ": Apache-2.0"
    medical = [one for one in FOUNDATION_MODELS if name == f"hf-hub:{one.repository}"]
    if medical:
        return f": {medical[0].licence}, as its authors name it"
    known = (getattr(shipment.original.vit.module, "pretrained_cfg", None) or {}).get("license")
    if known and str(settings.get("pretrained")).lower() == "true":
        return f": {known}, as timm names it"
    return ", which is not known here"
