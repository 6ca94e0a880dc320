# SPDX-License-Identifier: Apache-2.0

"""``app/`` of a shipped bundle: DICOM in, DICOM structured reports out, with MONAI Deploy and without."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

from monai_ept.delta import fingerprint
from monai_ept.deploy.shipment import Shipment
from monai_ept.files import write_whole
from monai_ept.reporting.prose import template

__all__ = ["write_application"]

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
    "requirements.txt": "app_requirements.txt.jinja",
}
START = "from app import DICOMClassifier\n\nDICOMClassifier().run()\n"


def write_application(shipment: Shipment) -> None:
    """Write ``app/``."""
    folder = shipment.folder / "app"
    folder.mkdir()
    for name, source in PROGRAMS.items():
        text = (PACKAGE / source).read_text(encoding="utf-8")
        text = text.replace("from monai_ept.deploy.", "from ").replace("from monai_ept.metrics.", "from ")
        write_whole(folder / name, text)
    write_whole(folder / "__main__.py", START)  # what MONAI Deploy's packager starts
    network = shipment.network
    sets = shipment.original.prediction_sets
    about = {
        "name": shipment.name,
        "version": shipment.version,
        "fingerprint": fingerprint(network.state_dict())[:16],
        "task": shipment.training.task,
        "spatial_dims": network.vit.spatial_dims,
        "prediction_sets": None if sets is None else sets.record,
    }
    write_whole(folder / "about.json", json.dumps(about, indent=1, ensure_ascii=False) + "\n")
    content = {
        "about": about,
        "names": shipment.class_names,
        "torchscript": "ts" in shipment.formats,
        "versions": {name: version(name).partition("+")[0] for name in ("torch", "monai", "numpy")},
    }
    for name, source in TEMPLATES.items():
        write_whole(folder / name, template(Path(__file__).with_name(source)).render(**content))
