# SPDX-License-Identifier: Apache-2.0

"""Three small networks on one backbone: of several classes, of labels that may be true together, and of two classes."""

from __future__ import annotations

from pathlib import Path

from monai_ept import TunedViT
from monai_ept.metrics.conformal import PredictionSets
from monai_ept.tracking import BankTask
from monai_ept.tracking.bank_files import save_bank_files
from tests.tracking.scenes import trained

LABELS = ["edema", "nodule", "fracture", "effusion"]


def networks() -> dict[str, TunedViT]:
    """By task."""
    nets = {
        "derm": trained("test_vit", "ept", prompt_length=4, img_size=64),
        "chest": trained("test_vit", "lora", rank=2, img_size=64, names=LABELS),
        "colon": trained("test_vit", "ln", img_size=64, names=["polyp", "none"]),
    }
    nets["derm"].prediction_sets = PredictionSets(0.9, 0.6, groups=40, images=40, source="validation")
    return nets


def bank_tasks(nets: dict[str, TunedViT], folder: Path) -> dict[str, BankTask]:
    """The networks as a bank takes them; chest has a window of intensities, and its labels are a multi-label task."""
    tasks = {}
    for name, net in nets.items():
        net.save_delta(folder / f"{name}.safetensors")
        about = {"task": "multilabel", "transforms": {"intensity_range": (50, 150)}} if name == "chest" else {}
        tasks[name] = BankTask(folder / f"{name}.safetensors", **about)
    return tasks


def bank_folder(folder: Path) -> dict[str, TunedViT]:
    """Write the files of a bank into a folder, ``bank`` in it, and return the networks of its tasks."""
    nets = networks()
    (folder / "bank").mkdir()
    save_bank_files(folder / "bank", nets["derm"], bank_tasks(nets, folder))
    return nets
