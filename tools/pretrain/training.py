# SPDX-License-Identifier: Apache-2.0
"""Training of a vision transformer on a pool of pictures: what it tells of a picture is read off its class token."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F
from ignite.engine import Engine, Events
from safetensors.torch import save
from torch import nn

from monai_ept.files import usable_folder, write_whole
from monai_ept.networks.embedded_weights import ARCHITECTURE
from tools.pretrain.pictures import CHOICES, VALUES
from tools.pretrain.pool import Pool
from tools.pretrain.recipe import VALIDATION, Recipe
from tools.pretrain.targets import variance_explained

__all__ = ["build_network", "pretrain", "save_weights"]

MEAN, STD = 0.5, 0.5


def build_network(recipe: Recipe) -> Any:
    """The timm network of a recipe, with timm's start values."""
    return timm.create_model(
        ARCHITECTURE,
        num_classes=0,
        img_size=recipe.img_size,
        embed_dim=recipe.embed_dim,
        depth=recipe.depth,
        num_heads=recipe.num_heads,
        patch_drop_rate=recipe.drop,
    )


class Teller(nn.Module):
    """A network and the linear heads by which it tells what it sees; the heads are thrown away afterwards."""

    def __init__(self, network: Any, described: int) -> None:
        super().__init__()
        self.network = network
        width = network.num_features
        self.choices = nn.Linear(width, sum(CHOICES.values()))
        self.values = nn.Linear(width, len(VALUES))
        self.described = nn.Linear(width, described)
        for head in (self.choices, self.values, self.described):
            nn.init.zeros_(head.weight)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.network(images)
        return {name: getattr(self, name)(features) for name in ("choices", "values", "described")}


@torch.no_grad()
def good_start(network: Any, pictures: torch.Tensor) -> None:
    """
    Start values with which a short training gets further than with timm's, which are made for long ones.

    Layers keep the variance of what goes in; what they add to the residual stream is scaled down by its depth. The
    patch embedding starts as the principal components of the pictures' patches.

    Args:
        network: the network.
        pictures: uint8 (pictures, side, side, 3).
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            adds = name.endswith(("attn.proj", "mlp.fc2"))
            nn.init.normal_(module.weight, std=module.in_features**-0.5 * (len(network.blocks) * 2) ** (-0.5 * adds))
    embedding = network.patch_embed.proj
    side, width = embedding.kernel_size[0], embedding.out_channels
    patches = F.unfold(network_input(pictures), side, stride=side).transpose(1, 2).flatten(0, 1)
    patches = patches - patches.mean(0)
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    values, vectors = values.flip(0)[:width].clamp(min=1e-6), vectors.flip(1)[:, :width]
    # Half of the way to equal variances, as for what is learnt.
    basis = vectors * values**-0.25
    basis = basis / (values.sqrt().mean() ** 0.5)
    # Turned at random, so that attention heads, which take the channels in order, begin alike.
    turn = torch.linalg.qr(torch.randn(width, width))[0]
    embedding.weight.copy_((basis @ turn).T.view_as(embedding.weight))


def losses(told: dict[str, torch.Tensor], batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """One loss for each kind of answer, each about 1 for a network that knows nothing."""
    parts = told["choices"].float().split(list(CHOICES.values()), dim=1)
    choices = [
        F.cross_entropy(part, answer) / math.log(part.shape[1])
        for part, answer in zip(parts, batch["choices"].unbind(1), strict=True)
    ]
    known = batch["values"].isfinite()
    error = (told["values"].float() - batch["values"].nan_to_num()).square()
    described = batch["described"]
    return {
        "described": F.mse_loss(told["described"].float(), described) / described.square().mean().clamp(min=1e-6),
        "choices": torch.stack(choices).mean(),
        "values": error[known].mean() if known.any() else error.sum() * 0,
    }


def pretrain(
    pool_dir: str | os.PathLike,
    recipe: Recipe,
    out_dir: str | os.PathLike,
    *,
    device: str | torch.device = "cpu",
    save_every: int = 200,
    on_log: Callable[[dict[str, float]], None] | None = None,
    stop_after: int | None = None,
) -> Any:
    """
    Train, or go on with a training that was interrupted.

    Each step draws its pictures and its patches from seed and step alone: an interrupted training ends as one that was
    not.

    Args:
        pool_dir: what ``make_pool`` has made.
        recipe: the settings.
        out_dir: for the checkpoint and the history.
        device: where to compute.
        save_every: steps between checkpoints.
        on_log: is told the state of the training at each checkpoint.
        stop_after: stop after this step; to be gone on with.

    Raises:
        ValueError: when the folder holds a training with other settings.

    Returns:
        the network.
    """
    folder = usable_folder(out_dir)
    device = torch.device(device)
    torch.manual_seed(recipe.seed)
    pool = Pool(pool_dir, recipe.pictures)
    network = build_network(recipe)
    good_start(network, pool.read(range(200))["image"])
    teller = Teller(network, pool.told["described"].shape[1]).to(device).train()
    decayed = [parameter for parameter in teller.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in teller.parameters() if parameter.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=recipe.lr,
        betas=(0.9, 0.98),
    )
    path = folder / "checkpoint.pt"
    step, history = 0, []
    if path.exists():
        state = torch.load(path, map_location=device, weights_only=True)
        if state["recipe"] != asdict(recipe):
            raise ValueError(f"{path} belongs to a training with other settings: use another folder.")
        teller.load_state_dict(state["teller"])
        optimizer.load_state_dict(state["optimizer"])
        step, history = state["step"], state["history"]

    def update(engine: Any, batch: dict[str, torch.Tensor]) -> dict[str, float]:
        at = step + engine.state.iteration - 1
        torch.manual_seed(_mixed(recipe.seed, at))
        teller.network.patch_drop.prob = recipe.drop if at < recipe.steps * (1 - recipe.whole) else 0.0
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * _schedule(at, recipe.steps)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=recipe.amp):
            told = teller(network_input(batch["image"].to(device)))
        parts = losses(told, {name: values.to(device) for name, values in batch.items()})
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(parts.values())).sum().backward()
        nn.utils.clip_grad_norm_(teller.parameters(), 1.0)
        optimizer.step()
        return {name: float(loss.detach()) for name, loss in parts.items()}

    trainer = Engine(update)
    last = min(recipe.steps, stop_after or recipe.steps)
    recent: list[dict[str, float]] = []

    @trainer.on(Events.ITERATION_COMPLETED)
    def _remember(engine: Any) -> None:
        recent.append(engine.state.output)
        done = step + engine.state.iteration
        if done % save_every and done != last:
            return
        entry = {name: sum(one[name] for one in recent) / len(recent) for name in recent[0]}
        entry = {"step": done, **entry, **validate(teller, pool, device)}
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
        save_weights(teller.network, folder / f"step-{done:05d}.safetensors")
        write_whole(folder / "history.json", json.dumps(history, indent=1) + "\n")
        if on_log is not None:
            on_log(entry)

    if step < last:
        trainer.run(_batches(pool, recipe, step), max_epochs=1, epoch_length=last - step)
    return teller.network


def save_weights(network: nn.Module, path: Path, about: dict[str, Any] | None = None) -> Path:
    """Write weights in half precision, under timm's names, with what is to be known about them."""
    weights = {name: tensor.half().cpu().contiguous() for name, tensor in network.state_dict().items()}
    # One entry, since safetensors writes several in any order: the same weights are the same bytes.
    return write_whole(path, save(weights, {"about": json.dumps(about or {})}))


def network_input(pictures: torch.Tensor) -> torch.Tensor:
    """From uint8 (pictures, side, side, 3) to what the network takes."""
    return pictures.permute(0, 3, 1, 2).float().div(255).sub(MEAN).div(STD)


@torch.no_grad()
def validate(teller: Teller, pool: Pool, device: torch.device) -> dict[str, float]:
    """How much of the description, and how many of the choices, are right on pictures never trained on."""
    teller.eval()
    told: dict[str, list[torch.Tensor]] = {"choices": [], "described": []}
    indices = range(len(pool) - VALIDATION, len(pool))
    batches: list[dict[str, torch.Tensor]] = []
    for start in range(0, VALIDATION, 50):
        batch = pool.read(indices[start : start + 50])
        answer = teller(network_input(batch.pop("image").to(device)))
        batches.append(batch)
        for name in told:
            told[name].append(answer[name].cpu())
    teller.train()
    parts = torch.cat(told["choices"]).split(list(CHOICES.values()), dim=1)
    answers = torch.cat([batch["choices"] for batch in batches]).unbind(1)
    right = [float((part.argmax(1) == answer).float().mean()) for part, answer in zip(parts, answers, strict=True)]
    described = torch.cat([batch["described"] for batch in batches])
    return {
        "val_described": variance_explained(torch.cat(told["described"]), described),
        "val_choices": sum(right) / len(right),
    }


def _batches(pool: Pool, recipe: Recipe, step: int) -> Iterator[dict[str, torch.Tensor]]:
    """Endless batches from a step on; every picture comes once before any comes again."""
    usable = len(pool) - VALIDATION
    per_round = usable // recipe.batch_size
    while True:
        turn, at = divmod(step, per_round)
        order = np.random.Generator(np.random.PCG64([recipe.seed, turn])).permutation(usable)
        while at < per_round:
            yield pool.read(order[at * recipe.batch_size : (at + 1) * recipe.batch_size].tolist())
            at, step = at + 1, step + 1


def _mixed(seed: int, step: int) -> int:
    return int(np.random.SeedSequence([seed, step]).generate_state(1)[0])


def _schedule(step: int, steps: int) -> float:
    """A climb, then half a cosine to nothing."""
    climb = max(min(500, steps // 10), 1)
    if step < climb:
        return (step + 1) / climb
    return 0.5 * (1 + math.cos(math.pi * (step - climb) / max(steps - climb, 1)))
