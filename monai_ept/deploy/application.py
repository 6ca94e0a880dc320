# SPDX-License-Identifier: Apache-2.0

"""``app/`` of a shipped bundle: DICOM in, DICOM structured reports out, with MONAI Deploy and without."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from monai_ept.delta import fingerprint
from monai_ept.deploy.shipment import Shipment
from monai_ept.files import write_whole
from monai_ept.reporting.prose import template

__all__ = ["about_model", "write_application", "write_programs"]

PACKAGE = Path(__file__).parents[1]
PROGRAMS = {
    "dicom_app.py": "deploy/dicom_app.py",
    "dicom_sr.py": "deploy/dicom_sr.py",
    "image_answer.py": "metrics/image_answer.py",
}
"""What is shipped, by what it is called there; these files import each other and nothing else of ours."""
TEMPLATES = {
    "app.py": "app.py.jinja",  # no module of ours: it needs MONAI Deploy
    "README.md": "app_readme.md.jinja",
    "app.yaml": "app.yaml.jinja",
}
START = "from app import DICOMClassifier\n\nDICOMClassifier().run()\n"


def write_application(shipment: Shipment) -> None:
    """Write ``app/``."""
    folder = shipment.folder / "app"
    about = about_model(shipment)
    write_programs(folder, about)
    write_whole(folder / "__main__.py", START)  # what MONAI Deploy's packager starts
    content = {"about": about, "names": shipment.class_names, "torchscript": "ts" in shipment.formats}
    for name, source in TEMPLATES.items():
        write_whole(folder / name, template(Path(__file__).with_name(source)).render(**content))


def about_model(shipment: Shipment) -> dict[str, Any]:
    """What a report says of the model, and how its probabilities are read."""
    sets = shipment.original.prediction_sets
    return {
        "name": shipment.name,
        "version": shipment.version,
        "fingerprint": fingerprint(shipment.network.state_dict())[:16],
        "task": shipment.training.task,
        "spatial_dims": shipment.network.vit.spatial_dims,
        "prediction_sets": None if sets is None else sets.record,
    }


def write_programs(folder: Path, about: Mapping[str, Any]) -> None:
    """
    Write the programs that need nothing of ours, what they need, and what they read of the model.

    Args:
        about: of the model, see ``about_model``; of a bank with ``tasks``, the same of each of them.
    """
    folder.mkdir()
    for name, source in PROGRAMS.items():
        text = (PACKAGE / source).read_text(encoding="utf-8")
        text = text.replace("from monai_ept.deploy.", "from ").replace("from monai_ept.metrics.", "from ")
        write_whole(folder / name, text)
    write_whole(folder / "about.json", json.dumps(about, indent=1, ensure_ascii=False) + "\n")
    versions = {name: version(name).partition("+")[0] for name in ("torch", "monai", "numpy")}
    needed = template(Path(__file__).with_name("app_requirements.txt.jinja"))
    write_whole(folder / "requirements.txt", needed.render(versions=versions, bank="tasks" in about))
