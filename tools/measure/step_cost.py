# SPDX-License-Identifier: Apache-2.0

"""
What a training step costs with each method, against the same frozen ViT with plain fused attention.

    python tools/measure/step_cost.py                                  # all sizes, the rows of the attention
    python tools/measure/step_cost.py --sizes vit_s_224 --methods all  # every registered method at one size

The rows of one size take turns, round by round, and every ratio is taken within a round: what slows the machine down
slows all rows down. Printed are the median ratio and its quartiles. The plain row trains a head on a frozen backbone
whose input needs a gradient, so that its backward pass goes through all layers as a tuning method's does.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

import torch
import torch.nn.functional as F
from monai.networks.nets import ViT
from torch import Tensor, nn

from monai_ept import TunedViT, list_methods
from monai_ept.networks.attention import prompted_attention, sink_attention
from monai_ept.networks.embedded_prompt import EmbeddedPrompt

CLASSES = 7


class Size(NamedTuple):
    """A backbone and the images it sees."""

    backbone: Callable[[], str | nn.Module]
    img_size: int
    spatial_dims: int
    batch: int
    about: str


def monai_3d(img_size: int) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        vit = ViT(
            in_channels=1, img_size=img_size, patch_size=8, hidden_size=384, mlp_dim=1536, num_layers=4, num_heads=6
        )
        for block in vit.blocks:
            block.attn.use_flash_attention = True  # the plain row must be MONAI at its best
        return vit

    return build


SIZES = {
    "vit_s_224": Size(lambda: "vit_small_patch16_224", 224, 2, 4, "ViT-S/16, 224 px, 197 tokens"),
    "vit_s_384": Size(lambda: "vit_small_patch16_224", 384, 2, 4, "ViT-S/16, 384 px, 577 tokens"),
    "vit_b_224": Size(lambda: "vit_base_patch16_224", 224, 2, 4, "ViT-B/16, 224 px, 197 tokens"),
    "vit_b_384": Size(lambda: "vit_base_patch16_224", 384, 2, 4, "ViT-B/16, 384 px, 577 tokens"),
    "monai_3d_1728": Size(monai_3d(96), 96, 3, 1, "MONAI ViT 3-D (4 layers, 384 wide), 1,728 tokens"),
    "monai_3d_4096": Size(monai_3d(128), 128, 3, 1, "MONAI ViT 3-D (4 layers, 384 wide), 4,096 tokens"),
}


class DefinitionPrompt(EmbeddedPrompt):
    """The same prompt by the paper's formula, with its score matrix."""

    def forward(self, q, k, v, scale, mask=None, dropout=0.0):
        return prompted_attention(q, k, v, self.logits, scale, mask=mask, dropout=dropout)


def build(size: Size, method, device: torch.device) -> TunedViT:
    torch.manual_seed(0)
    backbone = size.backbone()
    extra = {"img_size": size.img_size} if isinstance(backbone, str) else {}
    return TunedViT(backbone, CLASSES, method=method, **extra).to(device)


def by_definition(net: TunedViT) -> TunedViT:
    for block in net.vit.blocks:
        prompt = block.attn.prompt
        block.attn.prompt = DefinitionPrompt(*prompt.logits.shape).to(prompt.logits.device)
    return net


class Row:
    """One line of the table: a network and what one turn of it does."""

    clock = staticmethod(time.perf_counter)

    def __init__(self, net: TunedViT, images: Tensor, train: bool, amp: bool) -> None:
        self.net, self.images, self.is_training, self.amp = net, images, train, amp
        self.labels = torch.arange(len(images), device=images.device) % CLASSES
        self.optimizer = torch.optim.SGD(net.trainable_parameters(lr=1e-3), lr=1e-3, momentum=0.9)
        self.seconds: list[float] = []
        self.peak = 0
        self.saved = 0
        net.train(train)

    def turn(self) -> None:
        device = self.images.device
        cast = torch.autocast(device.type, torch.bfloat16) if self.amp else nullcontext()
        if not self.is_training:
            with torch.inference_mode(), cast:
                self.net(self.images)
            return
        self.optimizer.zero_grad(set_to_none=True)
        with cast:
            logits = self.net(self.images)
        F.cross_entropy(logits.float(), self.labels).backward()
        self.optimizer.step()

    def timed(self) -> None:
        cuda = self.images.is_cuda
        if cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        start = self.clock()
        self.turn()
        if cuda:
            torch.cuda.synchronize()
            self.peak = torch.cuda.max_memory_allocated()
        self.seconds.append(self.clock() - start)

    def measure_saved(self) -> None:
        if self.is_training:
            self.saved = saved_bytes(self.turn, self.net)


def saved_bytes(run: Callable[[], object], net: nn.Module | None = None) -> int:
    """Bytes that autograd keeps for the backward pass, each storage once, parameters left out."""
    own = {param.untyped_storage().data_ptr() for param in net.parameters()} if net is not None else set()
    kept: dict[int, int] = {}
    alive = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(storage)  # as long as it lives, its address is its own
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run()
    return sum(kept.values())


def rows_of(size: Size, methods: list[str], device: torch.device, amp: bool) -> dict[str, Row]:
    channels = 1 if size.spatial_dims == 3 else 3
    images = torch.rand(size.batch, channels, *(size.img_size,) * size.spatial_dims, device=device)
    with_grad = images.clone().requires_grad_()
    ept = {"name": "ept", "prompt_length": 100}
    rows = {
        "plain": Row(build(size, "linear", device), with_grad, True, amp),
        "ept fused": Row(build(size, ept, device), images, True, amp),
        "ept definition": Row(by_definition(build(size, ept, device)), images, True, amp),
        "plain inference": Row(build(size, "linear", device), images, False, amp),
        "ept folded inference": Row(build(size, ept, device).fold(), images, False, amp),
    }
    targets = {"target_modules": r".*attn\.(qkv|proj|out_proj)", "r": 4}
    settings = {
        "vpt": {"name": "vpt", "num_tokens": 50},
        "lora of PEFT": {"name": "peft", "config": {"peft_type": "LORA", **targets}},
        "lora": {"name": "lora", "rank": 4, "targets": ("q", "k", "v", "proj")},  # the projections that PEFT's has
        "lora (q, v)": "lora",
    }
    for name in methods:
        if name not in ("ept", "linear"):
            rows[name] = Row(build(size, settings.get(name, name), device), images, True, amp)
    return rows


def ratios(row: Row, reference: Row) -> list[float]:
    return [mine / theirs for mine, theirs in zip(row.seconds, reference.seconds, strict=True)]


def measure(size: Size, methods: list[str], rounds: int, device: torch.device, amp: bool) -> None:
    rows = rows_of(size, methods, device, amp)
    for row in rows.values():
        row.turn()
        row.measure_saved()
    order = list(rows.values())
    for _ in range(rounds):
        random.shuffle(order)
        for row in order:
            row.timed()
    print(f"\n### {size.about}, batch {size.batch}\n")
    print(
        "| row | ms (median) | time ratio | quartiles | MB saved for backward |"
        + (" peak MB |" if rows["plain"].peak else "")
    )
    print("|---|---|---|---|---|" + ("---|" if rows["plain"].peak else ""))
    for name, row in rows.items():
        reference = rows["plain" if row.is_training else "plain inference"]
        all_ratios = ratios(row, reference)
        low, middle, high = statistics.quantiles(all_ratios, n=4) if len(all_ratios) > 1 else all_ratios * 3
        saved = f"{row.saved / 1e6:.1f}" if row.saved else "–"
        peak = f" {row.peak / 1e6:.0f} |" if rows["plain"].peak else ""
        ms = statistics.median(row.seconds) * 1e3
        print(f"| {name} | {ms:.1f} | {middle:.3f} | {low:.3f} – {high:.3f} | {saved} |{peak}")
    against = statistics.median(ratios(rows["ept fused"], rows["ept definition"]))
    print(f"\nWhole step, ept fused / ept definition: {against:.3f} in time.")
    for name in methods:
        if name in rows:
            against = statistics.median(ratios(rows["ept fused"], rows[name]))
            print(f"Whole step, ept fused / {name}: {against:.3f} in time.")
    print(attention_alone(rows["plain"], rounds), flush=True)


def attention_alone(row: Row, rounds: int) -> str:
    """Forward and backward of one layer's attention, fused against plain and against the definition."""
    vit, device = row.net.vit, row.images.device
    heads = vit.attention(0).num_heads
    shape = (len(row.images), heads, vit.num_tokens, vit.embed_dim // heads)
    dtype = torch.bfloat16 if row.amp else torch.float32
    q, k, v = (torch.randn(shape, device=device, dtype=dtype, requires_grad=True) for _ in range(3))
    prompt = torch.zeros(vit.num_tokens, 100, device=device, requires_grad=True)
    gradient = torch.randn(shape, device=device, dtype=dtype)
    forward: dict[str, Callable[[], Tensor]] = {
        "plain": lambda: F.scaled_dot_product_attention(q, k, v),
        "fused": lambda: sink_attention(q, k, v, prompt.logsumexp(-1)),
        "definition": lambda: prompted_attention(q, k, v, prompt),
    }
    seconds: dict[str, list[float]] = {name: [] for name in forward}
    for turn in range(rounds + 1):
        for name, run in forward.items():
            start = row.clock()
            run().backward(gradient)
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn:  # the first is for warming up
                seconds[name].append(row.clock() - start)
    saved = {name: saved_bytes(run) for name, run in forward.items()}

    def ratio(one: str, other: str) -> float:
        return statistics.median(a / b for a, b in zip(seconds[one], seconds[other], strict=True))

    return (
        f"One layer's attention alone, forward and backward: fused / plain {ratio('fused', 'plain'):.3f} in time, "
        f"{saved['fused'] / saved['plain']:.3f} in bytes saved for backward; fused / definition "
        f"{ratio('fused', 'definition'):.3f} in time, {saved['fused'] / saved['definition']:.3f} in bytes."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--methods", nargs="*", default=[], help="further rows: names of methods, or 'all'")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--amp", action="store_true", help="bf16 autocast")
    parser.add_argument("--threads", type=int, help="with 1, count the processor's seconds and not the wall's")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
        if args.threads == 1 and args.device == "cpu":
            # On a busy machine the wall clock also counts the turns of others.
            Row.clock = staticmethod(time.process_time)
    device = torch.device(args.device)
    every = [*list_methods(), "lora (q, v)", *(["lora of PEFT"] if importlib.util.find_spec("peft") else [])]
    methods = every if args.methods == ["all"] else args.methods
    if len(args.sizes) > 1:
        # A process each: what the allocator has learned from one size would change the times of the next.
        for name in args.sizes:
            subprocess.run([sys.executable, *sys.argv, "--sizes", name], check=True)  # the last --sizes counts
        return
    card = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(
        f"torch {torch.__version__}, Python {platform.python_version()}, {card}{', bf16 autocast' if args.amp else ''}"
    )
    measure(SIZES[args.sizes[0]], methods, args.rounds, device, args.amp)


if __name__ == "__main__":
    main()
