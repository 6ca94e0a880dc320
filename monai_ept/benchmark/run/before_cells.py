# SPDX-License-Identifier: Apache-2.0

"""All that can be wrong with a sweep, found before the first cell and before anything is written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from monai_ept.benchmark.plan.cell import Cell
from monai_ept.benchmark.plan.expand import sweep_cells
from monai_ept.benchmark.plan.report_settings import check_report_settings
from monai_ept.benchmark.plan.sweep_file import Sweep
from monai_ept.benchmark.run.cost_estimate import CostModel
from monai_ept.benchmark.run.sweep_folder import SweepFolder
from monai_ept.metrics.classification import metric_names
from monai_ept.networks.device import usable_device

__all__ = ["CheckedSweep", "check_sweep"]


class CheckedSweep(NamedTuple):
    """The cells of a sweep, its folder, and what is known of its cost."""

    cells: list[Cell]
    folder: SweepFolder
    cost: CostModel


def check_sweep(
    sweep: Sweep,
    out: str | os.PathLike | None = None,
    *,
    threads: int = 1,
    device: str | None = None,
    here: bool = True,
    again: bool = False,
) -> CheckedSweep:
    """
    Expand a sweep and see that its cells can be run.

    Args:
        out: its folder, ``runs/<name>`` by default.
        here: on this machine, so that data, weights and device must be here.
        again: failed cells are run again.

    Raises:
        ValueError: when a setting, the data, a network, the device or the folder will not do.
        OSError: when something cannot be read.
    """
    cells = sweep_cells(sweep)
    check_report_settings(sweep, cells)
    folder = SweepFolder(Path("runs") / sweep.name if out is None else out)
    folder.check(sweep)
    cost = CostModel(cells, threads)
    todo = folder.open_cells(cells, again)
    for cell in todo:
        folder.check_defaults(cell)
    if here:
        usable_device(device)
        metrics = {source: metric_names(data.task) for source, data in cost.look(todo).items()}
        check_report_settings(sweep, cells, metrics)
    return CheckedSweep(cells, folder, cost)
