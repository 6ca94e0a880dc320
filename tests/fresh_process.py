# SPDX-License-Identifier: Apache-2.0

"""Processes that have seen nothing of a test, without the seconds that an import takes."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

__all__ = ["fresh_context", "fresh_processes", "start_module"]


def fresh_processes(number: int = 1) -> ProcessPoolExecutor:
    """
    Processes that have imported the package and have done nothing with it.

    Args:
        number: how many may work at once.
    """
    return ProcessPoolExecutor(number, fresh_context(), _set_environment, (dict(os.environ),))


def start_module(
    arguments: Sequence[object], folder: Path, said: Path, environment: Mapping[str, str] | None = None
) -> Any:
    """
    Start ``python -m`` in such a process.

    Args:
        arguments: the module and what it is given.
        folder: where it runs.
        said: the file that gets what it prints.
        environment: its variables, by default those of here.

    Returns:
        the process: ``join`` it, then see its ``exitcode``.
    """
    given = list(map(str, arguments)), folder, said, dict(os.environ if environment is None else environment)
    process = fresh_context().Process(target=_run_module, args=given)
    process.start()
    return process


def fresh_context() -> Any:
    """Of multiprocessing: a server that has only imported forks them, one for all tests of a process and for sweeps."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["monai_ept.benchmark.run.train_cell"])  # as a sweep does
    return context


def _set_environment(environment: Mapping[str, str]) -> None:
    """The server has that of the test that was the first to need it."""
    os.environ.clear()
    os.environ.update(environment)


def _run_module(arguments: list[str], folder: Path, said: Path, environment: Mapping[str, str]) -> None:
    """What the interpreter does: the module, then the word about an exception, then what waits for the end."""
    with open(said, "ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    _set_environment(environment)
    os.chdir(folder)
    sys.argv = list(arguments)
    try:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    except Exception:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        sys.exit(1)
    finally:
        atexit._run_exitfuncs()
