# SPDX-License-Identifier: Apache-2.0

"""A finished training, for its evaluation and for predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_ept.runs.data_loading import load_data
from monai_ept.runs.build_network import make_network
from monai_ept.bundle.training import RECORD_FILE
from monai_ept.data import FewShotSplit, RecordSet
from monai_ept.model import TunedViT

__all__ = ["Training", "find_training"]


class Training:
    """
    The folder of a training, and how its network and its data are built again.

    Args:
        folder: the folder; None stands for "not trained yet".
        content: what ``training.json`` in it says.
    """

    def __init__(self, folder: Path | None, content: Mapping[str, Any]) -> None:
        self.folder = folder
        self.content = content

    @property
    def delta_path(self) -> Path | None:
        """The trained adapter."""
        return None if self.folder is None else self.folder / "delta.safetensors"

    @property
    def task(self) -> str:
        return self.content["task"]

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.content["class_names"])

    @property
    def transform_settings(self) -> dict[str, Any]:
        """Arguments of ``network_transforms`` that the network does not know."""
        return self.content["transforms"]

    def network(self, pretrained: Any = None) -> TunedViT:
        """
        The network, with the adapter in it if there is one.

        Args:
            pretrained: where the weights of the backbone are, if not where they were.

        Raises:
            DeltaError: when the backbone's weights are not those that the adapter was trained on.
        """
        settings = dict(self.content["network"])
        if pretrained is not None:
            settings["pretrained"] = pretrained
        net = make_network(self.class_names, **settings)
        if self.delta_path is not None:
            net.load_delta(self.delta_path)
        return net.eval()

    def data(self, dataset_dir: str | Path | None = None) -> RecordSet:
        """All records of the data that it was trained on, which may have moved to another folder."""
        settings = dict(self.content["data"])
        if dataset_dir is not None:
            settings["dataset_dir"] = str(dataset_dir)
        return load_data(**settings)

    def split(self, data: RecordSet) -> FewShotSplit:
        """Which of them trained it and which test it."""
        return FewShotSplit.load(self.checked().folder / "split.json", data)  # type: ignore[operator]

    def checked(self) -> Training:
        """
        This training, if there was one.

        Raises:
            FileNotFoundError: saying where it was looked for.
        """
        if self.folder is None:
            raise FileNotFoundError(self.content["missing"])
        return self


def find_training(run_dir: str | Path | None = None, *, runs: str | Path, untrained: Mapping[str, Any]) -> Training:
    """
    Find a training.

    Args:
        run_dir: its folder; without it the newest finished one in ``runs``.
        runs: folder of the bundle's trainings.
        untrained: what stands for it where nothing was trained yet: ``network`` (arguments of ``make_network``),
            ``class_names``, ``task`` and, if any, ``transforms``. The network then has an untrained head.

    Raises:
        FileNotFoundError: when ``run_dir`` is no folder of a training.
    """
    if run_dir is not None:
        folder = Path(run_dir)
        if not (folder / RECORD_FILE).is_file() or not (folder / "delta.safetensors").is_file():
            raise FileNotFoundError(
                f"{folder} is not the folder of a finished training: pass --run_dir with what train.yaml wrote."
            )
        return Training(folder, _read(folder / RECORD_FILE))
    found = [
        path.parent for path in Path(runs).glob(f"*/{RECORD_FILE}") if (path.parent / "delta.safetensors").is_file()
    ]
    if found:
        newest = max(found, key=lambda folder: ((folder / "delta.safetensors").stat().st_mtime, folder.name))
        return Training(newest, _read(newest / RECORD_FILE))
    missing = f"there is no finished training in {Path(runs).absolute()}: run train.yaml first, or pass --run_dir PATH."
    return Training(None, {"data": {}, "transforms": {}, **untrained, "missing": missing})


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != "monai_ept training 1":
            raise ValueError(f"its format is {content['format']!r}")
        return content
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} does not describe a training ({error}): pass --run_dir with another folder."
        ) from None
