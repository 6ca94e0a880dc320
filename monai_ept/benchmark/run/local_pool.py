# SPDX-License-Identifier: Apache-2.0

"""Worker processes of this machine: each gets cells through a pipe and sends back what came out."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from monai_ept.benchmark.plan.cell import Cell

__all__ = ["LocalPool"]


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    ready: bool = False
    cell: Cell | None = None
    began: float = 0.0


class LocalPool(AbstractContextManager):
    """
    Runs cells in long-lived processes of this machine.

    A process that dies takes its cell along, which then has failed, and another takes its place.

    Args:
        workers: number of processes.
        threads: threads of each.
        cache: folder of decoded images.
        device: where cells are trained.
    """

    def __init__(self, workers: int, *, threads: int = 1, cache: str | os.PathLike, device: str | None = None) -> None:
        self._context = _context()
        self._arguments = (str(Path(cache).absolute()), threads, device)
        self._wanted = workers
        self._workers: list[_Worker] = []

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
            cells: what to do.
            pause: seconds after which None comes, for whoever shows progress.

        Yields:
            a cell and its ``Outcome``, or None when nothing has happened for a while.
        """
        waiting = list(reversed(cells))
        for _ in range(min(self._wanted, len(waiting))):
            self._start()
        while waiting or self.running:
            for worker in self._workers:
                if worker.ready and worker.cell is None and waiting:
                    worker.cell, worker.began = waiting.pop(), time.time()
                    with suppress(OSError):  # it has died, which its sentinel will say
                        worker.pipe.send(worker.cell)
            handles: list[Any] = [thing for worker in self._workers for thing in (worker.pipe, worker.process.sentinel)]
            happened = wait(handles, timeout=pause)
            if not happened:
                yield None
            for worker in [w for w in self._workers if w.pipe in happened or w.process.sentinel in happened]:
                yield from self._hear(worker, bool(waiting))

    def __exit__(self, *_: object) -> None:
        """End all workers at once; a cell at work is lost."""
        for worker in self._workers:
            worker.process.kill() if worker.cell is not None else worker.process.terminate()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()
        self._workers = []

    def _start(self) -> None:
        ours, theirs = self._context.Pipe()
        arguments = (theirs, *self._arguments, dict(os.environ))
        process = self._context.Process(target=_work, args=arguments, daemon=True)
        process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours))

    def _hear(self, worker: _Worker, more: bool) -> Iterator[tuple[Cell, Any]]:
        try:
            message = worker.pipe.recv() if worker.pipe.poll() else None
            if message is None and worker.process.is_alive():
                worker.ready = True
                return
        except (EOFError, OSError):
            message = None
        if message is not None:
            cell, worker.cell = worker.cell, None
            assert cell is not None
            yield cell, message
            return
        worker.process.join()
        worker.pipe.close()
        self._workers.remove(worker)
        if worker.cell is not None:
            from monai_ept.benchmark.run.train_cell import failure

            yield worker.cell, failure(worker.cell, _death(worker.process.exitcode), worker.began)
        elif not worker.ready:
            raise ChildProcessError(f"a worker could not start: {_death(worker.process.exitcode)}")
        if more:
            self._start()


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
