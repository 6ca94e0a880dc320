# SPDX-License-Identifier: Apache-2.0

"""
Does prompted attention hold its promises on this card? Tests first, then the table of docs/performance.md.

    python tools/measure/gpu_check.py                      # everything, within five minutes on a large card
    python tools/measure/gpu_check.py --only table launches

Needs torch, timm, MONAI and pytest, no network and no weights. Every part stands for itself: a failure is printed, the
next part runs, and the exit status says whether all went well. To add a part, write a function that returns lines of
Markdown and name it in ``PARTS``.

Rows of a table take turns in a shuffled order, each between two CUDA events, in bfloat16 autocast; ratios are taken
within a round, and their median is printed.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import importlib.util
import platform
import random
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import monai
import timm
import torch
import torch.nn.functional as F
from loop_share import share
from step_cost import SIZES, Row, Size, build, by_definition
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from monai_ept.networks.attention import concat_attention, prompted_attention
from monai_ept.reporting.markdown import markdown_table

DEVICE = torch.device("cuda")
TESTS = [
    "tests/networks",
    "tests/data/test_images_on_device.py",
    "tests/engines/test_trainer.py",
    "-k",
    "cuda or mixed_precision or card",
]
VIT_B = [("vit_b_224", 4), ("vit_b_224", 64), ("vit_b_224", 256), ("vit_b_384", 32)]
VOLUMES = [("monai_3d_1728", 1), ("monai_3d_4096", 1)]
ATTENTION = [(4, 12, 197), (64, 12, 197), (256, 12, 197), (32, 12, 577), (1, 6, 1728), (1, 6, 4096)]
EPT = {"name": "ept", "prompt_length": 100}


class Turns:
    """What takes turns, and the milliseconds that each turn took."""

    def __init__(self, turns: dict[str, Callable[[], object]], rounds: int) -> None:
        self.ms: dict[str, list[float]] = {name: [] for name in turns}
        for _ in range(3):
            for turn in turns.values():
                turn()
        order = list(turns)
        for _ in range(rounds):
            random.shuffle(order)
            for name in order:
                start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
                torch.cuda.synchronize()
                start.record()
                turns[name]()
                end.record()
                end.synchronize()
                self.ms[name].append(start.elapsed_time(end))

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


def images_of(size: Size, batch: int) -> Tensor:
    channels = 1 if size.spatial_dims == 3 else 3
    return torch.rand(batch, channels, *(size.img_size,) * size.spatial_dims, device=DEVICE)


def networks_of(size: Size) -> dict[str, nn.Module]:
    """By row; those of inference have a network of their own, so that no mode has to be switched."""
    nets = {"plain": "linear", "ept": EPT, "lora": "lora", "plain, inference": "linear"}
    built: dict[str, nn.Module] = {name: build(size, method, DEVICE) for name, method in nets.items()}
    return built | {"folded, inference": build(size, EPT, DEVICE).fold()}


def rows_of(nets: dict[str, nn.Module], images: Tensor) -> dict[str, Row]:
    rows = {}
    for name, net in nets.items():
        # The plain row's gradient has to reach all layers, as those of the others do.
        seen = images.clone().requires_grad_() if name == "plain" else images
        rows[name] = Row(net, seen, train="inference" not in name, amp=True)
    return rows


def tests() -> list[str]:
    """All tests that need a card."""
    run = subprocess.run([sys.executable, "-m", "pytest", *TESTS, "-p", "no:cacheprovider"], text=True)
    if run.returncode:
        raise AssertionError("tests failed, see above")
    return ["All CUDA tests pass."]


def table(rounds: int = 25) -> list[str]:
    """The steps of whole networks, each beside the same network without prompts."""
    lines = []
    for group in (VIT_B[:3], VIT_B[3:], VOLUMES[:1], VOLUMES[1:]):
        with cleared():
            size = SIZES[group[0][0]]
            nets = networks_of(size)
            for _, batch in group:
                turns = Turns({name: row.turn for name, row in rows_of(nets, images_of(size, batch)).items()}, rounds)
                lines.append(line_of(turns, f"{size.about}, batch {batch}"))
            del nets
    return markdown(lines)


def line_of(turns: Turns, about: str) -> dict[str, str]:
    beside_lora = {"EPT / LoRA": turns.ratio("ept", "lora")} if "lora" in turns.ms else {}
    return {
        "": about,
        "EPT step / plain": turns.ratio("ept", "plain"),
        **beside_lora,
        "folded / plain, inference": turns.ratio("folded, inference", "plain, inference"),
        "plain step, ms": turns.median("plain"),
        "plain inference, ms": turns.median("plain, inference"),
    }


def compiled(rounds: int = 25) -> list[str]:
    """The same under ``torch.compile``: one graph for every batch. Four layers, since compiling takes so long."""
    about = "ViT-B/16 with four layers, 224 px"
    size = Size(lambda: timm.create_model("vit_base_patch16_224", depth=4), 224, 2, 4, about)
    lines = []
    torch._logging.set_logs(recompiles=True)  # says why, where one graph was not enough
    with cleared():
        nets = networks_of(size)
        del nets["lora"]
        graphs: list[str] = []

        def backend(graph, inputs):
            graphs.append("")
            return torch._dynamo.lookup_backend("inductor")(graph, inputs)

        for net in nets.values():
            net.compile(fullgraph=True, backend=backend)
        for batch in (64, 4, 256):
            images = images_of(size, batch)
            rows = rows_of(nets, images)
            for row in rows.values():
                torch._dynamo.mark_dynamic(row.images, 0)
            turns = Turns({name: row.turn for name, row in rows.items()}, rounds)
            lines.append(line_of(turns, f"{size.about}, batch {batch}, compiled"))
    return [*markdown(lines), "", f"{len(graphs)} graphs for {len(nets)} networks and {len(lines)} sizes of a batch."]


def attention(rounds: int = 50) -> list[str]:
    """One layer's attention alone, forward and backward."""
    lines = []
    for batch, heads, tokens in [
        (4, 12, 197),
        (64, 12, 197),
        (256, 12, 197),
        (32, 12, 577),
        (1, 6, 1728),
        (1, 6, 4096),
    ]:
        with cleared():
            qkv = torch.randn(batch, tokens, 3, heads, 64, device=DEVICE, dtype=torch.bfloat16, requires_grad=True)
            gradient = torch.randn(batch, tokens, heads, 64, device=DEVICE, dtype=torch.bfloat16).transpose(1, 2)
            prompt = torch.zeros(tokens, 100, device=DEVICE, requires_grad=True)

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
                rounds,
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


def launches() -> list[str]:
    """Kernels that a layer starts."""
    with cleared():
        size = SIZES["vit_b_224"]
        nets = networks_of(size)
        layers = len(nets["plain"].vit.blocks)
        counts = {}
        for name, row in rows_of(nets, images_of(size, 4)).items():
            row.turn()
            with profile(activities=[ProfilerActivity.CUDA]) as seen:
                row.turn()
                torch.cuda.synchronize()
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


def memory() -> list[str]:
    """Peak memory of a step, against plain attention and against the definition."""
    lines = []
    for name, batch in [("vit_b_384", 32), ("monai_3d_4096", 1)]:
        size = SIZES[name]
        peaks = {}
        for row_name in ("plain", "EPT", "definition"):
            with cleared():
                net = build(size, "linear" if row_name == "plain" else EPT, DEVICE)
                if row_name == "definition":
                    by_definition(net)
                images = images_of(size, batch)
                row = Row(net, images.requires_grad_(row_name == "plain"), train=True, amp=True)
                row.turn()
                row.timed()
                peaks[row_name] = f"{row.peak / 1e6:,.0f}"
                del net, row
        lines.append({"peak MB of a step": f"{size.about}, batch {batch}", **peaks})
    return markdown(lines)


def loop() -> list[str]:
    """Steps of a training beside the bare loop on the same tensors; 0.9 is wanted where views are made of the batch."""
    lines = []
    for batch in (4, 32):
        for augment in (False, True):
            with cleared():
                how = {"epochs": 6, "steps": 20, "augment": augment}
                row = share("vit_base_patch16_224", batch, device=DEVICE, **how)
            lines.append(
                dict(zip(("backbone", "batch", "images", "bare, ms", "training, ms", "ratio"), row, strict=True))
            )
    return markdown(lines)


PARTS: dict[str, Callable[[], list[str]]] = {
    "tests": tests,
    "table": table,
    "attention": attention,
    "launches": launches,
    "memory": memory,
    "loop": loop,
    "compiled": compiled,
}


def markdown(lines: list[dict[str, str]]) -> list[str]:
    return markdown_table([list(lines[0]), *(list(line.values()) for line in lines)]).splitlines()


def driver() -> str:
    run = subprocess.run(
        ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], capture_output=True, text=True
    )
    return run.stdout.split("\n")[0] or "unknown"


def versions() -> str:
    has_mlflow = "with" if importlib.util.find_spec("mlflow") else "without"
    triton = importlib.metadata.version("triton") if importlib.util.find_spec("triton") else "none"
    return (
        f"{torch.cuda.get_device_name()}, driver {driver()}, torch {torch.__version__}, "
        f"cuDNN {torch.backends.cudnn.version()}, Triton {triton}, timm {timm.__version__}, MONAI {monai.__version__}, "
        f"Python {platform.python_version()}, {has_mlflow} MLflow"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="parts to run")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print("gpu_check needs a CUDA card: torch sees none here.")
        return 2
    print(versions(), flush=True)
    failed = []
    for name in args.only:
        start = time.perf_counter()
        print(f"\n## {name}: {(PARTS[name].__doc__ or '').strip()}\n", flush=True)
        try:
            print("\n".join(PARTS[name]()), flush=True)
        except Exception:
            traceback.print_exc()
            failed.append(name)
        print(f"\n({time.perf_counter() - start:.0f} s)", flush=True)
    print(f"\nFailed: {', '.join(failed)}." if failed else "\nAll parts went well.")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
