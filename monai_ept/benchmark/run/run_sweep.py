# SPDX-License-Identifier: Apache-2.0

"""Runs a sweep: what is not done yet, here or on a Ray cluster, with progress and a record of everything."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from monai_ept.benchmark.plan.expand import sweep_cells
from monai_ept.benchmark.plan.sweep_file import Sweep
from monai_ept.benchmark.run.sweep_folder import SweepFolder
from monai_ept.checks import check_whole

__all__ = ["SweepSummary", "core_shares", "run_sweep"]


class SweepSummary(NamedTuple):
    """How a sweep went: counts of its cells, of those that this call has ``run``, and the seconds that it took."""

    folder: Path
    total: int
    finished: int
    failed: int
    run: int
    seconds: float


def run_sweep(
    sweep: Sweep,
    out: str | os.PathLike | None = None,
    *,
    workers: int | None = None,
    threads: int | None = None,
    ray: str | bool | None = None,
    track: bool = True,
    tracking_uri: str | None = None,
    experiment: str | None = None,
    retry_failed: bool = False,
    cache: str | os.PathLike | None = None,
    device: str | None = None,
    progress: bool = True,
) -> SweepSummary:
    """
    Run the cells of a sweep that are not done.

    It may be stopped at any time, by whatever means, and called again.

    Args:
        sweep: what to do.
        out: the sweep's folder, ``runs/<name>`` by default.
        workers: processes on this machine; one per core by default.
        threads: threads of each; what the cores allow by default.
        ray: address of a Ray cluster, or True for the one that this machine belongs to.
        track: record cells in MLflow.
        tracking_uri: where MLflow is.
        experiment: MLflow experiment; the cell's source by default.
        retry_failed: run failed cells again.
        cache: folder of decoded images, ``<out>/images`` by default.
        device: where cells are trained.
        progress: show it.

    Raises:
        ValueError: when the folder holds another sweep, or another process is running this one.
        ImportError: when Ray is asked for and not installed.
    """
    from monai_ept.benchmark.run.cost_estimate import CostModel
    from monai_ept.benchmark.run.mlflow_record import Recorder
    from monai_ept.benchmark.run.sweep_progress import SweepProgress
    from monai_ept.tracking.process_lock import ProcessLock

    began = time.time()
    workers, threads = core_shares(workers, threads)
    cells = sweep_cells(sweep)
    folder = SweepFolder(out if out is not None else Path("runs") / sweep.name)
    folder.path.mkdir(parents=True, exist_ok=True)
    lock = ProcessLock(folder.path / ".lock")
    if not lock.acquire():
        raise ValueError(
            f"another process is running the sweep in {folder.path}: wait for it, or choose another --out."
        )
    with ExitStack() as stack:
        stack.callback(lock.release)
        folder.begin(sweep)
        results = {cell.id: folder.result(cell) for cell in cells}
        open_again = (None, "failed") if retry_failed else (None,)
        todo = [cell for cell in cells if _status(results[cell.id]) in open_again]
        recorder = Recorder(folder, sweep.name, tracking_uri, experiment) if track else None
        if recorder is not None:
            stack.callback(recorder.close)
            for cell in cells:
                if cell not in todo and not (results[cell.id] or {}).get("run_id"):
                    recorder.put(cell)
        for cell in todo:
            folder.describe(cell)
        cost = CostModel(cells, threads)
        if progress and todo:
            try:
                cost.prepare()
            except (ValueError, OSError) as error:  # the cells will say the same, each for itself
                print(f"the cost cannot be estimated: {str(error).splitlines()[0]}", file=sys.stderr)
        done = sum(_status(result) == "finished" for result in results.values())
        pool = _pool(ray, workers, threads, cache or folder.path / "images", device)
        view = SweepProgress(len(cells), done, cost, pool) if progress else None
        left = {cell.id: cell for cell in todo}
        stack.enter_context(_stoppable())
        stack.enter_context(pool)
        for event in pool.run(todo):
            running = pool.running
            for cell, _ in running:
                left.pop(cell.id, None)
            if event is None:
                if view is not None:
                    view.show(list(left.values()), running)
                continue
            cell, outcome = event
            left.pop(cell.id, None)
            folder.write(cell, outcome.result, outcome.predictions)
            results[cell.id] = outcome.result
            if outcome.result["status"] == "finished":
                cost.measured(cell, outcome.result["seconds"]["total"])
            if recorder is not None:
                recorder.put(cell)
            if view is not None:
                view.finished(cell, outcome.result, list(left.values()), running)
        if view is not None:
            view.close()
    states = [_status(result) for result in results.values()]
    return SweepSummary(
        folder.path, len(cells), states.count("finished"), states.count("failed"), len(todo), time.time() - began
    )


def _status(result: dict[str, Any] | None) -> str | None:
    return None if result is None else result["status"]


def core_shares(workers: int | None, threads: int | None) -> tuple[int, int]:
    """Processes and threads of each: one process per core, unless it is said otherwise."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = check_whole("workers", cores if workers is None else workers)
    return workers, check_whole("threads", max(1, cores // workers) if threads is None else threads)


def _pool(ray: str | bool | None, workers: int, threads: int, cache: Any, device: str | None) -> Any:
    if ray is None or ray is False:
        from monai_ept.benchmark.run.local_pool import LocalPool

        return LocalPool(workers, threads=threads, cache=cache, device=device)
    from monai_ept.benchmark.run.ray_pool import RayPool

    return RayPool(None if ray is True else ray, threads=threads, device=device)


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM ends a sweep as Ctrl-C does: workers are ended, and what is done stays."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
