# SPDX-License-Identifier: Apache-2.0
"""``python -m tools.pretrain``: from nothing to the weights of the embedded backbone."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from monai_ept.checks import check_whole
from monai_ept.files import remove_partials, usable_folder
from tools.pretrain.loop import save_weights
from tools.pretrain.pairs import pretrain_pairs
from tools.pretrain.pool import CHUNK, DESCRIBER_FILE, make_pool
from tools.pretrain.recipe import PairsRecipe, Recipe
from tools.pretrain.targets import Describer
from tools.pretrain.training import pretrain

__all__ = ["WEIGHTS_FILE", "run_pretraining"]

WEIGHTS_FILE = "embedded.safetensors"

FIRST_FILE = "first.safetensors"
"""Where the first part ends."""


def run_pretraining(
    out_dir: str | os.PathLike,
    recipe: Recipe,
    pairs: PairsRecipe,
    *,
    first: str | os.PathLike | None = None,
    workers: int | None = None,
    device: str | torch.device | None = None,
    chunk: int = CHUNK,
    say: Callable[[str], Any] = lambda line: print(line, file=sys.stderr, flush=True),
) -> Path:
    """
    Train both parts, as far as they are lacking, and write the weights.

    Args:
        out_dir: folder of pictures, checkpoints, histories, weights; the same again goes on where it was interrupted.
        recipe: the settings of the first part, which learns to describe pictures.
        pairs: the settings of the second part, which learns which views show the same thing.
        first: weights that another first part has ended with, instead of training one.
        workers: processes that draw, as many as there are cores by default.
        device: where to train; CUDA if there is a card, else CPU, by default.
        chunk: pictures in a file of the pool.
        say: is told how far it is.

    Raises:
        ValueError: when a setting is out of range, the folder holds a training with other settings, or ``first`` is no
            file.

    Returns:
        the file of the weights: half precision, timm's names, with the settings in its metadata.
    """
    workers = workers if workers is None else check_whole("workers", workers)
    if first is not None and not Path(first).is_file():
        raise ValueError(f"first is {os.fspath(first)!r}, and there is no such file: name weights, or leave it out.")
    folder = usable_folder(out_dir)
    remove_partials(folder, "*")
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    pool = folder / "pool"
    settings: dict[str, Any] = {"seed": recipe.seed, "size": recipe.img_size, "workers": workers, "chunk": chunk}
    about = {"made_by": "python -m tools.pretrain", "data": "pictures made by formulas", "license": "Apache-2.0"}
    clocks = {"drawn": _Clock(), "described": _Clock()}
    described = folder / FIRST_FILE if first is None else Path(first)
    # Of the pool, the second part needs only what describes a picture; one file is enough to have that fitted.
    pictures = recipe.pictures if not described.exists() else chunk
    for what, done, total in make_pool(pool, pictures, **settings):
        say(f"pictures  {done * chunk}/{total * chunk} {what}  {clocks[what](done, total)}")
    if not described.exists():
        clock = _Clock()
        network = pretrain(pool, recipe, folder, device=device, on_log=lambda entry: say(_line(entry, recipe, clock)))
        save_weights(network, described, {**about, "recipe": asdict(recipe)})
    clock = _Clock()
    network = pretrain_pairs(
        described,
        Describer(load_file(pool / DESCRIBER_FILE)),
        pairs,
        folder / "pairs",
        device=device,
        workers=workers or os.cpu_count() or 1,
        on_log=lambda entry: say(_line(entry, pairs, clock)),
    )
    with safe_open(described, "pt") as file:
        about["recipe"] = json.loads((file.metadata() or {}).get("about", "{}")).get("recipe")
    return save_weights(network, folder / WEIGHTS_FILE, {**about, "pairs": asdict(pairs)})


def _line(entry: dict[str, float], recipe: Recipe | PairsRecipe, clock: _Clock) -> str:
    step = int(entry["step"])
    numbers = (f"{name.replace('val_', 'validation ')} {value:.3f}" for name, value in entry.items() if name != "step")
    return f"step {step}/{recipe.steps}  {', '.join(numbers)}  {clock(step, recipe.steps)}"


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
