# SPDX-License-Identifier: Apache-2.0

"""What a folder may hold, and how it is told."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

__all__ = ["ADAPTED_FILE", "KINDS", "LOCK", "Kind", "others_in", "what_is_in"]

ADAPTED_FILE = "adapted.safetensors"
"""What an adaptation to images without labels writes."""

LOCK = ".lock"
_ALWAYS = (LOCK, "*.partial", ".DS_Store")


@dataclass(frozen=True)
class Kind:
    """
    A kind of result.

    Args:
        name: what a sentence calls it.
        marks: where one of these files is, there is such a result; "a & b" needs both.
        own: patterns of the names that it consists of; what else lies in a folder is somebody's.
        option: what names its folder.
        overwrite: what replaces it.
        carried: what a new result takes over from the old one.
    """

    name: str
    marks: tuple[str, ...]
    own: tuple[str, ...] = ()
    option: str = ""
    overwrite: str = "--overwrite true"
    carried: tuple[str, ...] = ()


_TRAINING = (
    *("delta.safetensors", "last.pt", "best.pt", "training.json", "settings.json", "split.json", "history.json"),
    *("run.json", "tracking", "evaluation", "val", "analysis", "analysis.next", ".analysis.*", "adapted"),
    "report.html",
)
_PLACE = "--run_dir (out_dir of fit)"
_EVALUATION = (
    *("predictions.csv", "metrics.json", "metrics.csv", "per_class.csv", "confusion_matrix.csv"),
    *("confusion_matrix.png", "reliability.png", "images.png", "mistakes.png", "curves.csv", "curves.png"),
    "report.html",
)
KINDS = {
    "training": Kind(
        "a finished training", ("delta.safetensors", "training.json & evaluation/metrics.json"), _TRAINING, _PLACE
    ),
    "unfinished": Kind("a training that is not finished", ("last.pt",), _TRAINING, _PLACE),
    "evaluation": Kind("an evaluation", ("metrics.json",), _EVALUATION, "--output_dir"),
    "analysis": Kind(
        *("an analysis", ("analysis.json", "analysis.html"), ("*.csv", "*.png", "*.html", "*.json", "run")),
        *("--out", "--overwrite", ("run",)),
    ),
    "adaptation": Kind(
        *("an adaptation", (ADAPTED_FILE,), (ADAPTED_FILE, "adapting.pt")),
        *("--out (out_dir of adapt)", "--overwrite (overwrite=True in Python)"),
    ),
    "predictions": Kind("predictions", ("predictions.csv",), ("predictions.csv",), "--output_dir"),
    "export": Kind("an exported model", ("model.pt",), ("model.pt", "model.ts", "model.onnx"), "--export_dir"),
    "shipped": Kind(
        "a shipped bundle",
        ("models/model.pt & configs/inference.json", "models/model.ts & app/about.json"),
        ("configs", "models", "docs", "LICENSE", "README.md", "large_files.yml", "app", "tasks"),
        "--to",
        "--overwrite",
    ),
    "sweep": Kind("a sweep", ("sweep.yaml",)),
    "bundle": Kind("a bundle", ("configs/metadata.json",)),
}
"""What a folder may hold; the first that fits counts."""


def what_is_in(folder: Path) -> str | None:
    """The kind of result that a folder holds, a name in ``KINDS``; None if it holds none."""
    for name, kind in KINDS.items():
        if any(all((folder / file).is_file() for file in mark.split(" & ")) for mark in kind.marks):
            return name
    return None


def others_in(folder: Path, kind: Kind) -> list[str]:
    """Names in a folder that are none of such a result's."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [name for name in names if not any(fnmatch(name, one) for one in (*kind.own, *_ALWAYS))]
