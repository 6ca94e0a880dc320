# SPDX-License-Identifier: Apache-2.0

"""
DICOM images in, DICOM structured reports out, by the bundle that this file was shipped in.

    python app/dicom_app.py --input FOLDER_OF_DICOM --output FOLDER

It needs PyTorch, MONAI and pydicom: neither monai_ept nor MONAI Deploy. Each series gets one report, of a bank one for
each task; what cannot be read is said, and makes the exit status 1, when all else is done.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_ept.deploy.dicom_sr import write_dicom_sr
from monai_ept.metrics.image_answer import answer

__all__ = ["Bank", "Bundle", "as_one_path", "find_series", "main", "open_bundle", "report"]

SUFFIXES = (".dcm", ".dicom", ".ima")


class Bundle:
    """A shipped bundle: its preprocessing, its network, and what it says of itself.

    Args:
        root: its folder.
        about: what it says of itself, which its application has in a file.
        network: its network, if it is there already.
    """

    def __init__(self, root: Path, about: Mapping[str, Any], network: Any = None) -> None:
        from monai.bundle import ConfigParser

        self.about = about
        self.models = {"": about}
        parser = ConfigParser()
        parser.read_config(root / "configs" / "inference.json")
        parser["bundle_root"] = str(root)
        self.written = json.dumps(parser["preprocessing"])
        self.preprocessing, self.inferer, self.postprocessing, self.device, self.class_names = (
            parser.get_parsed_content(name)
            for name in ("preprocessing", "inferer", "postprocessing", "device", "class_names")
        )
        self.network = (parser.get_parsed_content("network") if network is None else network).eval()

    def answers(self, path: str) -> dict[str, dict[str, Any]]:
        """What it says of an image, or of the folder of a volume's slices; its one task has no name."""
        return {"": self.in_words(self.logits(self.image(path)))}

    def image(self, path: str) -> Any:
        """What the network takes of an image, as a batch of one."""
        return self.preprocessing({"image": path})["image"][None].as_tensor().to(self.device)

    def logits(self, image: Any) -> Any:
        """What the network says of it."""
        import torch

        with torch.inference_mode():
            return self.inferer(image, self.network)[0]

    def in_words(self, logits: Any) -> dict[str, Any]:
        """What logits mean."""
        said = self.postprocessing({"pred": logits.cpu()})["probabilities"]
        return answer(said, self.about["task"], self.about["prediction_sets"])


class Bank:
    """A shipped bank: a bundle for each of its tasks, whose networks are in one file.

    Args:
        root: its folder.
        about: what it says of itself, and of each task.
        tasks: those that are wanted; all by default.

    Raises:
        ValueError: when it has no such task.
    """

    def __init__(self, root: Path, about: Mapping[str, Any], tasks: Sequence[str] = ()) -> None:
        import torch

        unknown = [name for name in tasks if name not in about["tasks"]]
        if unknown:
            raise ValueError(f"{about['name']} has no task {unknown[0]!r}: there is {', '.join(about['tasks'])}")
        self.about = about
        self.models = {name: about["tasks"][name] for name in dict.fromkeys(tasks or about["tasks"])}
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.network = torch.jit.load(str(root / "models" / "model.ts"), map_location=device).eval()
        self.bundles = {
            name: Bundle(root / "tasks" / name, model, getattr(self.network.tasks, model["member"]))
            for name, model in self.models.items()
        }

    def answers(self, path: str) -> dict[str, dict[str, Any]]:
        """What each task says of an image; what is prepared alike goes through the backbone in one batch."""
        alike: dict[str, dict[str, Bundle]] = {}
        for name, bundle in self.bundles.items():
            alike.setdefault(bundle.written, {})[name] = bundle
        said = {}
        for bundles in alike.values():
            image = next(iter(bundles.values())).image(path)
            logits = self._mixed(image, [name for name in bundles if self.models[name]["number"] is not None])
            for name, bundle in bundles.items():
                found = logits[name][: len(bundle.class_names)] if name in logits else bundle.logits(image)
                said[name] = bundle.in_words(found)
        return {name: said[name] for name in self.models}

    def _mixed(self, image: Any, names: Sequence[str]) -> dict[str, Any]:
        """Logits of the tasks that can go together; where a task has fewer classes, they are filled up."""
        import torch

        if not names:
            return {}
        with torch.inference_mode():
            which = torch.tensor([self.models[name]["number"] for name in names], device=image.device)
            return dict(zip(names, self.network(image, which)[0], strict=True))


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
    Write the report of a series, or one of each task: on each image, or on the volume that its slices are.

    Args:
        bundle: has ``answers``, of a path, ``about``, and ``models``, what a report says of each task's model.
        headers: of the images of the series.
        output: folder of reports.

    Returns:
        what was said, and what is wrong.
    """
    findings: dict[str, list[Any]] = {name: [] for name in bundle.models}
    problems, lines = [], []
    volume = bundle.about["spatial_dims"] == 3
    for sources in [list(headers)] if volume else [[one] for one in headers]:
        with tempfile.TemporaryDirectory() as place:
            try:
                _check_kind(sources[0], volume)
                answers = bundle.answers(as_one_path(sources, place))
            except Exception as error:  # whatever a reader makes of a broken file
                problems.append(f"{sources[0].filename}: cannot be predicted ({_said(error)})")
                continue
        for name, found in answers.items():
            findings[name].append((found, sources))
            what = found["class"] if isinstance(found["class"], str) else ", ".join(found["class"]) or "no label"
            beside = "" if found.get("sure", True) else f", not sure: {', '.join(found['set'])}"
            task = f"{name}: " if name else ""
            lines.append(f"  {sources[0].filename}: {task}{what} {_digits(found['probability'])}{beside}")
    for name, pairs in findings.items():
        if not pairs:
            continue
        try:
            output.mkdir(parents=True, exist_ok=True)
            path = output / "report.dcm.partial"
            uid = write_dicom_sr(pairs, path, model=bundle.models[name])
            path = path.replace(output / f"{uid}.dcm")
            lines.append(f"report {path}{f' of {name}' if name else ''}")
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
    parser.add_argument("--tasks", nargs="+", default=[], help="of a bank: which of its tasks (all), a report for each")
    args = parser.parse_args(arguments)
    series, problems = find_series(args.input) if args.input.is_dir() else ({}, [])
    if not series:
        problems.append(f"{args.input}: there is no folder with DICOM images, so that there is nothing to report on")
    bundle = None
    if series:
        try:
            bundle = open_bundle(Path(__file__).resolve().parents[1], args.tasks)
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
    for headers in series.values():
        said, wrong = report(bundle, headers, args.output)
        problems += wrong
        print(said, flush=True)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def open_bundle(root: Path, tasks: Sequence[str] = ()) -> Any:
    """
    What is shipped in a folder.

    Args:
        root: the folder.
        tasks: of a bank, those that are wanted; all by default.

    Raises:
        ValueError: when there are no such tasks.
    """
    about = json.loads((root / "app" / "about.json").read_text(encoding="utf-8"))
    if "tasks" in about:
        return Bank(root, about, tasks)
    if tasks:
        raise ValueError(f"{about['name']} is no bank, and answers one question: leave --tasks out")
    return Bundle(root, about)


if __name__ == "__main__":
    sys.exit(main())
