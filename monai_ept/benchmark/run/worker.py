# SPDX-License-Identifier: Apache-2.0

"""A worker process: it gets cells through a pipe and sends back what came out."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection, wait
from typing import Any

from monai_ept.benchmark.plan.cell import Cell

__all__ = ["work", "work_on"]


def work(
    pipe: Connection, cache: str, threads: int, device: str | None, environ: Mapping[str, str] | None = None
) -> None:
    """
    The main function of a worker process; it ends when its parent does.

    Args:
        pipe: cells come in and outcomes go out; None ends it.
        cache: folder of decoded images.
        threads: of torch.
        device: where cells are trained.
        environ: environment variables of the parent, which a server of processes has as they were when it began.
    """
    # Ctrl-C reaches all processes of a terminal: what is to become of the workers, the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update(environ or {})

    import torch

    from monai_ept.benchmark.run.worker_cache import Workbench

    torch.set_num_threads(threads)
    logging.disable(logging.ERROR)  # what goes wrong is written into the result, with its traceback
    bench = Workbench(cache, device)
    pipe.send(None)  # ready
    frozen = False
    while True:
        try:
            cell = pipe.recv()
        except EOFError:
            return
        if cell is None:
            return
        pipe.send(work_on(cell, bench))
        if not frozen:
            gc.freeze()  # each cell begins with a collection, which need not look at all of torch each time
            frozen = True


def work_on(cell: Cell, bench: Any) -> Any:
    """The outcome of a cell; an error is one too."""
    from monai_ept.benchmark.run.train_cell import failure, run_cell

    began = time.time()
    try:
        return run_cell(cell, bench)
    except Exception as error:
        return failure(cell, error, began, traceback.format_exc())


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
