# SPDX-License-Identifier: Apache-2.0

"""What DICOM structured reports say, and a program that runs where this package is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom


def said_in(path: Path) -> dict[str, list[float]]:
    """Class and probabilities in a report by the image that they are of."""
    (measurements,) = [item for item in pydicom.dcmread(path).ContentSequence if item.ValueType == "CONTAINER"]
    found = {}
    for group in measurements.ContentSequence:
        (image,) = [item for item in group.ContentSequence if item.ValueType == "IMAGE"]
        (said,) = [item for item in group.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "121071"]
        numbers = [item.MeasuredValueSequence[0] for item in group.ContentSequence if item.ValueType == "NUM"]
        answer = said.ConceptCodeSequence[0].CodeMeaning, [float(one.NumericValue) for one in numbers]
        found[str(image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)] = answer
    return found


def check(reports: list[Path], written: dict) -> None:
    assert len(reports) == 2 and {pydicom.dcmread(path).Modality for path in reports} == {"SR"}
    found = {uid: answer for path in reports for uid, answer in said_in(path).items()}
    assert found.keys() == written.keys()
    for uid, (name, probabilities) in found.items():
        assert name == written[uid]["prediction"]
        assert np.allclose(probabilities, [float(written[uid][f"probability_{one}"]) for one in "ab"], atol=1e-5)
    assert np.ptp([values[0] for _, values in found.values()]) > 1e-3


WITHOUT_US = """
import os, runpy, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "monai_ept":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
del sys.argv[0]
sys.path[0:0] = [os.path.dirname(sys.argv[0])]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
