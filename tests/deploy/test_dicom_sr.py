# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.sr import _concepts_dict
from pydicom.uid import generate_uid

from monai_ept.deploy import write_dicom_sr
from tests.dicom_files import write_dicom

MODEL = {"name": "derm ept", "version": "0.2.0", "fingerprint": "1f2e3d4c5b6a7988"}
SAID = {
    **{"class": "nevus", "probability": 0.7123456789, "set": ["nevus", "naevus, atypisch"], "sure": False},
    "probabilities": {"nevus": 0.7123456789, "naevus, atypisch": 0.2, "other": 0.0876543211},
}


def image(folder: Path, **tags: Any) -> pydicom.Dataset:
    path = write_dicom(folder / f"{len(list(folder.glob('*')))}.dcm", np.zeros((4, 5), np.uint8), patient="P1")
    file = pydicom.dcmread(path)
    file.SpecificCharacterSet = "ISO_IR 100"
    given = {"PatientName": "Müller^Jörg", "StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4", "StudyID": "7"}
    for name, value in {**given, **tags}.items():
        setattr(file, name, value)
    file.save_as(path)
    return pydicom.dcmread(path, stop_before_pixels=True)


def items(report: Any) -> Iterator[Any]:
    for item in report.get("ContentSequence") or ():
        yield item
        yield from items(item)


def values(report: Any, code: str) -> list[Any]:
    """What items of one concept say."""
    found = []
    for item in items(report):
        if item.ConceptNameCodeSequence[0].CodeValue == code:
            found.append(
                item.ConceptCodeSequence[0].CodeMeaning
                if item.ValueType == "CODE"
                else item.get("TextValue") or item.get("UID") or item.MeasuredValueSequence[0].FloatingPointValue
            )
    return found


def test_a_report_copies_the_patient_and_refers_to_the_image(tmp_path):
    source = image(tmp_path, PatientIdentityRemoved="YES", StudyDescription="Haut")
    uid = write_dicom_sr([(SAID, source)], tmp_path / "report.dcm", model=MODEL)
    report = pydicom.dcmread(tmp_path / "report.dcm")
    assert report.file_meta.MediaStorageSOPClassUID.name == "Comprehensive SR Storage" and report.SOPInstanceUID == uid
    assert (report.PatientName, report.PatientID, report.PatientBirthDate) == ("Müller^Jörg", "P1", "")
    assert (report.StudyInstanceUID, report.StudyID, report.StudyDescription) == ("1.2.3", "7", "Haut")
    assert (report.PatientIdentityRemoved, report.Modality, report.VerificationFlag) == ("YES", "SR", "UNVERIFIED")
    assert report.SeriesInstanceUID not in ("1.2.3.4", "") and report.SOPInstanceUID != source.SOPInstanceUID
    assert (report.ManufacturerModelName, report.SoftwareVersions) == ("derm ept", "0.2.0")
    assert "diagnosis" in report.SeriesDescription and "Diagnostic" not in str(report)
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    expected = (source.SOPClassUID, source.SOPInstanceUID)
    (evidence,) = series.ReferencedSOPSequence
    (shown,) = [item.ReferencedSOPSequence[0] for item in items(report) if item.ValueType == "IMAGE"]
    for reference in (evidence, shown):
        assert (reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID) == expected
    assert (study.StudyInstanceUID, series.SeriesInstanceUID) == ("1.2.3", "1.2.3.4")


def test_a_report_says_class_probabilities_set_and_who_says_so(tmp_path):
    write_dicom_sr([(SAID, image(tmp_path))], tmp_path / "report.dcm", model=MODEL)
    report = pydicom.dcmread(tmp_path / "report.dcm")
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert report.ConceptNameCodeSequence[0].CodeMeaning == "Imaging Measurement Report"
    assert values(report, "121071") == ["nevus"]
    assert [values(report, f"probability-{index}") for index in range(3)] == [[0.7123456789], [0.2], [0.0876543211]]
    numbers = [item.MeasuredValueSequence[0] for item in items(report) if item.ValueType == "NUM"]
    assert [str(one.NumericValue) for one in numbers] == ["0.71234568", "0.20000000", "0.08765432"]
    assert values(report, "in-set") == ["nevus", "naevus, atypisch"] and values(report, "sure") == ["No"]
    assert values(report, "121015") == ["derm ept"] and values(report, "111003") == ["0.2.0"]
    assert values(report, "121016") == ["1f2e3d4c5b6a7988"]
    (device,) = values(report, "121012")
    write_dicom_sr([(SAID, image(tmp_path))], tmp_path / "again.dcm", model=MODEL)
    again = pydicom.dcmread(tmp_path / "again.dcm")
    assert values(again, "121012") == [device] and again.SOPInstanceUID != report.SOPInstanceUID
    write_dicom_sr([(SAID, image(tmp_path))], tmp_path / "other.dcm", model={**MODEL, "version": "0.3.0"})
    assert values(pydicom.dcmread(tmp_path / "other.dcm"), "121012") != [device]


def test_standard_codes_mean_what_they_are_said_to_mean(tmp_path):
    write_dicom_sr([(SAID, image(tmp_path))], tmp_path / "report.dcm", model=MODEL)
    report = pydicom.dcmread(tmp_path / "report.dcm")
    used = [report.ConceptNameCodeSequence[0]]
    for item in items(report):
        used += [item.ConceptNameCodeSequence[0], *(item.get("ConceptCodeSequence") or ())]
        used += [unit for one in item.get("MeasuredValueSequence") or () for unit in one.MeasurementUnitsCodeSequence]
    known = {
        (scheme, value): meaning
        for scheme in ("DCM", "SCT", "UCUM")
        for entry in _concepts_dict.concepts[scheme].values()
        for value, (meaning, _) in entry.items()
    }
    standard = {(one.CodingSchemeDesignator, one.CodeValue): one.CodeMeaning for one in used}
    private = {key for key in standard if key[0] == "99MONAI_EPT"}
    assert all(one.CodingSchemeVersion == "1f2e3d4c5b6a7988" for one in used if one.CodingSchemeDesignator[:2] == "99")
    assert (
        len(private) == 3 - 1 + 3 + 2
    )  # two of three classes are named, of all three a probability, the set, and sure
    others = standard.keys() - private - {("RFC5646", "en")}
    assert len(others) > 15
    for key in others:
        assert known[key].lower().startswith(standard[key].lower()) or standard[key] == "Imaging procedure", key


def test_of_several_labels_all_that_are_claimed_are_named(tmp_path):
    said = {
        **{"class": ["edema", "nodule"], "probability": [0.9, 0.6], "set": ["edema", "nodule"], "sure": False},
        **{"not_sure": ["nodule"], "probabilities": {"edema": 0.9, "nodule": 0.6, "fracture": 0.1}},
    }
    nothing = {"class": [], "probability": [], "probabilities": {"edema": 0.1, "nodule": 0.2, "fracture": 0.1}}
    write_dicom_sr([(said, image(tmp_path)), (nothing, image(tmp_path))], tmp_path / "report.dcm", model=MODEL)
    report = pydicom.dcmread(tmp_path / "report.dcm")
    assert values(report, "label") == ["edema", "nodule"] and values(report, "121071") == []
    assert values(report, "probability-0") == [0.9, 0.1] and values(report, "112039") == ["image 1", "image 2"]


def test_all_slices_of_a_volume_are_referred_to(tmp_path):
    slices = [image(tmp_path) for _ in range(3)]
    write_dicom_sr([(SAID, slices)], tmp_path / "report.dcm", model=MODEL)
    report = pydicom.dcmread(tmp_path / "report.dcm")
    (series,) = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    uids = [one.SOPInstanceUID for one in slices]
    assert [one.ReferencedSOPInstanceUID for one in series.ReferencedSOPSequence] == uids
    shown = [item.ReferencedSOPSequence[0] for item in items(report) if item.ValueType == "IMAGE"]
    assert [one.ReferencedSOPInstanceUID for one in shown] == uids


def test_names_that_dicom_would_not_take(tmp_path):
    long = "x" * 100
    said = {"class": long, "probability": 0.9, "probabilities": {long: 0.9, "a\\b  ŝ日本": 0.1}}
    model = {"name": "m" * 80, "version": "0.1.0", "fingerprint": "f" * 64}
    write_dicom_sr([(said, image(tmp_path))], tmp_path / "report.dcm", model=model)
    report = pydicom.dcmread(tmp_path / "report.dcm")
    assert values(report, "121071") == ["x" * 64] and values(report, "121015") == ["m" * 80]
    names = [item.ConceptNameCodeSequence[0].CodeMeaning for item in items(report) if item.ValueType == "NUM"]
    assert names[1] == "Probability of a/b ŝ日本" and report.ManufacturerModelName == "m" * 64


def test_what_cannot_be_referred_to_is_refused(tmp_path):
    source = image(tmp_path)
    del source.StudyInstanceUID
    with pytest.raises(ValueError, match="an image has no StudyInstanceUID, so that no report can refer to it"):
        write_dicom_sr([(SAID, source)], tmp_path / "report.dcm", model=MODEL)
    two = [(SAID, image(tmp_path)), (SAID, image(tmp_path, StudyInstanceUID=generate_uid()))]
    with pytest.raises(ValueError, match="the images are of several studies"):
        write_dicom_sr(two, tmp_path / "report.dcm", model=MODEL)
    with pytest.raises(ValueError, match="a report needs an image"):
        write_dicom_sr([], tmp_path / "report.dcm", model=MODEL)
    assert not (tmp_path / "report.dcm").exists()
