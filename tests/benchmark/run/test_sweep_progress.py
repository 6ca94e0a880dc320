# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import io
import time

from monai_ept.benchmark.plan.expand import sweep_cells
from monai_ept.benchmark.plan.sweep_file import sweep_from
from monai_ept.benchmark.run.sweep_progress import SweepProgress
from tests.benchmark.run.scenes import SWEEP


def test_progress_is_lines_in_a_file_and_one_line_on_a_terminal():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    cells = sweep_cells(sweep_from({**SWEEP, "samplings": 1, "methods": ["linear", "ept", "full"]}))

    class Cost:
        slots = 1

        def left(self, cells):
            return 60.0 * len(cells)

    good = {"status": "finished", "error": None, "metrics": {"balanced_accuracy": 0.5}, "seconds": {"total": 3.0}}
    bad = {"status": "failed", "error": "ValueError: no.", "metrics": {}, "seconds": {"total": 1.0}}
    for stream in (io.StringIO(), Terminal()):
        view = SweepProgress(3, 0, Cost(), Cost(), stream)
        view.finished(cells[0], good, cells[2:], [(cells[1], time.time())])
        view.finished(cells[1], bad, [], [(cells[2], time.time())])
        view.close()
        text = stream.getvalue()
        assert "1/3 done, 2 left, about 0:02:00" in text
        assert "failed: " in text and "ValueError: no." in text and "1/3 done, 1 failed, 1 left" in text
        assert ("\r" in text) == stream.isatty()
        assert ("balanced_accuracy 0.500" in text) != stream.isatty()
