# SPDX-License-Identifier: Apache-2.0

"""
Does prompted attention hold its promises on this card? Tests first, then the table of docs/performance.md.

    python -m tools.measure.gpu_check                      # everything, within five minutes on a large card
    python -m tools.measure.gpu_check --only table launches
    python -m tools.measure.gpu_check --only graphs        # only when it is asked for: compiled, with CUDA graphs
    python -m tools.measure.gpu_check --rehearse           # anywhere: small networks on the processor, to see it run

Needs torch, timm, MONAI, pytest and hypothesis, no network, no weights and no MLflow. Every part stands for itself: a
failure is printed, the next part runs, and the exit status says whether all went well. To add a part, write a function
that returns lines of Markdown and name it in ``PARTS``.

Rows of a table take turns in a shuffled order, each between two CUDA events, in bfloat16 autocast; ratios are taken
within a round, and their median is printed.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import importlib.util
import os
import platform
import random
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter

import monai
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from monai_ept.networks.attention import concat_attention, prompted_attention
from monai_ept.reporting.markdown import markdown_table
from tools.measure.gpu_plan import ON_A_CARD, REHEARSAL, Plan
from tools.measure.loop_share import now, share
from tools.measure.step_cost import Row, Size, build, by_definition

TESTS = [
    "tests/networks",
    "tests/data/test_images_on_device.py",
    "tests/engines/test_trainer.py",
    "-k",
    "cuda or mixed_precision or card",
]
EPT = {"name": "ept", "prompt_length": 100}


def timed(turn: Callable[[], object], device: torch.device) -> float:
    """Milliseconds of a turn: on a card between two events there."""
    start = now(device)
    if device.type != "cuda":
        turn()
        return 1000 * (now(device) - start)
    first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    first.record()
    turn()
    last.record()
    last.synchronize()
    return first.elapsed_time(last)


class Turns:
    """What takes turns, and the milliseconds that each turn took."""

    def __init__(self, turns: dict[str, Callable[[], object]], plan: Plan) -> None:
        self.ms: dict[str, list[float]] = {name: [] for name in turns}
        for _ in range(3):
            for turn in turns.values():
                turn()
        order = list(turns)
        for _ in range(plan.rounds):
            random.shuffle(order)
            for name in order:
                self.ms[name].append(timed(turns[name], plan.device))

    def ratio(self, one: str, other: str) -> str:
        return f"{statistics.median(a / b for a, b in zip(self.ms[one], self.ms[other], strict=True)):.3f}"

    def median(self, name: str) -> str:
        return f"{statistics.median(self.ms[name]):.2f}"


@contextmanager
def cleared() -> Iterator[None]:
    """Memory and compiled graphs are given back, so that no part sees what another has left."""
    try:
        yield
    finally:
        torch._dynamo.reset()
        gc.collect()
        torch.cuda.empty_cache()


def images_of(size: Size, batch: int, device: torch.device) -> Tensor:
    channels = 1 if size.spatial_dims == 3 else 3
    return torch.rand(batch, channels, *(size.img_size,) * size.spatial_dims, device=device)


def networks_of(size: Size, device: torch.device) -> dict[str, nn.Module]:
    """By row; those of inference have a network of their own, so that no mode has to be switched."""
    nets = {"plain": "linear", "ept": EPT, "lora": "lora", "plain, inference": "linear"}
    built: dict[str, nn.Module] = {name: build(size, method, device) for name, method in nets.items()}
    return built | {"folded, inference": build(size, EPT, device).fold()}


def rows_of(nets: dict[str, nn.Module], images: Tensor) -> dict[str, Row]:
    rows = {}
    for name, net in nets.items():
        # The plain row's gradient has to reach all layers, as those of the others do.
        seen = images.clone().requires_grad_() if name == "plain" else images
        rows[name] = Row(net, seen, train="inference" not in name, amp=True)
    return rows


def tests(plan: Plan) -> list[str]:
    """All tests that need a card."""
    options = ["-p", "no:cacheprovider"] if plan.device.type == "cuda" else ["--collect-only"]
    run = subprocess.run([sys.executable, "-m", "pytest", *TESTS, *options], text=True)
    if run.returncode:
        raise AssertionError("tests failed, see above")
    return ["All CUDA tests pass." if plan.device.type == "cuda" else "All CUDA tests are found."]


def table(plan: Plan) -> list[str]:
    """The steps of whole networks, each beside the same network without prompts."""
    lines = []
    for size, group in groupby(plan.rows, key=itemgetter(0)):
        with cleared():
            nets = networks_of(size, plan.device)
            for _, batch in group:
                rows = rows_of(nets, images_of(size, batch, plan.device))
                turns = Turns({name: row.turn for name, row in rows.items()}, plan)
                lines.append(line_of(turns, f"{size.about}, batch {batch}"))
            del nets, rows
    return markdown(lines)


def line_of(turns: Turns, about: str) -> dict[str, str]:
    return {
        "": about,
        "EPT step / plain": turns.ratio("ept", "plain"),
        "EPT / LoRA": turns.ratio("ept", "lora"),
        "folded / plain, inference": turns.ratio("folded, inference", "plain, inference"),
        "plain step, ms": turns.median("plain"),
        "plain inference, ms": turns.median("plain, inference"),
    }


def compiled(plan: Plan, **options: str) -> list[str]:
    """The same under ``torch.compile``, one graph for every batch, and what compiling gives to each."""
    size = plan.compiled
    lines, gains = [], []
    with cleared():
        torch._dynamo.utils.counters.clear()
        eager, nets = networks_of(size, plan.device), networks_of(size, plan.device)
        for net in nets.values():
            net.compile(fullgraph=True, backend=plan.compiler, **options)
        for batch in plan.compiled_batches:
            images = images_of(size, batch, plan.device)
            rows = rows_of(nets, images)
            for row in rows.values():
                torch._dynamo.mark_dynamic(row.images, 0)
            others = {_not_compiled(name): row for name, row in rows_of(eager, images).items()}
            turns = Turns({name: row.turn for name, row in (rows | others).items()}, plan)
            about = f"{size.about}, batch {batch}"
            lines.append(line_of(turns, f"{about}, compiled"))
            gains.append({"compiled / not": about, **{name: turns.ratio(name, _not_compiled(name)) for name in nets}})
        graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    about_graphs = f"{graphs} graphs for {len(nets)} networks and {len(lines)} sizes of a batch."
    return [*markdown(lines), "", *markdown(gains), "", about_graphs]


def _not_compiled(name: str) -> str:
    return f"{name}, not compiled"


def graphs(plan: Plan) -> list[str]:
    """The same as CUDA graphs, which are recorded anew for each size of a batch."""
    return compiled(plan, **({"mode": "reduce-overhead"} if plan.compiler == "inductor" else {}))


def attention(plan: Plan) -> list[str]:
    """One layer's attention alone, forward and backward."""
    lines = []
    for batch, heads, tokens in plan.attention:
        with cleared():
            there = {"device": plan.device, "dtype": torch.bfloat16}
            qkv = torch.randn(batch, tokens, 3, heads, 64, **there, requires_grad=True)
            gradient = torch.randn(batch, tokens, heads, 64, **there).transpose(1, 2)
            prompt = torch.zeros(tokens, 100, device=plan.device, requires_grad=True)

            def run(attend: Callable[..., Tensor], qkv=qkv, gradient=gradient) -> Callable[[], object]:
                def turn() -> None:
                    attend(*(t.transpose(1, 2) for t in qkv.unbind(2))).backward(gradient)

                return turn

            turns = Turns(
                {
                    "plain": run(F.scaled_dot_product_attention),
                    "fused": run(lambda q, k, v, prompt=prompt: concat_attention(q, k, v, prompt)),
                    "definition": run(lambda q, k, v, prompt=prompt: prompted_attention(q, k, v, prompt)),
                },
                plan,
            )
            q, k, v = (t.transpose(1, 2) for t in qkv.unbind(2))
            chosen = torch.nn.attention.SDPBackend(torch._fused_sdp_choice(q, k, v)).name
            lines.append(
                {
                    "batch × heads × tokens": f"{batch} × {heads} × {tokens:,}",
                    "kernel": chosen.lower().removesuffix("_attention"),
                    "fused / plain": turns.ratio("fused", "plain"),
                    "fused / definition": turns.ratio("fused", "definition"),
                    "plain, ms": turns.median("plain"),
                }
            )
    return markdown(lines)


def launches(plan: Plan) -> list[str]:
    """Kernels that a layer starts."""
    size, batch = plan.rows[0]
    with cleared():
        nets = networks_of(size, plan.device)
        layers = len(nets["plain"].vit.blocks)
        counts = {}
        seen_by = ProfilerActivity.CUDA if plan.device.type == "cuda" else ProfilerActivity.CPU
        for name, row in rows_of(nets, images_of(size, batch, plan.device)).items():
            row.turn()
            with profile(activities=[seen_by]) as seen:
                row.turn()
                now(plan.device)
            counts[name] = sum(event.device_type == torch.autograd.DeviceType.CUDA for event in seen.events())
    more = {
        "EPT step": (counts["ept"] - counts["plain"]) / layers,
        "LoRA step": (counts["lora"] - counts["plain"]) / layers,
        "folded inference": (counts["folded, inference"] - counts["plain, inference"]) / layers,
    }
    return [
        f"Launches: {counts['plain']} in a plain step, {counts['plain, inference']} in plain inference; more a layer: "
        + ", ".join(f"{name} {number:+.1f}" for name, number in more.items())
        + "."
    ]


def memory(plan: Plan) -> list[str]:
    """Peak memory of a step, against plain attention and against the definition."""
    lines = []
    for size, batch in plan.peaks:
        peaks = {}
        for row_name in ("plain", "EPT", "definition"):
            with cleared():
                net = build(size, "linear" if row_name == "plain" else EPT, plan.device)
                if row_name == "definition":
                    by_definition(net)
                images = images_of(size, batch, plan.device)
                row = Row(net, images.requires_grad_(row_name == "plain"), train=True, amp=True)
                row.turn()
                row.timed()
                peaks[row_name] = f"{row.peak / 1e6:,.0f}"
                del net, row
        lines.append({"peak MB of a step": f"{size.about}, batch {batch}", **peaks})
    return markdown(lines)


def loop(plan: Plan) -> list[str]:
    """Steps of a training beside the bare loop on the same tensors; 0.9 is wanted where views are made of the batch."""
    lines = []
    for batch in plan.loop_batches:
        for augment in (False, True):
            with cleared():
                how = {"epochs": 6, "steps": plan.steps, "augment": augment}
                row = share(plan.backbone, batch, device=plan.device, **how)
            lines.append(
                dict(zip(("backbone", "batch", "images", "bare, ms", "training, ms", "ratio"), row, strict=True))
            )
    return markdown(lines)


def deterministic(plan: Plan) -> list[str]:
    """What ``torch.use_deterministic_algorithms`` costs a step of EPT."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or products of matrices are refused
    lines = []
    for size, batch in dict(plan.rows).items():  # each network once, with its largest batch
        with cleared():
            (row,) = rows_of({"ept": build(size, EPT, plan.device)}, images_of(size, batch, plan.device)).values()

            def turn(row: Row = row) -> None:
                torch.use_deterministic_algorithms(True)
                try:
                    row.turn()
                finally:
                    torch.use_deterministic_algorithms(False)

            turns = Turns({"free": row.turn, "deterministic": turn}, plan)
            ratio = turns.ratio("deterministic", "free")
            lines.append({"EPT step": f"{size.about}, batch {batch}", "deterministic / not": ratio})
            del row
    return markdown(lines)


PARTS: dict[str, Callable[[Plan], list[str]]] = {
    "tests": tests,
    "table": table,
    "attention": attention,
    "launches": launches,
    "memory": memory,
    "loop": loop,
    "deterministic": deterministic,
    "compiled": compiled,
    "graphs": graphs,
}
ASKED_FOR = ("graphs",)
"""Parts that are measured only when they are named: they would take longer than the five minutes."""


def markdown(lines: list[dict[str, str]]) -> list[str]:
    return markdown_table([list(lines[0]), *(list(line.values()) for line in lines)]).splitlines()


def driver() -> str:
    run = subprocess.run(
        ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], capture_output=True, text=True
    )
    return run.stdout.split("\n")[0] or "unknown"


def versions(device: torch.device) -> str:
    has_mlflow = "with" if importlib.util.find_spec("mlflow") else "without"
    triton = importlib.metadata.version("triton") if importlib.util.find_spec("triton") else "none"
    card = f"{torch.cuda.get_device_name()}, driver {driver()}" if device.type == "cuda" else "no card: a rehearsal"
    return (
        f"{card}, torch {torch.__version__}, "
        f"cuDNN {torch.backends.cudnn.version()}, Triton {triton}, timm {timm.__version__}, MONAI {monai.__version__}, "
        f"Python {platform.python_version()}, {has_mlflow} MLflow"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), help="parts to run")
    parser.add_argument("--rehearse", action="store_true", help="on the processor, where numbers mean nothing")
    args = parser.parse_args(arguments)
    plan = REHEARSAL if args.rehearse else ON_A_CARD
    if not (args.rehearse or torch.cuda.is_available()):
        print("gpu_check needs a CUDA card and torch sees none here: --rehearse runs it on the processor.")
        return 2
    print(versions(plan.device), flush=True)
    failed = []
    for name in args.only or [name for name in PARTS if name not in ASKED_FOR]:
        start = time.perf_counter()
        print(f"\n## {name}: {(PARTS[name].__doc__ or '').strip()}\n", flush=True)
        try:
            print("\n".join(PARTS[name](plan)), flush=True)
        except Exception:
            traceback.print_exc()
            failed.append(name)
        print(f"\n({time.perf_counter() - start:.0f} s)", flush=True)
    print(f"\nFailed: {', '.join(failed)}." if failed else "\nAll parts went well.")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
