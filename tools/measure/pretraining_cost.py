# SPDX-License-Identifier: Apache-2.0
"""What a pretraining costs: to draw a picture or a view, to describe it, and to learn from it.

In CPU milliseconds of one thread, the median of so many rounds in which everything takes its turn; on a CUDA card in
wall milliseconds. Drawing in other processes is not the limit when it takes less, divided by their number, than
learning.

Run from the repository root: python -m tools.measure.pretraining_cost [--device cuda] [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from timm.layers import PatchDropout

from monai_ept.reporting.markdown import markdown_table
from tools.pretrain.bank import make_bank
from tools.pretrain.pairs import LANES, PATCH, STEPS_PER_BANK, PairTeller, match_loss
from tools.pretrain.pictures import make_picture
from tools.pretrain.recipe import PairsRecipe
from tools.pretrain.scenes import AT_ONCE, draw_patches, draw_scenes, plan_scenes
from tools.pretrain.targets import Describer
from tools.pretrain.training import build_network, losses, network_input


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    device, recipe = torch.device(args.device), PairsRecipe()
    views = 2 * recipe.things
    pictures = torch.from_numpy(np.stack([make_picture(0, index).image for index in range(64)])).to(device)
    describer = Describer.fit(lambda: pictures.cpu().split(32))
    describer = Describer({name: tensor.to(device) for name, tensor in describer.tensors.items()})
    bank = make_bank(0, 0)
    rng = np.random.default_rng(0)
    plan = {name: tensor.to(device) for name, tensor in plan_scenes(bank, rng, recipe.things).items()}
    kept = torch.rand(views, (recipe.img_size // PATCH) ** 2).argsort(1)[:, :49].to(device)
    batch = {"patches": draw_patches(plan, kept, PATCH), "kept": kept, "described": describer(pictures[:16])}
    batch |= {name: plan[name] for name in ("choices", "values")}
    teller = PairTeller(build_network(recipe), batch["described"].shape[1]).to(device)
    before = build_network(recipe).to(device)
    for block in before.blocks:
        block.attn.fused_attn = True
    before.patch_drop = PatchDropout(recipe.drop, num_prefix_tokens=1)
    at_once = AT_ONCE if device.type == "cpu" else views

    def learn() -> None:
        told = teller(batch, amp=True)
        (sum(losses(told, batch).values()) + match_loss(told["codes"], 0.1)).backward()

    def learn_before() -> None:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            told = before(network_input(pictures))
        told.float().square().mean().backward()

    work: dict[str, tuple[Callable[[], Any], float]] = {
        "picture of the first part": (lambda: [make_picture(0, index) for index in range(20)], 20),
        "view: its part of a bank": (lambda: make_bank(0, 1), views * STEPS_PER_BANK),
        "view: its plan": (lambda: plan_scenes(bank, rng, recipe.things), views),
        "view: painted whole": (lambda: draw_scenes(plan, at_once, 32), 32),
        "view: painted where it is looked at": (lambda: draw_patches(plan, kept, PATCH, at_once), views),
        "description": (lambda: [describer(some) for some in pictures[:16].split(at_once)], 16),
        "learning from a view": (learn, views),
        "the same, fused and with all patches embedded": (learn_before, len(pictures)),
    }
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    seen: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(args.rounds + 1):
        for name, (call, number) in work.items():
            began = clock()
            call()
            if device.type == "cuda":
                torch.cuda.synchronize()
            seen[name].append((clock() - began) / number * 1000)
    rows = [["", "ms"], *([name, f"{statistics.median(times[1:]):.2f}"] for name, times in seen.items())]
    print(f"{LANES} banks of {len(bank.fields)} fields, {args.device}\n{markdown_table(rows)}")


if __name__ == "__main__":
    main()
