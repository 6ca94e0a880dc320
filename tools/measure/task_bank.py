# SPDX-License-Identifier: Apache-2.0

"""What a bank of tasks costs: memory beside separate networks, time of mixed batches, time to add a task.

    python tools/measure/task_bank.py --threads 1

Weights are random. Rows of the second table take turns, round by round; ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

from monai_ept import TunedViT
from monai_ept.networks import create_backbone
from monai_ept.serving import TaskBank

TASKS = 8
METHODS: dict[str, dict[str, Any]] = {
    "ept": {"method": "ept"},
    "lora": {"method": "lora"},
    "linear": {"method": "linear"},
    "ln": {"method": "ln"},
    **{f"lora of rank {rank}": {"method": {"name": "lora", "rank": rank}} for rank in (1, 2, 8, 16)},
}


def backbone_of(args: argparse.Namespace) -> torch.nn.Module:
    torch.manual_seed(0)
    return create_backbone(args.backbone, pretrained=False)


def delta(folder: Path, name: str) -> Path:
    return folder / f"{name}.safetensors"


def write_deltas(args: argparse.Namespace, folder: Path) -> None:
    backbone = backbone_of(args)
    for name, settings in METHODS.items():
        net = TunedViT(backbone, 7, **settings)
        with torch.no_grad():
            for tensor in net.delta_tensors().values():
                tensor.add_(0.02 * torch.randn_like(tensor))
        net.save_delta(delta(folder, name))


def resident() -> float:
    """MB of this process in memory."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory_of_bank(args: argparse.Namespace, folder: Path, name: str) -> dict[int, float]:
    start, found = resident(), {}
    bank = TaskBank(backbone_of(args))
    for number in range(1, 101):
        bank.add(f"{name} {number}", delta(folder, name))
        if number in (1, 10, 100):
            found[number] = resident() - start
    return found


def memory_of_networks(args: argparse.Namespace, folder: Path, name: str) -> dict[int, float]:
    start, found = resident(), {}
    backbone = backbone_of(args)
    nets = [TunedViT.from_delta(delta(folder, name), backbone=backbone)]
    del backbone  # each network has a copy of it
    found[1] = resident() - start
    while len(nets) < args.networks:
        nets.append(TunedViT.from_delta(delta(folder, name), backbone=backbone_of(args)))
    found[len(nets)] = resident() - start
    return found


def print_memory(args: argparse.Namespace, folder: Path) -> None:
    print("\n| MB of memory | numbers of tasks | |\n|---|---|---|")
    for name in ("ept", "lora", "linear", "ln"):
        for measured in (memory_of_bank, *([memory_of_networks] if name == "ept" else [])):
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
                found = fresh.submit(measured, args, folder, name).result()
            counts = sorted(found)
            each = (found[counts[-1]] - found[counts[0]]) / (counts[-1] - counts[0])
            shown = ", ".join(f"{count}: {found[count]:,.0f}" for count in counts)
            print(f"| {measured.__name__.replace('_', ' ')}, {name} | {shown} | {each:.2f} for each more |", flush=True)


def print_times(args: argparse.Namespace, folder: Path) -> None:
    backbone = backbone_of(args)
    bank = TaskBank(backbone)
    names = {name: [f"{name} {number}" for number in range(TASKS)] for name in ("ept", "lora", "linear")}
    names["lora of ranks 1 to 16"] = [*names["lora"][:4], *(name for name in METHODS if "rank" in name)]
    names["mixed"] = [*names["ept"][:3], *names["lora"][:3], *names["linear"][:2]]
    for name in dict.fromkeys(name for row in names.values() for name in row):
        bank.add(name, delta(folder, name if name in METHODS else name.split()[0]))
    images = torch.rand(args.batch, bank.vit.in_channels, *bank.vit.img_size)

    def in_turn(tasks: Sequence[str]) -> list[str]:
        return [tasks[index % TASKS] for index in range(len(images))]

    ept, lora = (TunedViT.from_delta(delta(folder, name), backbone=backbone).eval() for name in ("ept", "lora"))
    folded = ept.fold()
    rows: dict[str, Callable[[], Any]] = {
        "ept, a network alone (folded)": lambda: folded(images),
        "ept, one task": lambda: bank(images, "ept 0"),
        "ept, 8 tasks": lambda: bank(images, in_turn(names["ept"])),
        "lora, a network alone": lambda: lora(images),
        "lora, one task": lambda: bank(images, "lora 0"),
        "lora, 8 tasks": lambda: bank(images, in_turn(names["lora"])),
        "lora, 8 tasks of ranks 1 to 16": lambda: bank(images, in_turn(names["lora of ranks 1 to 16"])),
        "linear, one task": lambda: bank(images, "linear 0"),
        "3 ept, 3 lora, 2 linear": lambda: bank(images, in_turn(names["mixed"])),
        "8 linear tasks for every image": lambda: bank.features_once(images, names["linear"]),
    }
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    order = list(rows)
    for turn in range(args.rounds + 1):
        random.shuffle(order)
        for name in order:
            start = args.clock()
            with torch.inference_mode():
                rows[name]()
            if turn:  # the first is for warming up
                seconds[name].append(args.clock() - start)

    def ratio(name: str, reference: str) -> str:
        middle = statistics.median(seconds[name]) / statistics.median(seconds[reference])
        low, _, high = statistics.quantiles(
            [mine / theirs for mine, theirs in zip(seconds[name], seconds[reference], strict=True)], n=4
        )
        return f"{middle:.3f} ({low:.3f} – {high:.3f})"

    print(f"\n| batch of {len(images)} | seconds | / one task | / linear, one task |\n|---|---|---|---|")
    for name in rows:
        one = f"{name.split(',')[0]}, one task"
        middle = statistics.median(seconds[name])
        against = ratio(name, one) if one in rows else "–"
        print(f"| {name} | {middle:.2f} | {against} | {ratio(name, 'linear, one task')} |", flush=True)


def print_additions(args: argparse.Namespace, folder: Path) -> None:
    start = args.clock()
    bank = TaskBank(backbone_of(args))
    print(f"\nA bank with its backbone is there after {args.clock() - start:.2f} s.")
    print("\n| milliseconds to add a task from disk | kB of its file | the first | median of 20 |\n|---|---|---|---|")
    for name in ("ept", "lora", "linear", "ln"):
        times = []
        for _ in range(20):
            start = args.clock()
            bank.add(name, delta(folder, name), replace=True)
            times.append(1e3 * (args.clock() - start))
        size = delta(folder, name).stat().st_size / 1e3
        print(f"| {name} | {size:,.0f} | {times[0]:.0f} | {statistics.median(times):.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="vit_base_patch16_224")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--networks", type=int, default=5, help="how many separate ones are held at once")
    parser.add_argument("--threads", type=int, help="with 1, count the processor's seconds and not the wall's")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    # On a busy machine the wall clock also counts the turns of others.
    args.clock = time.process_time if args.threads == 1 else time.perf_counter
    print(f"torch {torch.__version__}, {args.backbone}, {torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory() as folder:
        write_deltas(args, Path(folder))
        for table in (print_additions, print_memory, print_times):
            table(args, Path(folder))


if __name__ == "__main__":
    main()
