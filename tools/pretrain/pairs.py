# SPDX-License-Identifier: Apache-2.0
"""The second part of the training: which pictures show the same thing, and still what each picture is like."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader, Dataset

from tools.pretrain.bank import Bank, make_bank
from tools.pretrain.loop import plateau, run_steps
from tools.pretrain.recipe import PairsRecipe
from tools.pretrain.scenes import AT_ONCE, draw_patches, draw_scenes, plan_scenes
from tools.pretrain.targets import Describer, variance_explained
from tools.pretrain.training import Teller, build_network, losses, see, some_patches

__all__ = ["PairTeller", "Scenes", "match_loss", "painted", "pretrain_pairs", "share_matched"]

Tensors = dict[str, torch.Tensor]

PATCH = 16

LANES = 8
"""Banks in use at a time; a process that draws keeps those of its own steps, so that none is drawn twice."""

STEPS_PER_BANK = 48

VALIDATION_STEPS = range(1_000_000, 1_000_004)


class Scenes(Dataset):
    """
    The batches of a training by their steps, from seed and step alone.

    Args:
        recipe: the settings.
        describer: describes the first view of each thing.
        painted: whether the pictures are painted here; a CUDA card does it itself.
    """

    def __init__(self, recipe: PairsRecipe, describer: Describer, painted: bool = True) -> None:
        self.recipe, self.describer, self.painted = recipe, describer, painted
        self.banks: dict[int, tuple[int, Bank]] = {}

    def __getitem__(self, step: int) -> Tensors:
        lane, turn = step % LANES, step // (LANES * STEPS_PER_BANK)
        if lane not in self.banks or self.banks[lane][0] != turn:
            index = turn * LANES + lane
            self.banks[lane] = turn, make_bank(self.recipe.seed, index, self.recipe.img_size, self.recipe.fields)
        rng = np.random.Generator(np.random.PCG64([self.recipe.seed, step, 3]))
        plan = plan_scenes(self.banks[lane][1], rng, self.recipe.things)
        patches = (self.recipe.img_size // PATCH) ** 2
        kept = rng.random((2 * self.recipe.things, patches)).argsort(axis=1)
        plan["kept"] = torch.from_numpy(kept[:, : max(1, int(patches * (1 - self.recipe.drop)))].copy())
        return painted(plan, self.describer, self.recipe.described) if self.painted else plan


def painted(plan: Tensors, describer: Describer, described: int, at_once: int = AT_ONCE) -> Tensors:
    """
    What is seen of a plan, and what is to be told of it.

    Args:
        plan: of ``plan_scenes``, with the patches that are kept.
        describer: describes the first views, which have to be painted as a whole.
        described: how many.
        at_once: views painted together.
    """
    kept = plan["kept"]
    pictures = draw_scenes(plan, at_once, described)
    patches = draw_patches(plan, kept[described:], PATCH, at_once, described)
    return {
        "patches": torch.cat([some_patches(pictures, kept[:described], PATCH), patches]),
        "kept": kept,
        "choices": plan["choices"],
        "values": plan["values"],
        "described": torch.cat([describer(some) for some in pictures.split(at_once)]),
    }


def match_loss(codes: torch.Tensor, temperature: float) -> torch.Tensor:
    """
    How hard it is to find the other view of each thing among all views (InfoNCE); 1 is by chance.

    Args:
        codes: (views, width), the first views of all things and then their second ones.
        temperature: of the softmax over cosines.
    """
    codes = F.normalize(codes.float(), dim=1)
    alike = (codes @ codes.T / temperature).fill_diagonal_(-math.inf)
    number = len(codes)
    other = (torch.arange(number, device=codes.device) + number // 2) % number
    return F.cross_entropy(alike, other) / math.log(number - 1)


def share_matched(codes: torch.Tensor) -> float:
    """Of how many things the second view is the nearest of all second views to the first one."""
    first, second = F.normalize(codes, dim=1).chunk(2)
    nearest = (first @ second.T).argmax(dim=1)
    return float((nearest == torch.arange(len(first), device=codes.device)).float().mean())


class PairTeller(Teller):
    """A teller with a projector, whose codes are alike for views of one thing."""

    def __init__(self, network: Any, described: int, width: int = 512, codes: int = 128) -> None:
        super().__init__(network, described)
        self.projector = nn.Sequential(nn.Linear(network.num_features, width), nn.GELU(), nn.Linear(width, codes))

    def forward(self, batch: Tensors, *, amp: bool = False) -> Tensors:  # type: ignore[override]
        with torch.autocast(batch["patches"].device.type, dtype=torch.bfloat16, enabled=amp):
            features = see(self.network, batch["patches"], batch["kept"])
            told = self.read(features)
            return {
                **told,
                "described": told["described"][: len(batch["described"])],
                "codes": self.projector(features),
            }


def pretrain_pairs(
    weights: str | os.PathLike,
    describer: Describer,
    recipe: PairsRecipe,
    out_dir: str | os.PathLike,
    *,
    device: str | torch.device = "cpu",
    workers: int = 1,
    save_every: int = 100,
    on_log: Callable[[dict[str, float]], None] | None = None,
    stop_after: int | None = None,
) -> Any:
    """
    Go on from weights that have learnt to describe, or with such a training that was interrupted.

    Args:
        weights: where the first part ended.
        describer: of the first part.
        recipe: the settings.
        out_dir: for the checkpoint and the history.
        device: where to compute.
        workers: processes that draw; they decide nothing.
        save_every: steps between checkpoints.
        on_log: is told the state of the training at each checkpoint.
        stop_after: stop after this step; to be gone on with.

    Raises:
        ValueError: when the folder holds a training with other settings.

    Returns:
        the network.
    """
    device = torch.device(device)
    torch.manual_seed(recipe.seed)
    network = build_network(recipe)
    network.load_state_dict({name: tensor.float() for name, tensor in load_file(Path(weights)).items()})
    teller = PairTeller(network, describer.tensors["components"].shape[1]).to(device).train()
    there = Describer({name: tensor.to(device) for name, tensor in describer.tensors.items()})
    on_card = device.type == "cuda"

    def update(batch: Tensors, at: int) -> Tensors:
        if on_card:
            batch = painted(batch, there, recipe.described, at_once=recipe.things * 2)
        told = teller(batch, amp=recipe.amp)
        return {**losses(told, batch), "match": recipe.match * match_loss(told["codes"], recipe.temperature)}

    def batches(step: int) -> DataLoader:
        scenes = Scenes(recipe, describer, painted=not on_card)
        settings: dict[str, Any] = {"multiprocessing_context": "spawn", "prefetch_factor": 2} if workers else {}
        return DataLoader(
            scenes,
            batch_size=None,
            sampler=range(step, recipe.steps),
            num_workers=workers,
            pin_memory=on_card,
            **settings,
        )

    held_out: list[Tensors] = []

    @torch.no_grad()
    def validate() -> dict[str, float]:
        if not held_out:
            scenes = Scenes(recipe, describer)
            held_out.extend(scenes[step] for step in VALIDATION_STEPS)
        teller.eval()
        told = [teller({name: values.to(device) for name, values in batch.items()}) for batch in held_out]
        teller.train()
        found = torch.cat([one["described"] for one in told]).cpu()
        right = [share_matched(one["codes"]) for one in told]
        return {
            "val_described": variance_explained(found, torch.cat([batch["described"] for batch in held_out])),
            "val_matched": sum(right) / len(right),
        }

    run_steps(
        teller,
        recipe,
        update,
        batches,
        validate,
        partial(plateau, climb=recipe.climb),
        out_dir,
        save_every=save_every,
        on_log=on_log,
        stop_after=stop_after,
    )
    return teller.network
