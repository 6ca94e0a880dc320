# SPDX-License-Identifier: Apache-2.0

"""Chest-radiograph-like pictures with the nineteen findings of ChestDR, several of them at once.

A *patient* has a build and findings, a *view* has position, exposure and noise. Findings come together as they do in
clinics: a large heart with oedema and effusion, tuberculosis with scars and calcification.
"""

from __future__ import annotations

import numpy as np

from monai_ept.synthetic.chest_anatomy import Body, paint_anatomy
from monai_ept.synthetic.chest_findings import FINDING_PAINTERS
from monai_ept.synthetic.paint import Dice, blur, to_bytes

__all__ = ["CHEST_CLASSES", "chest_findings", "render_chest"]

_PATIENT, _VIEW, _FINDINGS = 21, 22, 23  # streams of random numbers

# How often one finding brings another with it.
_COMPANIONS: dict[str, dict[str, float]] = {
    "pleural_effusion": {"cardiomegaly": 0.25, "atelectasis": 0.3, "consolidation": 0.2},
    "nodule": {"calcification": 0.2, "emphysema": 0.15},
    "pneumonia": {"consolidation": 0.3, "pleural_effusion": 0.2, "increased_lung_markings": 0.25},
    "cardiomegaly": {"pulmonary_edema": 0.3, "pleural_effusion": 0.3, "tortuous_aorta": 0.3},
    "hilar_enlargement": {"TB": 0.15, "increased_lung_markings": 0.3},
    "fracture_old": {"thickened_pleura": 0.25, "aortic_calcification": 0.2},
    "fibrosis": {"thickened_pleura": 0.3, "TB": 0.2, "increased_lung_markings": 0.2},
    "aortic_calcification": {"tortuous_aorta": 0.5, "cardiomegaly": 0.2},
    "tortuous_aorta": {"aortic_calcification": 0.4, "cardiomegaly": 0.25},
    "thickened_pleura": {"fibrosis": 0.25, "calcification": 0.15},
    "TB": {"fibrosis": 0.4, "calcification": 0.4, "thickened_pleura": 0.3},
    "pneumothorax": {"emphysema": 0.25, "atelectasis": 0.2},
    "emphysema": {"increased_lung_markings": 0.25, "aortic_calcification": 0.15},
    "atelectasis": {"elevated_diaphragm": 0.35, "pleural_effusion": 0.2},
    "calcification": {"TB": 0.25, "nodule": 0.15},
    "pulmonary_edema": {"cardiomegaly": 0.6, "pleural_effusion": 0.45},
    "increased_lung_markings": {"emphysema": 0.15, "cardiomegaly": 0.15},
    "elevated_diaphragm": {"atelectasis": 0.3},
    "consolidation": {"pneumonia": 0.3, "pleural_effusion": 0.25},
}

CHEST_CLASSES = tuple(_COMPANIONS)
"""The nineteen findings in the order of ChestDR's labels."""


def chest_findings(seed: int, patient: int) -> tuple[str, ...]:
    """What a patient has. Patients take turns with the leading finding, so that none is rare; one in twenty is healthy.

    Args:
        seed: seed of the data set.
        patient: number of the patient.
    """
    turn, place = divmod(patient, len(CHEST_CLASSES) + 1)
    order = list(range(len(CHEST_CLASSES) + 1))
    shuffle = Dice(_FINDINGS, seed, 0, turn)
    for last in range(len(order) - 1, 0, -1):
        other = shuffle.whole(0, last)
        order[last], order[other] = order[other], order[last]
    leading = order[place]
    if leading == len(CHEST_CLASSES):
        return ()
    dice = Dice(_FINDINGS, seed, 1, patient)
    found = {CHEST_CLASSES[leading]}
    found |= {name for name, often in _COMPANIONS[CHEST_CLASSES[leading]].items() if dice.chance(often)}
    if dice.chance(0.15):
        found.add(dice.pick(CHEST_CLASSES))
    return tuple(name for name in CHEST_CLASSES if name in found)


def render_chest(findings: tuple[str, ...], *, seed: int, patient: int, view: int, img_size: int = 224) -> np.ndarray:
    """One chest-radiograph-like picture.

    Args:
        findings: names from :py:data:`CHEST_CLASSES`; empty for a healthy chest.
        seed: seed of the data set.
        patient: number of the patient, who has the same build and findings in every view.
        view: number of the picture; it fixes position, breath, exposure and noise.
        img_size: pixels along an edge.

    Raises:
        ValueError: when there is no such finding.

    Returns:
        bytes of shape (img_size, img_size), the same on every machine.
    """
    unknown = [name for name in findings if name not in CHEST_CLASSES]
    if unknown:
        raise ValueError(f"there is no finding {unknown[0]!r}; choose from {', '.join(CHEST_CLASSES)}.")
    lens = Dice(_VIEW, seed, patient, view)
    body = Body((_PATIENT, seed, patient), lens, findings, img_size)
    paint_anatomy(body)
    for part, (name, paint) in enumerate(FINDING_PAINTERS.items(), start=3):
        if name in findings:
            body.deal(part)
            paint(body)
    exposed = blur(body.density, lens.pick((0, 1), (2, 1)))
    # film saturates: what is dense already grows little whiter
    bright = np.maximum(exposed - 0.6, 0.0)
    exposed = np.minimum(exposed, 0.6) + bright * (1 / (1 + 1.6 * bright))
    exposed = (exposed - 0.45) * lens.between(0.9, 1.2) + 0.45 + lens.bell(0.03)
    grain = lens.array(img_size, img_size) + lens.array(img_size, img_size) - 1.0
    return to_bytes(0.04 + exposed + grain * lens.between(0.02, 0.05))
