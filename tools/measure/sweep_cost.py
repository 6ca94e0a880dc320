# SPDX-License-Identifier: Apache-2.0

"""What a sweep saves by computing frozen work once: the same cells with and without it, side by side.

    python tools/measure/sweep_cost.py
    python tools/measure/sweep_cost.py --backbone vit_tiny_patch16_224 --img-size 224 --epochs 20

Pictures are drawn into PNG files first, so that decoding is decoding. Seconds are those of the CPU, which other
programs on the machine do not change. The largest difference of a predicted probability stands beside them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from monai_ept.benchmark.plan.expand import sweep_cells
from monai_ept.benchmark.plan.sweep_file import sweep_from
from monai_ept.benchmark.run.train_cell import run_cell
from monai_ept.benchmark.run.worker_cache import Workbench

METHODS = ("linear", "mlp", "partial", "damp", "ept")


def main() -> None:
    parser = argparse.ArgumentParser(description="what a sweep saves by computing frozen work once")
    parser.add_argument("--backbone", default="vit_tiny_patch16_224", help="(%(default)s)")
    parser.add_argument("--img-size", type=int, default=112, help="(%(default)s)")
    parser.add_argument("--shots", type=int, nargs="+", default=[1], help="(%(default)s)")
    parser.add_argument("--samplings", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--epochs", type=int, default=20, help="(%(default)s)")
    parser.add_argument("--test", type=int, default=15, help="test pictures of each of the seven classes (%(default)s)")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help="(all of %(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{'training images':<16}{'method':<10}{'cells':>6}{'apart':>9}{'together':>10}{'saved':>7}{'difference':>12}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for augment in (False, True):
            measure(args, Path(folder), augment)


def measure(args: argparse.Namespace, folder: Path, augment: bool) -> None:
    """One half of the table."""
    cells = sweep_cells(
        sweep_from(
            {
                "name": "cost",
                "sources": [
                    {
                        "name": "synthetic_derm",
                        "num_per_class": 30,
                        "num_test_per_class": args.test,
                        "img_size": 224,
                        "cache_dir": str(folder / "files"),
                    }
                ],
                "backbones": [{"name": args.backbone, "img_size": args.img_size}],
                "shots": args.shots,
                "samplings": args.samplings,
                "recipe": {"epochs": args.epochs, "augment": augment},
                "methods": args.methods,
            }
        )
    )
    seconds: dict[tuple[str, bool], float] = defaultdict(float)
    predicted: dict[tuple[str, bool], np.ndarray] = {}
    for reuse in (False, True):
        bench = Workbench(folder / f"images-{augment}", "cpu", reuse=reuse)
        torch.manual_seed(0)  # the backbone's random weights
        bench.data(cells[0])
        bench.backbone(cells[0], 3)
        for cell in cells:
            began = time.process_time()
            outcome = run_cell(cell, bench)
            seconds[cell.label, reuse] += time.process_time() - began
            assert outcome.predictions is not None
            predicted[cell.id, reuse] = outcome.predictions["probabilities"]
    total = [0.0, 0.0]
    for method in args.methods:
        names = [cell.id for cell in cells if cell.label == method]
        apart, together = seconds[method, False], seconds[method, True]
        total = [total[0] + apart, total[1] + together]
        far = max(float(np.abs(predicted[name, False] - predicted[name, True]).max()) for name in names)
        _row(augment, method, len(names), apart, together, f"{far:.0e}")
    _row(augment, "all", len(cells), *total, "")


def _row(augment: bool, method: str, cells: int, apart: float, together: float, far: str) -> None:
    kind = "augmented" if augment else "as they are"
    print(
        f"{kind:<16}{method:<10}{cells:>6}{apart:>7.1f} s{together:>8.1f} s{1 - together / apart:>7.0%}{far:>12}",
        flush=True,
    )


if __name__ == "__main__":
    main()
