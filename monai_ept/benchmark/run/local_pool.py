# SPDX-License-Identifier: Apache-2.0

"""Worker processes of this machine: each gets cells through a pipe and sends back what came out."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from monai_ept.benchmark.plan.cell import Cell

__all__ = ["CELL_TIMEOUT", "LocalPool", "too_long"]

CELL_TIMEOUT = 24 * 3600.0
"""Seconds after which a cell is ended, unless a sweep is run with another limit."""
START_TIMEOUT = 600.0
"""Seconds that a worker may take to import everything."""
GLANCE = 30.0
"""Seconds that count at most between two looks at a worker: a sweep that slept for a night ends no cell for that."""

_READY = object()
_GONE = object()


@dataclass(eq=False)
class _Worker:
    process: Any
    pipe: Connection
    ready: bool = False
    cell: Cell | None = None
    began: float = 0.0
    spent: float = 0.0  # seconds at its cell, or at its start
    over: bool = False  # it has had its time


class LocalPool(AbstractContextManager):
    """
    Runs cells in long-lived processes of this machine.

    A process that dies takes its cell along, which then has failed, and another takes its place.

    Args:
        cell_timeout: seconds after which a cell is ended, with its process.
    """

    def __init__(
        self,
        workers: int,
        *,
        threads: int = 1,
        cache: str | os.PathLike,
        device: str | None = None,
        cell_timeout: float = CELL_TIMEOUT,
    ) -> None:
        self._context = _context()
        self._arguments = (str(Path(cache).absolute()), threads, device)
        self._wanted = workers
        self._timeout = cell_timeout
        self._workers: list[_Worker] = []
        self._heard: queue.SimpleQueue[tuple[_Worker, Any]] = queue.SimpleQueue()

    @property
    def running(self) -> list[tuple[Cell, float]]:
        """Cells at work, and since when."""
        return [(worker.cell, worker.began) for worker in self._workers if worker.cell is not None]

    @property
    def slots(self) -> int:
        """How many cells there are at once."""
        return self._wanted

    def run(self, cells: Sequence[Cell], pause: float = 0.5) -> Iterator[tuple[Cell, Any] | None]:
        """
        Run cells in order, as workers come free.

        Args:
            pause: seconds after which None comes, for whoever shows progress.

        Yields:
            a cell and its ``Outcome``, or None when nothing has happened for a while.
        """
        waiting = list(reversed(cells))
        for _ in range(min(self._wanted, len(waiting))):
            self._start()
        looked = time.monotonic()
        while waiting or self.running:
            for worker in self._workers:
                if worker.ready and not worker.over and worker.cell is None and waiting:
                    worker.cell, worker.began, worker.spent = waiting.pop(), time.time(), 0.0
                    with suppress(OSError):  # it has died, which its listener will say
                        worker.pipe.send(worker.cell)
            before, looked = looked, time.monotonic()
            self._end_what_takes_too_long(min(looked - before, GLANCE))
            try:
                worker, message = self._heard.get(timeout=pause)
            except queue.Empty:
                yield None
            else:
                yield from self._hear(worker, message, bool(waiting))

    def __exit__(self, *_: object) -> None:
        """End all workers at once; a cell at work is lost."""
        for worker in self._workers:
            worker.process.kill()  # a process that somebody has stopped hears nothing else
        for worker in self._workers:
            worker.process.join()
        self._workers = []

    def _start(self) -> None:
        ours, theirs = self._context.Pipe()
        arguments = (theirs, *self._arguments, dict(os.environ))
        process = self._context.Process(target=_work, args=arguments, daemon=True)
        process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        # In a thread, since a worker may stop in the middle of what it sends.
        threading.Thread(target=_listen, args=(worker, self._heard), daemon=True).start()

    def _end_what_takes_too_long(self, seconds: float) -> None:
        for worker in self._workers:
            if worker.cell is not None or not worker.ready:
                worker.spent += seconds
                worker.over = worker.spent > (self._timeout if worker.ready else START_TIMEOUT)
                if worker.over:
                    worker.process.kill()

    def _hear(self, worker: _Worker, message: Any, more: bool) -> Iterator[tuple[Cell, Any]]:
        if worker not in self._workers:
            return  # of a pool that was left
        cell, worker.cell = worker.cell, None
        if message is _READY:
            worker.ready = True
        elif message is not _GONE:
            assert cell is not None
            yield cell, message
        else:
            worker.process.join()
            self._workers.remove(worker)
            died = _death(worker.process.exitcode)
            if cell is not None:
                from monai_ept.benchmark.run.train_cell import failure

                yield cell, failure(cell, too_long(self._timeout) if worker.over else died, worker.began)
            elif not worker.ready:
                why = f"it took more than {timedelta(seconds=START_TIMEOUT)}." if worker.over else died
                raise ChildProcessError(f"a worker could not start: {why}")
            if more:
                self._start()


def too_long(seconds: float) -> str:
    """Why a cell has failed that was ended."""
    limit = timedelta(seconds=seconds)
    return f"TimeoutError: it was not done after {limit} and was ended: --cell-timeout gives cells more time."


def _listen(worker: _Worker, heard: queue.SimpleQueue[tuple[_Worker, Any]]) -> None:
    """Hand on what a worker sends, and that it is gone."""
    try:
        while True:
            message = worker.pipe.recv()
            heard.put((worker, _READY if message is None else message))
    except Exception:  # its end, or half a message
        heard.put((worker, _GONE))
        worker.pipe.close()


def _context() -> Any:
    """Processes from a server that has imported everything once, where there is such a thing."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["monai_ept.benchmark.run.train_cell"])
    return context


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = ", perhaps because memory ran out" if name == "SIGKILL" else ""
        return f"the worker process was ended by {name}{hint}."
    return f"the worker process ended by itself with status {code}."


def _work(pipe: Connection, cache: str, threads: int, device: str | None, environ: Mapping[str, str]) -> None:
    """The main function of a worker; a server of processes has the environment as it was when that began."""
    # Ctrl-C reaches all processes of a terminal: what is to become of the workers, the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update(environ)

    import torch

    from monai_ept.benchmark.run.train_cell import work_on
    from monai_ept.benchmark.run.worker_cache import Workbench

    torch.set_num_threads(threads)
    logging.disable(logging.ERROR)  # what goes wrong is written into the result, with its traceback
    bench = Workbench(cache, device)
    pipe.send(None)  # ready
    with suppress(EOFError):
        pipe.send(work_on(pipe.recv(), bench))
        gc.freeze()  # each cell begins with a collection, which need not look at all of torch each time
        while True:
            pipe.send(work_on(pipe.recv(), bench))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
