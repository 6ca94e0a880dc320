# SPDX-License-Identifier: Apache-2.0

"""NIfTI volumes, in class folders or listed in a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai_ept.data.read_image import NIFTI_SUFFIXES
from monai_ept.data.records import RecordSet
from monai_ept.data.sources.csv_file import csv_file
from monai_ept.data.sources.folder import folder

__all__ = ["nifti"]


def nifti(
    dataset_dir: str | Path, csv: str | Path | None = None, *, spatial_dims: int = 3, **options: Any
) -> RecordSet:
    """Read NIfTI volumes (.nii, .nii.gz); MONAI reads them through nibabel.

    Args:
        dataset_dir: the data folder.
        csv: a table, see :py:func:`csv_file`; None: class folders, see :py:func:`folder`.
        spatial_dims: 3, or 2 for single slices.
        options: passed on to :py:func:`csv_file` or :py:func:`folder`.

    Returns:
        the validated records.
    """
    if csv is not None:
        return csv_file(dataset_dir, csv, spatial_dims=spatial_dims, **options)
    return folder(dataset_dir, suffixes=NIFTI_SUFFIXES, spatial_dims=spatial_dims, **options)
