# SPDX-License-Identifier: Apache-2.0

"""Cells as tasks of a Ray cluster."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from monai.utils import optional_import

from monai_ept.benchmark.plan.cell import Cell
from monai_ept.benchmark.run.local_pool import CELL_TIMEOUT, too_long

__all__ = ["RayPool"]

MAX_RETRIES = 3
"""How often a cell is begun anew after its node, or its process, has died."""

CONNECT_TIMEOUT = 60.0
"""Seconds that a cluster has to answer in; Ray itself would try for a quarter of an hour."""
_TRY = "import sys, ray; ray.init(sys.argv[1], log_to_driver=False, logging_level='CRITICAL', configure_logging=False)"


class RayPool(AbstractContextManager):
    """
    Runs cells on a Ray cluster; it is used as ``LocalPool`` is.

    Nodes need monai_ept and the data (docs/benchmark.md), and decode images into a temporary folder each. A cell whose
    node dies is done again on another.

    Args:
        address: of the cluster; None for the one that this machine belongs to.
        threads: CPUs of a cell.
        device: where cells are trained; a GPU each, if the cluster has some and it is not "cpu".
        cell_timeout: seconds after which a cell is ended, counted from when it was sent out.

    Raises:
        ImportError: when Ray is not installed.
        ConnectionError: when there is no cluster, or it does not answer.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        threads: int = 1,
        device: str | None = None,
        cell_timeout: float = CELL_TIMEOUT,
    ) -> None:
        self._ray, there = optional_import("ray")
        if not there:
            raise ImportError("--ray needs Ray, which is not installed: pip install 'monai_ept[ray]'.")
        self._ours = not self._ray.is_initialized()
        if self._ours:
            _see_that_it_answers(address)
            try:
                self._ray.init(address or "auto", log_to_driver=False, logging_level="ERROR", configure_logging=False)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise _no_cluster(address, str(error)) from None
        self._threads = threads
        self._device = device
        self._timeout = cell_timeout
        self._flying: dict[Any, tuple[Cell, float]] = {}

    @property
    def running(self) -> list[tuple[Cell, float]]:
        """Cells that were sent out, and when."""
        return list(self._flying.values())

    @property
    def slots(self) -> int:
        """How many cells the cluster does at once, as it is now."""
        there = self._ray.cluster_resources()
        slots = int(there.get("CPU", 0) // self._threads)
        if self._gpus(there):
            slots = min(slots, int(there["GPU"]))
        return max(slots, 1)

    def run(self, cells: Sequence[Cell], pause: float = 0.5) -> Iterator[tuple[Cell, Any] | None]:
        """As ``LocalPool.run``."""
        from monai_ept.benchmark.run.train_cell import failure

        task = self._ray.remote(
            num_cpus=self._threads, num_gpus=self._gpus(self._ray.cluster_resources()), max_retries=MAX_RETRIES
        )(_cell)
        waiting = list(reversed(cells))
        while waiting or self._flying:
            while waiting and len(self._flying) < self.slots:
                cell = waiting.pop()
                sent = task.remote(cell, self._threads, self._device, _variables(cell))
                self._flying[sent] = (cell, time.time())
            ready, _ = self._ray.wait(list(self._flying), timeout=pause)
            if not ready:
                yield None
            for one, (cell, began) in list(self._flying.items()):
                if one not in ready and time.time() - began > self._timeout:
                    self._ray.cancel(one, force=True)
                    del self._flying[one]
                    yield cell, failure(cell, too_long(self._timeout), began)
            for one in ready:
                cell, began = self._flying.pop(one)
                try:
                    outcome = self._ray.get(one)
                except self._ray.exceptions.RayError as error:  # its node or its process died, again and again
                    text = str(error).strip() or type(error).__name__
                    outcome = failure(cell, f"{type(error).__name__}: {text.splitlines()[0]}", began, text)
                yield cell, outcome

    def __exit__(self, *_: object) -> None:
        """Cancel what is not done, and leave the cluster."""
        for one in self._flying:
            self._ray.cancel(one, force=True)
        self._flying = {}
        if self._ours:
            self._ray.shutdown()

    def _gpus(self, there: Mapping[str, float]) -> int:
        return int(there.get("GPU", 0) >= 1 and self._device != "cpu")


def _see_that_it_answers(address: str | None) -> None:
    """Connect in a process that can be ended: Ray tries for long, and not always lets itself be interrupted."""
    if address == "local":
        return
    try:
        subprocess.run(
            [sys.executable, "-c", _TRY, address or "auto"],
            timeout=CONNECT_TIMEOUT,
            check=True,
            capture_output=True,
            text=True,
        )
    except subprocess.TimeoutExpired:
        raise _no_cluster(address, f"no answer within {CONNECT_TIMEOUT:g} seconds") from None
    except subprocess.CalledProcessError as error:
        said = str(error.stderr).strip().splitlines() or [f"Ray ended with status {error.returncode}"]
        raise _no_cluster(address, said[-1]) from None


def _no_cluster(address: str | None, why: str) -> ConnectionError:
    where = f"at {address}" if address else "on this machine"
    reason = why.strip().splitlines()[0] if why.strip() else "Ray does not say why"
    return ConnectionError(f"there is no Ray cluster {where} ({reason[:200]}): start one, 'ray start --head'.")


_benches: dict[str | None, Any] = {}
"""What a process of the cluster keeps from one cell to the next."""


def _cell(cell: Cell, threads: int, device: str | None, variables: Mapping[str, str]) -> Any:
    """The task."""
    import dataclasses
    import logging

    import torch
    from ray import get_runtime_context

    from monai_ept.benchmark.run.train_cell import work_on
    from monai_ept.benchmark.run.worker_cache import Workbench

    for name, value in variables.items():
        os.environ.setdefault(name, value)  # a node may have its data elsewhere
    torch.set_num_threads(threads)
    logging.disable(logging.ERROR)
    if device not in _benches:
        _benches[device] = Workbench(device=device)
    outcome = work_on(cell, _benches[device])
    return dataclasses.replace(outcome, result={**outcome.result, "node": get_runtime_context().get_node_id()})


def _variables(cell: Cell) -> dict[str, str]:
    """Environment variables that the cell's settings name, as they are here."""
    found = re.findall(r"\$\{?(\w+)", f"{cell.source_settings} {cell.pretrained}")
    return {name: os.environ[name] for name in found if name in os.environ}
