# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import io
import re

from monai_ept.engines import build_evaluator
from monai_ept.handlers import Progress
from tests.engines.scenes import loader_of, pictures, small_net, trainer_of


class Terminal(io.StringIO):
    def isatty(self):
        return True


def watched(stream):
    net = small_net()
    evaluator = build_evaluator(net, loader_of(net, pictures().records[:9]))
    trainer = trainer_of(net, 2, handlers=[Progress(evaluator, stream)], evaluator=evaluator)
    trainer.run()
    return trainer, stream.getvalue()


def test_a_line_for_each_epoch_where_nobody_watches():
    trainer, text = watched(io.StringIO())
    lines = text.splitlines()
    assert len(lines) == 2
    for line, row in zip(lines, trainer.state.history, strict=True):
        found = re.fullmatch(
            r"epoch (\d)/2  loss ([\d.]+)  lr ([\de.+-]+)  val balanced_accuracy ([\d.]+)  left \d:\d\d:\d\d", line
        )
        assert found, line
        assert int(found[1]) == row["epoch"] and float(found[2]) == round(row["loss"], 4)
        assert float(found[4]) == round(row["val"]["balanced_accuracy"], 3)
    assert lines[-1].endswith("left 0:00:00")


def test_a_bar_on_a_terminal():
    _, text = watched(Terminal())
    last = text.rstrip().split("\r")[-1]
    assert last.startswith("epoch 2/2 100%|") and "loss" in last and "val balanced_accuracy" in last
    assert "\n" not in text.rstrip()  # one line that moves
