# SPDX-License-Identifier: Apache-2.0
"""Steps of a training that may be interrupted: learning rate, checkpoints, history, weights."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from safetensors.torch import save
from torch import nn

from monai_ept.files import usable_folder, write_whole

__all__ = ["half_cosine", "plateau", "run_steps", "save_weights"]

Tensors = dict[str, torch.Tensor]


def run_steps(
    teller: Any,
    recipe: Any,
    update: Callable[[Tensors, int], Tensors],
    batches: Callable[[int], Iterable[Tensors]],
    validate: Callable[[], dict[str, float]],
    schedule: Callable[[int, int], float],
    out_dir: str | os.PathLike,
    *,
    save_every: int = 200,
    on_log: Callable[[dict[str, float]], None] | None = None,
    stop_after: int | None = None,
) -> None:
    """
    Train, or go on with a training that was interrupted, which then ends as one that was not.

    A training whose learning rate stays level for long can be made longer, also when it has ended: it goes on where the
    rate began to fall.

    Args:
        teller: the network, as ``teller.network``, with its heads.
        recipe: the settings, a dataclass with seed, steps, lr and weight_decay.
        update: from a batch, on the network's device, and the step to the losses, which are added up.
        batches: gives the batches from a step on.
        validate: measures how good the network is.
        schedule: from a step and the number of steps to the share of the highest learning rate.
        out_dir: for the checkpoint, the history, and the weights at each checkpoint.
        save_every: steps between checkpoints.
        on_log: is told the state of the training at each checkpoint.
        stop_after: stop after this step; to be gone on with.

    Raises:
        ValueError: when the folder holds a training with other settings.
    """
    folder = usable_folder(out_dir)
    device = next(teller.parameters()).device
    decayed = [parameter for parameter in teller.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in teller.parameters() if parameter.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=recipe.lr,
        betas=(0.9, 0.98),
    )
    path, plateau_path = folder / "checkpoint.pt", folder / "plateau.pt"
    step, history = 0, []
    there = [torch.load(file, map_location=device, weights_only=True) for file in (path, plateau_path) if file.exists()]
    if there:
        state = next((state for state in there if _began_alike(state, recipe, schedule)), None)
        if state is None:
            raise ValueError(f"{path} belongs to a training with other settings: use another folder.")
        teller.load_state_dict(state["teller"])
        optimizer.load_state_dict(state["optimizer"])
        step, history = state["step"], state["history"]

    def one_step(engine: Any, batch: Tensors) -> dict[str, float]:
        at = step + engine.state.iteration - 1
        torch.manual_seed(_mixed(recipe.seed, at))
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * schedule(at, recipe.steps)
        parts = update({name: values.to(device) for name, values in batch.items()}, at)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(parts.values())).sum().backward()
        nn.utils.clip_grad_norm_(teller.parameters(), 1.0)
        optimizer.step()
        return {name: float(loss.detach()) for name, loss in parts.items()}

    trainer = Engine(one_step)
    last = min(recipe.steps, stop_after or recipe.steps)
    recent: list[dict[str, float]] = []

    @trainer.on(Events.ITERATION_COMPLETED)
    def _remember(engine: Any) -> None:
        recent.append(engine.state.output)
        done = step + engine.state.iteration
        if done % save_every and done != last:
            return
        entry = {name: sum(one[name] for one in recent) / len(recent) for name in recent[0]}
        entry = {"step": done, **entry, **validate()}
        recent.clear()
        history.append(entry)
        state = {
            "teller": teller.state_dict(),
            "optimizer": optimizer.state_dict(),
            "step": done,
            "history": history,
            "recipe": asdict(recipe),
        }
        content = io.BytesIO()
        torch.save(state, content)
        write_whole(path, content.getvalue())
        if done > 1 and schedule(done - 2, recipe.steps) == schedule(done - 1, recipe.steps):
            write_whole(plateau_path, content.getvalue())
        save_weights(teller.network, folder / f"step-{done:05d}.safetensors")
        write_whole(folder / "history.json", json.dumps(history, indent=1) + "\n")
        if on_log is not None:
            on_log(entry)

    if step < last:
        trainer.run(batches(step), max_epochs=1, epoch_length=last - step)


def save_weights(network: nn.Module, path: Path, about: dict[str, Any] | None = None) -> Path:
    """Write weights in half precision, under timm's names, with what is to be known about them."""
    weights = {name: tensor.half().cpu().contiguous() for name, tensor in network.state_dict().items()}
    # One entry, since safetensors writes several in any order: the same weights are the same bytes.
    return write_whole(path, save(weights, {"about": json.dumps(about or {})}))


def _began_alike(state: dict[str, Any], recipe: Any, schedule: Callable[[int, int], float]) -> bool:
    """Whether a training with this recipe would have been in this state too; it may have another number of steps."""
    before, now = state["recipe"]["steps"], recipe.steps
    return {**state["recipe"], "steps": now} == asdict(recipe) and (
        before == now or all(schedule(step, before) == schedule(step, now) for step in range(state["step"]))
    )


def _mixed(seed: int, step: int) -> int:
    return int(np.random.SeedSequence([seed, step]).generate_state(1)[0])


def half_cosine(step: int, steps: int) -> float:
    """A climb, then half a cosine to nothing."""
    climb = max(min(500, steps // 10), 1)
    if step < climb:
        return (step + 1) / climb
    return 0.5 * (1 + math.cos(math.pi * (step - climb) / max(steps - climb, 1)))


def plateau(step: int, steps: int, climb: int) -> float:
    """A climb, then level; the last third falls to nothing. Before that, how many steps there are decides nothing."""
    return min(1.0, (step + 1) / climb, (steps - step) / max(steps // 3, 1))
