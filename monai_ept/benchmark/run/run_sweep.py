# SPDX-License-Identifier: Apache-2.0

"""Runs a sweep: what is not done yet, here or on a Ray cluster, with progress and a record of everything."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from monai_ept.benchmark.plan.sweep_file import Sweep
from monai_ept.benchmark.run.local_pool import CELL_TIMEOUT, LocalPool
from monai_ept.checks import check_number, check_whole
from monai_ept.files import usable_folder

__all__ = ["SweepSummary", "core_shares", "run_sweep"]


class SweepSummary(NamedTuple):
    """
    How a sweep went: counts of its cells, of those that this call has ``run``, the seconds that it took, and why cells
    have failed: how many by each error.
    """

    folder: Path
    total: int
    finished: int
    failed: int
    run: int
    seconds: float
    errors: Mapping[str, int] = MappingProxyType({})


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
    cell_timeout: float = CELL_TIMEOUT,
    progress: bool = True,
) -> SweepSummary:
    """
    Run the cells of a sweep that are not done.

    It may be stopped at any time, by whatever means, and called again. Everything is checked before the first cell, and
    before anything is written: the file, the data, the networks, the device, the folder and the addresses.

    Args:
        out: the sweep's folder, ``runs/<name>`` by default.
        workers: processes on this machine; one per core by default.
        threads: threads of each; what the cores allow by default.
        ray: address of a Ray cluster, or True for the one that this machine belongs to.
        experiment: MLflow experiment; the cell's source by default.
        retry_failed: run failed cells again.
        cache: folder of decoded images, ``<out>/images`` by default.
        cell_timeout: seconds after which a cell is ended and has failed.

    Raises:
        ValueError: when something of the sweep cannot be, the folder holds another, or another process is running this.
        ImportError: when Ray is asked for and not installed.
        ConnectionError: when there is no Ray cluster, or it does not answer.
        OSError: when the folder cannot be written.
    """
    from monai_ept.benchmark.run.before_cells import check_sweep
    from monai_ept.benchmark.run.mlflow_record import Recorder, checked_store
    from monai_ept.benchmark.run.sweep_progress import SweepProgress
    from monai_ept.tracking.process_lock import ProcessLock

    began = time.time()
    workers, threads = core_shares(workers, threads)
    check_number("cell_timeout", cell_timeout, above=0, below=1e9)
    here = ray is None or ray is False
    cells, folder, cost = check_sweep(sweep, out, threads=threads, device=device, here=here, again=retry_failed)
    store = checked_store(tracking_uri, experiment) if track else None
    pool = _pool(ray, workers, threads, cache or folder.path / "images", device, cell_timeout)
    with ExitStack() as stack:
        stack.enter_context(pool)
        usable_folder(folder.path)
        lock = ProcessLock(folder.path / ".lock")
        if not lock.acquire():
            raise ValueError(
                f"another process is running the sweep in {folder.path}: wait for it, or choose another --out."
            )
        stack.callback(lock.release)
        folder.begin(sweep)
        todo = folder.open_cells(cells, retry_failed)
        results = {cell.id: folder.result(cell) for cell in cells}
        recorder = Recorder(folder, sweep.name, store, experiment) if track else None
        if recorder is not None:
            stack.callback(recorder.close)
            waiting = {cell.id for cell in todo}
            for cell in cells:
                if cell.id not in waiting and not (results[cell.id] or {}).get("run_id"):
                    recorder.put(cell)
        for cell in todo:
            folder.describe(cell)
        if progress and todo:
            try:
                cost.prepare()
            except (ValueError, OSError) as error:  # of a cluster whose data are elsewhere
                print(f"the cost cannot be estimated: {str(error).splitlines()[0]}", file=sys.stderr)
        done = sum(_status(result) == "finished" for result in results.values())
        view = SweepProgress(len(cells), done, cost, pool) if progress else None
        left = {cell.id: cell for cell in todo}
        stack.enter_context(_stoppable())
        stack.enter_context(pool)  # again, so that its processes end before their records are waited for
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
        if recorder is not None:
            recorder.completed = True
    states = [_status(result) for result in results.values()]
    errors = Counter(str(result.get("error")) for result in results.values() if result and _status(result) == "failed")
    return SweepSummary(
        folder.path,
        len(cells),
        states.count("finished"),
        states.count("failed"),
        len(todo),
        time.time() - began,
        dict(errors.most_common()),
    )


def _status(result: Mapping[str, Any] | None) -> str | None:
    return None if result is None else result["status"]


def core_shares(workers: int | None, threads: int | None) -> tuple[int, int]:
    """Processes and threads of each: one process per core, unless it is said otherwise."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = check_whole("workers", cores if workers is None else workers)
    return workers, check_whole("threads", max(1, cores // workers) if threads is None else threads)


def _pool(
    ray: str | bool | None, workers: int, threads: int, cache: Any, device: str | None, cell_timeout: float
) -> Any:
    if ray is None or ray is False:
        return LocalPool(workers, threads=threads, cache=cache, device=device, cell_timeout=cell_timeout)
    from monai_ept.benchmark.run.ray_pool import RayPool

    return RayPool(None if ray is True else ray, threads=threads, device=device, cell_timeout=cell_timeout)


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
