# SPDX-License-Identifier: Apache-2.0

"""
DICOM images in, DICOM structured reports out, by the bundle that this file was shipped in.

    python app/dicom_app.py --input FOLDER_OF_DICOM --output FOLDER

It needs PyTorch, MONAI and pydicom: neither monai_ept nor MONAI Deploy. Each series gets one report; what cannot be
read is said, and makes the exit status 1, when all else is done.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai_ept.deploy.dicom_sr import write_dicom_sr
from monai_ept.metrics.image_answer import answer

__all__ = ["Bundle", "as_one_path", "find_series", "main", "report"]

SUFFIXES = (".dcm", ".dicom", ".ima")


class Bundle:
    """A shipped bundle: its preprocessing, its network, and what it says of itself.

    Args:
        root: its folder.
    """

    def __init__(self, root: Path) -> None:
        from monai.bundle import ConfigParser

        self.about = json.loads((root / "app" / "about.json").read_text(encoding="utf-8"))
        parser = ConfigParser()
        parser.read_config(root / "configs" / "inference.json")
        parser["bundle_root"] = str(root)
        self.preprocessing, self.inferer, self.postprocessing, self.network = (
            parser.get_parsed_content(name) for name in ("preprocessing", "inferer", "postprocessing", "network")
        )
        self.device = parser.get_parsed_content("device")
        self.network.eval()

    def answer(self, path: str) -> dict[str, Any]:
        """What it says of an image, or of the folder of a volume's slices."""
        import torch

        image = self.preprocessing({"image": path})["image"]
        with torch.inference_mode():
            logits = self.inferer(image[None].as_tensor().to(self.device), self.network)
        said = self.postprocessing({"pred": logits[0].cpu()})["probabilities"]
        return answer(said, self.about["task"], self.about["prediction_sets"])


def find_series(folder: Path) -> tuple[dict[str, list[Any]], list[str]]:
    """
    The headers of the images in a folder and all folders in it, by series, and what is wrong with others.

    What is neither named nor marked as DICOM is passed over, and so are documents, which have no pixels.
    """
    import pydicom

    series: dict[str, list[Any]] = {}
    problems = []
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        with open(path, "rb") as file:
            marked = file.read(132)[128:] == b"DICM"
        if not marked and not path.name.lower().endswith(SUFFIXES):
            continue
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
            if "Rows" in header:
                series.setdefault(str(header.SeriesInstanceUID), []).append(header)
        except Exception as error:  # whatever pydicom makes of a broken file
            problems.append(f"{path}: cannot be read ({_said(error)})")
    return series, problems


def as_one_path(headers: Sequence[Any], place: str) -> str:
    """The one file of an image, or a folder with no other files in it than those of a series."""
    paths = [os.path.abspath(header.filename) for header in headers]
    if len(paths) == 1:
        return paths[0]
    for index, path in enumerate(paths):
        os.symlink(path, os.path.join(place, f"{index}.dcm"))
    return place


def report(bundle: Any, headers: Sequence[Any], output: Path) -> tuple[str, list[str]]:
    """
    Write the report of a series: of each image, or of the volume that its slices are.

    Args:
        bundle: has ``answer``, of a path, and ``about``.
        headers: of the images of the series.
        output: folder of reports.

    Returns:
        what was said, and what is wrong.
    """
    findings, problems, lines = [], [], []
    volume = bundle.about["spatial_dims"] == 3
    for sources in [list(headers)] if volume else [[one] for one in headers]:
        with tempfile.TemporaryDirectory() as place:
            try:
                _check_kind(sources[0], volume)
                found = bundle.answer(as_one_path(sources, place))
            except Exception as error:  # whatever a reader makes of a broken file
                problems.append(f"{sources[0].filename}: cannot be predicted ({_said(error)})")
                continue
        findings.append((found, sources))
        what = found["class"] if isinstance(found["class"], str) else ", ".join(found["class"]) or "no label"
        beside = "" if found.get("sure", True) else f", not sure: {', '.join(found['set'])}"
        lines.append(f"  {sources[0].filename}: {what} {_digits(found['probability'])}{beside}")
    if findings:
        try:
            output.mkdir(parents=True, exist_ok=True)
            path = output / "report.dcm.partial"
            uid = write_dicom_sr(findings, path, model=bundle.about)
            path = path.replace(output / f"{uid}.dcm")
            lines.append(f"report {path}")
        except (OSError, ValueError) as error:
            problems.append(f"{headers[0].filename}: no report can be written ({_said(error)})")
    return "\n".join(lines), problems


def _check_kind(header: Any, volume: bool) -> None:
    """Refuse what MONAI's reader would take for something else."""
    if header.get("PhotometricInterpretation") == "PALETTE COLOR":
        raise ValueError("its pixels are numbers of a palette: convert it to RGB first")
    if not volume and int(header.get("NumberOfFrames") or 1) > 1:
        raise ValueError(f"it holds {header.NumberOfFrames} frames, and an image is one")


def _digits(value: Any) -> str:
    return " ".join(f"{one:.5f}" for one in (value if isinstance(value, list) else [value]))


def _said(error: BaseException) -> str:
    while error.__cause__ is not None:  # MONAI names the transform, its cause says what is wrong
        error = error.__cause__
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def main(arguments: Sequence[str] | None = None) -> int:
    """Report on all series of a folder, and return the exit status."""
    parser = argparse.ArgumentParser(description="DICOM images in, DICOM structured reports out. For research.")
    parser.add_argument("--input", type=Path, required=True, help="folder of DICOM files")
    parser.add_argument("--output", type=Path, required=True, help="folder of the reports, one for each series")
    args = parser.parse_args(arguments)
    series, problems = find_series(args.input) if args.input.is_dir() else ({}, [])
    if not series:
        problems.append(f"{args.input}: there is no folder with DICOM images, so that there is nothing to report on")
    bundle = Bundle(Path(__file__).resolve().parents[1]) if series else None
    for headers in series.values():
        said, wrong = report(bundle, headers, args.output)
        problems += wrong
        print(said, flush=True)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
