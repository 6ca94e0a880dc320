# SPDX-License-Identifier: Apache-2.0

"""Real DICOM files, small enough to write in a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_dicom(
    path: Path, pixels: np.ndarray, patient: str = "", interpretation: str = "MONOCHROME2", slice_number: int = 1
) -> Path:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    file.PatientID, file.PhotometricInterpretation = patient, interpretation
    file.Rows, file.Columns = pixels.shape[:2]
    file.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    if pixels.ndim == 3:
        file.PlanarConfiguration = 0
    file.BitsAllocated = file.BitsStored = 8 * pixels.itemsize
    file.HighBit, file.PixelRepresentation = file.BitsStored - 1, 0
    file.InstanceNumber = slice_number
    file.PixelSpacing = [1.0, 1.0]
    file.ImagePositionPatient = [0.0, 0.0, float(slice_number)]
    file.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    file.PixelData = pixels.tobytes()
    file.save_as(path, enforce_file_format=True)
    return path
