# SPDX-License-Identifier: Apache-2.0
"""Training of a vision transformer on a pool of pictures: what it tells of a picture is read off its class token."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F
from torch import nn

from monai_ept.files import usable_folder
from monai_ept.networks.embedded_weights import ARCHITECTURE
from tools.pretrain.loop import half_cosine, run_steps
from tools.pretrain.pictures import CHOICES, VALUES
from tools.pretrain.pool import Pool
from tools.pretrain.recipe import VALIDATION, PairsRecipe, Recipe
from tools.pretrain.targets import variance_explained

__all__ = ["Teller", "build_network", "losses", "pretrain", "see", "some_patches"]

MEAN, STD = 0.5, 0.5


def build_network(recipe: Recipe | PairsRecipe) -> Any:
    """The timm network of a recipe, with timm's start values."""
    network: Any = timm.create_model(
        ARCHITECTURE,
        num_classes=0,
        img_size=recipe.img_size,
        embed_dim=recipe.embed_dim,
        depth=recipe.depth,
        num_heads=recipe.num_heads,
    )
    for block in network.blocks:  # on a CPU, the fused one costs twice as much as all the rest of a step
        block.attn.fused_attn = False
    return network


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

    def forward(self, images: torch.Tensor, drop: float = 0.0, *, amp: bool = False) -> dict[str, torch.Tensor]:
        """What it tells of pictures, uint8 (pictures, side, side, 3), of which it sees all patches but a share."""
        side = self.network.patch_embed.proj.kernel_size[0]
        number = (images.shape[1] // side) ** 2
        kept = torch.rand(len(images), number).argsort(dim=1)[:, : max(1, int(number * (1 - drop)))].to(images.device)
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=amp):
            return self.read(see(self.network, some_patches(images, kept, side), kept))

    def read(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: getattr(self, name)(features) for name in ("choices", "values", "described")}


def some_patches(pictures: torch.Tensor, kept: torch.Tensor, side: int) -> torch.Tensor:
    """Of pictures, uint8 (pictures, side, side, 3), the patches that are kept: (pictures, patches, numbers)."""
    number, rows = len(pictures), pictures.shape[1] // side
    patches = pictures.view(number, rows, side, rows, side, 3).transpose(2, 3).reshape(number, rows * rows, -1)
    return patches.gather(1, kept.unsqueeze(2).expand(-1, -1, patches.shape[2]))


def see(network: Any, patches: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """The class token, of these patches alone: what is not seen costs nothing."""
    seen = patches.float().div(255).sub(MEAN).div(STD)
    weight = network.patch_embed.proj.weight.permute(0, 2, 3, 1).flatten(1)
    tokens = F.linear(seen, weight, network.patch_embed.proj.bias) + network.pos_embed[0, 1:][kept]
    first = (network.cls_token + network.pos_embed[:, :1]).expand(len(patches), -1, -1).to(tokens.dtype)
    return network.forward_head(network.norm(network.blocks(torch.cat([first, tokens], dim=1))))


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
    """One loss for each kind of answer, each about 1 for a network that knows nothing; choices below 0 are not told."""
    parts = told["choices"].float().split(list(CHOICES.values()), dim=1)
    choices = [
        F.cross_entropy(part, answer) / math.log(part.shape[1]) if (answer >= 0).any() else part.sum() * 0
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

    def update(batch: dict[str, torch.Tensor], at: int) -> dict[str, torch.Tensor]:
        drop = recipe.drop if at < recipe.steps * (1 - recipe.whole) else 0.0
        told = teller(batch["image"], drop, amp=recipe.amp)
        return losses(told, batch)

    run_steps(
        teller,
        recipe,
        update,
        lambda step: _batches(pool, recipe, step),
        lambda: validate(teller, pool, device),
        half_cosine,
        folder,
        save_every=save_every,
        on_log=on_log,
        stop_after=stop_after,
    )
    return teller.network


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
        answer = teller(batch.pop("image").to(device))
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
