# SPDX-License-Identifier: Apache-2.0

"""Whether a shipped bundle says what the training's evaluation says, in a process that cannot import this package."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from monai_ept.bundle.images_to_predict import predict_records
from monai_ept.data import RecordSet
from monai_ept.data.records import Record
from monai_ept.deploy.shipment import Expected, Shipment
from monai_ept.model import TunedViT
from monai_ept.reporting.csv_file import original_cell
from monai_ept.runs.fit_result import FitResult

__all__ = ["TOLERANCE", "Check", "expected_of", "process_without_us", "verify"]

TOLERANCE = 1e-5
_PROGRAM = Path(__file__).with_name("run_without_us.py")


def expected_of(training: FitResult, net: TunedViT, data: RecordSet, number: int | None) -> Expected:
    """
    Images of the training's evaluation with the probabilities that it wrote, spread evenly over its list.

    A training without an evaluation is checked against its network as it is here.

    Args:
        number: how many images; None for all.
    """
    split = training.split(data)
    found = _evaluated(training.folder / "evaluation" / "predictions.csv", training.class_names)
    tested = [record for record in split.test if record["id"] in found]
    records = tested or list(split.test or split.train)
    total = len(records)
    if number is not None and number < total:
        records = [records[index] for index in np.linspace(0, total - 1, number).round().astype(int)]
    if not tested:
        return Expected(records, _predicted(training, net, records), "its network, as there is no evaluation", total)
    said = np.array([found[record["id"]] for record in records])
    if net.temperature != 1:  # which was found before the evaluation, or after it
        later = _tempered(said, net.temperature, training.task)
        now = _predicted(training, net, records[:1])
        said = min((said, later), key=lambda one: float(np.abs(one[:1] - now).max()))
    return Expected(records, said, "the training's evaluation", total)


def _predicted(training: FitResult, net: TunedViT, records: Sequence[Record]) -> np.ndarray:
    return predict_records(training, net, records, batch_size=4).probabilities


def _evaluated(path: Path, class_names: Sequence[str]) -> dict[str, list[float]]:
    if not path.is_file():
        return {}
    with open(path, newline="", encoding="utf-8") as file:
        rows = [{original_cell(name): cell for name, cell in row.items()} for row in csv.DictReader(file)]
    return {original_cell(row["id"]): [float(row[f"probability_{name}"]) for name in class_names] for row in rows}


def _tempered(probabilities: np.ndarray, temperature: float, task: str) -> np.ndarray:
    """What they are at a temperature that the network was given later."""
    small = np.finfo(np.float64).tiny
    powers = np.maximum(probabilities, small) ** (1 / temperature)
    if task == "multilabel":
        return powers / (powers + np.maximum(1 - probabilities, small) ** (1 / temperature))
    return powers / powers.sum(axis=1, keepdims=True)


@contextmanager
def process_without_us() -> Iterator[subprocess.Popen]:
    """A process that cannot import this package; it begins to import MONAI, which takes seconds, and waits."""
    # Isolated, so that neither the working directory nor PYTHONPATH leads to us.
    command = [sys.executable, "-I", "-W", "ignore", str(_PROGRAM)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


class Check(NamedTuple):
    """A bundle that is complete, what it is to say, and in which formats."""

    folder: Path
    expected: Expected
    formats: Sequence[str]
    multilabel: bool
    task: str = ""

    @classmethod
    def of(cls, shipment: Shipment) -> Check:
        """That of a shipment."""
        task = f"{shipment.folder.name}: " if shipment.member else ""
        return cls(shipment.folder, shipment.expected, shipment.formats, shipment.multilabel, task)


def verify(checks: Sequence[Check], process: subprocess.Popen) -> list[dict[str, float]]:
    """
    Let each format of each bundle predict its images in a process that cannot import this package.

    Raises:
        ValueError: when the files do not run, or differ.

    Returns:
        for each bundle the largest difference of a probability, by format.
    """
    with tempfile.TemporaryDirectory() as place:
        outs = [Path(place) / str(number) for number in range(len(checks))]
        asked = []
        for check, out in zip(checks, outs, strict=True):
            out.mkdir()
            images = [_as_file(one["image"], out / f"{index}.npy") for index, one in enumerate(check.expected.records)]
            about = {"bundle": str(check.folder), "images": images, "formats": list(check.formats)}
            asked.append({**about, "sigmoid": check.multilabel, "out": str(out)})
        _, said = process.communicate(json.dumps(asked))
        if process.returncode:
            last = (said.strip().splitlines() or ["nothing was said"])[-1]
            raise ValueError(f"the shipped files do not run without monai_ept, and nothing was shipped: {last}")
        return [_differences(check, out) for check, out in zip(checks, outs, strict=True)]


def _differences(check: Check, out: Path) -> dict[str, float]:
    expected, differences = check.expected, {}
    for name in check.formats:
        with open(out / name / "predictions.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))[1:]
        answer = np.array([[float(cell) for cell in row[1:]] for row in rows])
        differences[name] = float(np.abs(answer - expected.probabilities).max())
    worst = max(differences, key=lambda name: differences[name])
    if not differences[worst] <= TOLERANCE:
        raise ValueError(
            f"{check.task}model.{worst} differs from {expected.source} by up to {differences[worst]:.2g} in a "
            f"probability, where {TOLERANCE:g} is allowed, and nothing was shipped: if the training ran on another "
            "machine or with other weights, evaluate it here and ship what that says."
        )
    return differences


def _as_file(image: Any, path: Path) -> str:
    """The path of an image; what is no file is written as one."""
    if isinstance(image, (str, Path)):
        return str(Path(image).expanduser().absolute())
    np.save(path, np.ascontiguousarray(image))
    return str(path)
