# SPDX-License-Identifier: Apache-2.0
"""``python -m tools.pretrain``: from nothing to the weights of the embedded backbone."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from monai_ept.checks import check_whole
from monai_ept.files import remove_partials, usable_folder
from tools.pretrain.pool import CHUNK, make_pool
from tools.pretrain.recipe import Recipe
from tools.pretrain.training import pretrain, save_weights

__all__ = ["WEIGHTS_FILE", "run_pretraining"]

WEIGHTS_FILE = "embedded.safetensors"


def run_pretraining(
    out_dir: str | os.PathLike,
    recipe: Recipe,
    *,
    workers: int | None = None,
    device: str | torch.device | None = None,
    chunk: int = CHUNK,
    say: Callable[[str], Any] = lambda line: print(line, file=sys.stderr, flush=True),
) -> Path:
    """
    Make the pictures that are lacking, train the steps that are lacking, and write the weights.

    Args:
        out_dir: folder of pictures, checkpoint, history and weights; the same again goes on where it was interrupted.
        recipe: the settings.
        workers: processes that make pictures, as many as there are cores by default.
        device: where to train; CUDA if there is a card, else CPU, by default.
        chunk: pictures in a file of the pool.
        say: is told how far it is.

    Raises:
        ValueError: when a setting is out of range, or the folder holds a training with other settings.

    Returns:
        the file of the weights: half precision, timm's names, with the settings in its metadata.
    """
    check_whole("workers", 1 if workers is None else workers)
    folder = usable_folder(out_dir)
    remove_partials(folder, "*")
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    settings: dict[str, Any] = {"seed": recipe.seed, "size": recipe.img_size, "workers": workers, "chunk": chunk}
    clocks = {"drawn": _Clock(), "described": _Clock()}
    for what, done, total in make_pool(folder / "pool", recipe.pictures, **settings):
        say(f"pictures  {done * chunk}/{total * chunk} {what}  {clocks[what](done, total)}")
    clock = _Clock()

    def tell(entry: dict[str, float]) -> None:
        step = int(entry["step"])
        say(
            f"step {step}/{recipe.steps}  loss {entry['described']:.3f} description, {entry['choices']:.3f} choices, "
            f"{entry['values']:.3f} values  validation {entry['val_described']:.1%} of the description, "
            f"{entry['val_choices']:.1%} of the choices  {clock(step, recipe.steps)}"
        )

    network = pretrain(folder / "pool", recipe, folder, device=device, on_log=tell)
    about = {
        "made_by": "python -m tools.pretrain",
        "data": "pictures made by formulas",
        "recipe": asdict(recipe),
        "license": "Apache-2.0",
    }
    return save_weights(network, folder / WEIGHTS_FILE, about)


class _Clock:
    """Time left, from what this process has seen; what an earlier one did has cost it nothing."""

    def __init__(self) -> None:
        self.first: tuple[int, float] | None = None

    def __call__(self, done: int, total: int) -> str:
        now = time.monotonic()
        if self.first is None:
            self.first = done, now
        before, began = self.first
        if done <= before or done >= total:
            return ""
        return f"left {timedelta(seconds=round((now - began) / (done - before) * (total - done)))}"
