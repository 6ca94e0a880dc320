# SPDX-License-Identifier: Apache-2.0

"""
What a network says of images as a DICOM structured report: a Measurement Report, template 1500, as a Comprehensive SR.

A file of its own, which a shipped application takes along; it needs pydicom and nothing else. Its concepts are those of
DICOM, SNOMED CT and UCUM, but for the classes, which nobody has coded: these have codes of a private scheme, whose
version is the fingerprint of the model.
"""

from __future__ import annotations

import datetime
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["SCHEME", "write_dicom_sr"]

SCHEME = "99MONAI_EPT"
"""Designator of the coding scheme of the classes."""
CAUTION = "Output of a model for research, not validated for diagnosis."

COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"
# Of the modules Patient and General Study: what must be there, if empty; and what is copied where it is there.
REQUIRED = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"),
    *("StudyID", "AccessionNumber", "ReferringPhysicianName"),
)
OPTIONAL = (
    *("StudyInstanceUID", "StudyDescription", "PatientAge", "IssuerOfPatientID", "IssuerOfAccessionNumberSequence"),
    *("PatientIdentityRemoved", "DeidentificationMethod"),
)


def write_dicom_sr(
    findings: Iterable[tuple[Mapping[str, Any], Any]], path: str | os.PathLike, *, model: Mapping[str, Any]
) -> str:
    """
    Write what a network says of the images of one study.

    Args:
        findings: for each image what is said, see ``monai_ept.metrics.image_answer.answer``, and the data set of the
            image, or those of the slices of a volume; their pixels are not needed.
        path: of the report.
        model: "name", "version" and "fingerprint" of the network, which the report's observer is.

    Raises:
        ValueError: when the images cannot be referred to, or are of several studies.

    Returns:
        the SOP Instance UID of the report.

    Example::

        said = {"class": "nevus", "probability": 0.8, "probabilities": {"nevus": 0.8, "melanoma": 0.2}}
        model = {"name": "derm", "version": "0.1.0", "fingerprint": "1f2e3d4c"}
        write_dicom_sr([(said, pydicom.dcmread("image.dcm"))], "report.dcm", model=model)
    """
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

    pairs = [(said, [sources] if isinstance(sources, Dataset) else list(sources)) for said, sources in findings]
    images = [one for _, sources in pairs for one in sources]
    _check(images)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(COMPREHENSIVE_SR)
    meta.MediaStorageSOPInstanceUID = generate_uid(prefix=None)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    report = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    report.SpecificCharacterSet = "ISO_IR 192"
    report.SOPClassUID, report.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    _copy(images[0], report)
    _describe(report, model)
    report.CurrentRequestedProcedureEvidenceSequence = _evidence(images)
    report.update(_tree(pairs, images[0], model))
    report.save_as(path, enforce_file_format=True)
    return str(report.SOPInstanceUID)


def _check(images: Sequence[Any]) -> None:
    if not images:
        raise ValueError("a report needs an image that it can refer to.")
    for image in images:
        missing = [
            name
            for name in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
            if not image.get(name)
        ]
        if missing:
            raise ValueError(f"an image has no {missing[0]}, so that no report can refer to it.")
    if len({image.StudyInstanceUID for image in images}) > 1:
        raise ValueError("the images are of several studies, and a report is of one.")


def _copy(image: Any, report: Any) -> None:
    for name in (*REQUIRED, *OPTIONAL):
        if name in image:
            report[name] = image[name]
        elif name in REQUIRED:
            setattr(report, name, "")


def _describe(report: Any, model: Mapping[str, Any]) -> None:
    """The modules of series, equipment and document."""
    from pydicom.uid import generate_uid

    now = datetime.datetime.now().astimezone()
    report.Modality = "SR"
    report.SeriesInstanceUID = generate_uid(prefix=None)
    report.SeriesNumber, report.InstanceNumber = 1, 1
    report.SeriesDescription = _text(f"Research, not for diagnosis: {model['name']}")
    report.Manufacturer = "monai_ept"
    report.ManufacturerModelName = _text(model["name"])
    report.DeviceSerialNumber = _text(model["fingerprint"])
    report.SoftwareVersions = _text(model["version"])
    report.ContentDate = report.InstanceCreationDate = report.SeriesDate = now.strftime("%Y%m%d")
    report.ContentTime = report.InstanceCreationTime = report.SeriesTime = now.strftime("%H%M%S")
    report.TimezoneOffsetFromUTC = now.strftime("%z")
    report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag = "COMPLETE", "UNVERIFIED", "PRELIMINARY"
    report.ReferencedPerformedProcedureStepSequence = []
    report.PerformedProcedureCodeSequence = []
    scheme = _dataset(CodingSchemeDesignator=SCHEME, CodingSchemeName="Classes of a model of monai_ept")
    scheme.CodingSchemeVersion = _text(model["fingerprint"], 16)
    report.CodingSchemeIdentificationSequence = [scheme]


def _evidence(images: Sequence[Any]) -> list[Any]:
    series: dict[str, list[Any]] = {}
    for image in images:
        series.setdefault(str(image.SeriesInstanceUID), []).append(_reference(image))
    rows = [_dataset(SeriesInstanceUID=uid, ReferencedSOPSequence=references) for uid, references in series.items()]
    return [_dataset(StudyInstanceUID=images[0].StudyInstanceUID, ReferencedSeriesSequence=rows)]


def _reference(image: Any) -> Any:
    return _dataset(ReferencedSOPClassUID=image.SOPClassUID, ReferencedSOPInstanceUID=image.SOPInstanceUID)


def _tree(pairs: Sequence[tuple[Mapping[str, Any], list[Any]]], first: Any, model: Mapping[str, Any]) -> Any:
    version = _text(model["fingerprint"], 16)
    # The same for every report of the model.
    device = (
        f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, ' '.join((model['name'], model['version'], model['fingerprint']))).int}"
    )
    about = "HAS OBS CONTEXT"
    content = [
        _code(
            "HAS CONCEPT MOD",
            _dcm("121049", "Language of Content Item and Descendants"),
            _coded("en", "RFC5646", "English"),
        ),
        _code(about, _dcm("121005", "Observer Type"), _dcm("121007", "Device")),
        _item(about, "UIDREF", _dcm("121012", "Device Observer UID"), UID=device),
        _item(about, "TEXT", _dcm("121013", "Device Observer Name"), TextValue=f"{model['name']} {model['version']}"),
        _item(about, "TEXT", _dcm("121014", "Device Observer Manufacturer"), TextValue="monai_ept"),
        _item(about, "TEXT", _dcm("121015", "Device Observer Model Name"), TextValue=model["name"]),
        _item(about, "TEXT", _dcm("121016", "Device Observer Serial Number"), TextValue=model["fingerprint"]),
    ]
    procedures = list(first.get("ProcedureCodeSequence") or []) or [_coded("363679005", "SCT", "Imaging procedure")]
    content += [_code("HAS CONCEPT MOD", _dcm("121058", "Procedure reported"), one) for one in procedures]
    groups = [_group(number, said, sources, model, version) for number, (said, sources) in enumerate(pairs, start=1)]
    content.append(_container("CONTAINS", _dcm("126010", "Imaging Measurements"), groups))
    root = _container(None, _dcm("126000", "Imaging Measurement Report"), content, template="1500")
    return root


def _group(number: int, said: Mapping[str, Any], sources: Sequence[Any], model: Mapping[str, Any], version: str) -> Any:
    """What is said of one image: measurement group, template 1501."""
    from pydicom.uid import generate_uid

    codes = {name: _coded(f"class-{index}", SCHEME, name, version) for index, name in enumerate(said["probabilities"])}

    def ours(value: str, meaning: str) -> Any:
        return _coded(value, SCHEME, meaning, version)

    chosen = said["class"]
    items = [
        _item("HAS OBS CONTEXT", "TEXT", _dcm("112039", "Tracking Identifier"), TextValue=f"image {number}"),
        _item("HAS OBS CONTEXT", "UIDREF", _dcm("112040", "Tracking Unique Identifier"), UID=generate_uid(prefix=None)),
        *([_code("CONTAINS", _dcm("121071", "Finding"), codes[chosen])] if isinstance(chosen, str) else []),
        _item("HAS CONCEPT MOD", "TEXT", _dcm("111001", "Algorithm Name"), TextValue=model["name"]),
        _item("HAS CONCEPT MOD", "TEXT", _dcm("111003", "Algorithm Version"), TextValue=model["version"]),
        *(
            _item("CONTAINS", "IMAGE", _coded("260753009", "SCT", "Source"), ReferencedSOPSequence=[_reference(one)])
            for one in sources
        ),
    ]
    for index, (name, value) in enumerate(said["probabilities"].items()):
        items.append(_number(ours(f"probability-{index}", f"Probability of {name}"), value))
    if not isinstance(chosen, str):
        items += [
            _code("CONTAINS", ours("label", "Label from a probability of 0.5 on"), codes[name]) for name in chosen
        ]
    if "set" in said:
        items += [_code("CONTAINS", ours("in-set", "In the prediction set"), codes[name]) for name in said["set"]]
        answer = ("373066001", "Yes") if said["sure"] else ("373067005", "No")
        items.append(_code("CONTAINS", ours("sure", "Sure"), _coded(answer[0], "SCT", answer[1])))
    items.append(_item("CONTAINS", "TEXT", _dcm("121106", "Comment"), TextValue=CAUTION))
    return _container("CONTAINS", _dcm("125007", "Measurement Group"), items, template="1501")


def _dataset(**values: Any) -> Any:
    from pydicom.dataset import Dataset

    made = Dataset()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def _text(value: str, most: int = 64) -> str:
    """A text that DICOM takes: so many characters, and no backslash, which would begin another value."""
    return " ".join(str(value).replace("\\", "/").split())[:most]


def _coded(value: str, scheme: str, meaning: str, version: str | None = None) -> Any:
    code = _dataset(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=_text(meaning))
    if version is not None:
        code.CodingSchemeVersion = version
    return code


def _dcm(value: str, meaning: str) -> Any:
    return _coded(value, "DCM", meaning)


def _item(relation: str | None, kind: str, name: Any, **values: Any) -> Any:
    item = _dataset(ValueType=kind, ConceptNameCodeSequence=[name], **values)
    if relation is not None:
        item.RelationshipType = relation
    return item


def _code(relation: str, name: Any, value: Any) -> Any:
    return _item(relation, "CODE", name, ConceptCodeSequence=[value])


def _number(name: Any, value: float) -> Any:
    unit = _coded("1", "UCUM", "no units")
    # Eight digits for those who read text, all of them for those who compute.
    measured = _dataset(
        NumericValue=f"{value:.8f}", FloatingPointValue=float(value), MeasurementUnitsCodeSequence=[unit]
    )
    return _item("CONTAINS", "NUM", name, MeasuredValueSequence=[measured])


def _container(relation: str | None, name: Any, content: Sequence[Any], template: str = "") -> Any:
    item = _item(relation, "CONTAINER", name, ContinuityOfContent="SEPARATE", ContentSequence=list(content))
    if template:
        item.ContentTemplateSequence = [_dataset(MappingResource="DCMR", TemplateIdentifier=template)]
    return item
