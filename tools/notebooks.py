# SPDX-License-Identifier: Apache-2.0

"""``python -m tools.notebooks``: execute the notebooks and keep their outputs, without times and versions."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

__all__ = ["FOLDER", "run_notebook"]

FOLDER = Path(__file__).parents[1] / "notebooks"


def run_notebook(path: str | os.PathLike) -> nbformat.NotebookNode:
    """
    Execute a notebook in an empty working directory.

    Args:
        path: of the notebook, which is only read.

    Raises:
        CellExecutionError: when a cell fails.

    Returns:
        the notebook with the outputs that it has now.
    """
    book = nbformat.read(path, as_version=4)
    # Whoever calls this may have chosen to draw nothing; the kernel shows its figures.
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(book, timeout=1200, kernel_name="python3", resources={"metadata": {"path": folder}})
        client.execute(env=environment | {"TMPDIR": folder})
    for cell in book.cells:
        cell.metadata.pop("execution", None)
    book.metadata.language_info = {"name": "python"}
    # Where it was executed is nobody's business, and another folder each time.
    return nbformat.reads(re.sub(rf"{re.escape(folder)}/(tmp\w+/)?", "", nbformat.writes(book)), as_version=4)


if __name__ == "__main__":
    for file in [Path(name) for name in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb")):
        nbformat.write(run_notebook(file), file)
        print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB")
