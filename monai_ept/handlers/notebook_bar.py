# SPDX-License-Identifier: Apache-2.0

"""A progress bar for notebooks that needs no widget: one output that is replaced, and can be read in the saved file."""

from __future__ import annotations

import html
import sys
from typing import Any

from tqdm import tqdm

__all__ = ["NotebookBar", "in_notebook"]


def in_notebook() -> bool:
    """Whether this runs in the kernel of a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


class NotebookBar(tqdm):
    """
    tqdm's bar, shown below the cell of a notebook.

    Example::

        with NotebookBar(total=20, desc="epoch 1/5") as bar:
            bar.update()
    """

    def __init__(self, **kwargs: Any) -> None:
        self._output: Any = None
        super().__init__(gui=True, **kwargs)  # tqdm itself then writes nothing

    def display(self, msg: str | None = None, pos: int | None = None, **_: Any) -> None:
        """Replace what is shown; tqdm calls it as often as is worth it."""
        from IPython.display import display

        beside = self.format_meter(**{**self.format_dict, "bar_format": "{desc} {elapsed}<{remaining}{postfix}"})
        bar = f'<progress value="{self.n}" max="{self.total}" style="width: 12em"></progress>'
        picture = {
            "text/plain": msg or str(self),
            "text/html": f'<div style="white-space: nowrap">{bar} <code>{html.escape(beside)}</code></div>',
        }
        if self._output is None:
            self._output = display(picture, raw=True, display_id=True)
        else:
            self._output.update(picture, raw=True)

    def close(self) -> None:
        if not self.disable:
            self.display()
        super().close()
