# SPDX-License-Identifier: Apache-2.0

"""``monai-ept benchmark run``."""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING

from monai_ept.command_line import Command, add_tracking_uri

if TYPE_CHECKING:
    from monai_ept.benchmark.plan.cell import Cell
    from monai_ept.benchmark.plan.sweep_file import Sweep

__all__ = ["COMMAND"]

PASSED_ON = ["workers", "threads", "ray", "track", "tracking_uri", "experiment", "retry_failed", "cache", "device"]
PASSED_ON += ["cell_timeout"]
CENTURY = 100 * 365.25 * 86_400
REASONS = 3
"""Different errors of failed cells that are told."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", help="YAML file that says what to run, see docs/benchmark.md and `monai-ept sweep`")
    parser.add_argument("--out", help="the sweep's folder (runs/<name>); what is done there is not repeated")
    parser.add_argument("--dry-run", action="store_true", help="show the cells and what they will cost")
    parser.add_argument("--retry-failed", action="store_true", help="run cells again that failed")
    change = "change the sweep, for example recipe.epochs=5"
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=change)
    record = parser.add_argument_group("the record in MLflow")
    record.add_argument("--track", action=argparse.BooleanOptionalAction, default=True, help="record in MLflow (yes)")
    add_tracking_uri(record)
    record.add_argument("--experiment", help="MLflow experiment (the cell's source)")
    machine = parser.add_argument_group("the machine")
    machine.add_argument("--workers", type=int, help="processes on this machine (one per core)")
    machine.add_argument("--threads", type=int, help="threads of each (what the cores allow)")
    machine.add_argument("--device", help="where cells are trained (a CUDA card if there is one)")
    machine.add_argument("--ray", nargs="?", const=True, metavar="ADDRESS", help="run the cells on a Ray cluster")
    limit = "seconds after which a cell is ended and has failed (%(default).0f, a day)"
    machine.add_argument("--cell-timeout", type=float, default=86_400.0, metavar="SECONDS", help=limit)
    machine.add_argument("--cache", help="folder of decoded images (images/ in the sweep's folder)")


def _run(args: argparse.Namespace) -> None:
    """Run a sweep, or show what it is."""
    from monai_ept.benchmark.plan.sweep_file import read_sweep
    from monai_ept.benchmark.run.run_sweep import run_sweep

    sweep = read_sweep(args.sweep, args.set, begun_in=args.out)
    if args.dry_run:
        print(_plan(sweep, args))
        return
    try:
        summary = run_sweep(sweep, args.out, **{name: getattr(args, name) for name in PASSED_ON})
    except KeyboardInterrupt:
        raise SystemExit("\nstopped; the same command goes on from here.") from None
    took = _time(summary.seconds)
    print(f"{summary.finished} of {summary.total} cells finished; {summary.run} run now, in {took}.")
    print(summary.folder)
    if summary.failed:
        reasons = [f"{error} ({number}×)" for error, number in summary.errors.items()]
        reasons[REASONS:] = [f"{len(reasons) - REASONS} other errors"] * (len(reasons) > REASONS)
        which = f"{summary.failed} of {summary.total} cells have failed: {'; '.join(reasons)}"
        print(f"monai-ept benchmark run: {which}; --retry-failed tries them again.", file=sys.stderr)
        raise SystemExit(1)


def _plan(sweep: Sweep, args: argparse.Namespace) -> str:
    """The cells by method, and what they cost."""
    from monai_ept.benchmark.run.before_cells import check_sweep
    from monai_ept.benchmark.run.run_sweep import core_shares

    workers, threads = core_shares(args.workers, args.threads)
    cells, folder, cost = check_sweep(sweep, args.out, threads=threads, device=args.device, here=args.ray is None)
    cost.prepare()
    by_label: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        by_label[cell.label].append(cell)
    width = max(map(len, by_label))
    lines = [f"sweep {sweep.name}: {len(cells)} cells"]
    lines.append(f"  sources    {', '.join(source['label'] for source in sweep.sources)}")
    lines.append(f"  backbones  {', '.join(backbone['name'] for backbone in sweep.backbones)}")
    lines.append(f"  shots      {', '.join(map(str, sweep.shots))}")
    lines.append(f"  samplings  {', '.join(map(str, sweep.samplings))}; seeds {', '.join(map(str, sweep.seeds))}")
    if sweep.recipes:
        lines.append(f"  recipes    {', '.join(recipe['label'] for recipe in sweep.recipes)}")
    lines.append("  methods")
    for label, mine in by_label.items():
        grid = {str(cell.grid) for cell in mine if cell.grid}
        chosen = f"  grid of {len(grid)}, chosen on val" if grid else ""
        lines.append(f"    {label:<{width}}  {len(mine):4d} cells  {_time(cost.left(mine)):>9} of a worker{chosen}")
    done = len(cells) - len(folder.open_cells(cells))
    lines.append(
        f"about {_time(cost.left(cells) / workers)} with {workers} worker{'s' * (workers > 1)} of {threads} "
        f"thread{'s' * (threads > 1)}, {cost.disk() / 2**20:.0f} MB on disk; {done} cells are done in {folder.path}."
    )
    return "\n".join(lines)


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds))) if seconds < CENTURY else "more than a century"


COMMAND = Command(
    "benchmark run",
    "Run the cells of a sweep that are not done yet. Stopped or killed, the same command goes on where it was.",
    _add_arguments,
    _run,
)
