# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

from monai_ept.bundle.seed_repeats import mean_table


def test_mean_and_interval_by_hand():
    # Deviations −.2, −.1, 0, .1, .2 of .3: variance .1 / 4 = .025, standard error √(.025 / 5) = .0707;
    # t(.975, 4) = 2.776, so that the interval is .3 ± .196.
    numbers = {seed: {"auc": value, "ece": 0.25} for seed, value in enumerate((0.1, 0.2, 0.3, 0.4, 0.5))}
    lines = mean_table(numbers).splitlines()
    assert lines[0].split() == ["metric", "mean", "95", "%", "interval"] + [
        w for s in range(5) for w in ("seed", str(s))
    ]
    assert lines[1].split() == ["auc", "0.300", "0.104", "to", "0.496", "0.100", "0.200", "0.300", "0.400", "0.500"]
    assert lines[2].split()[:5] == ["ece", "0.250", "0.250", "to", "0.250"]
    assert lines[-1] == "Mean over 5 seeds: each draws the training images and all that is random anew."


def test_a_value_that_is_not_there_counts_for_none():
    numbers = {seed: {"auc": 0.5} for seed in range(4)} | {4: {"auc": math.nan}}
    line = mean_table(numbers).splitlines()[1]
    assert line.split() == ["auc", "0.500", *["0.500"] * 4, "–"]  # four values: no interval
