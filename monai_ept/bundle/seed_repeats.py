# SPDX-License-Identifier: Apache-2.0

"""One training with several seeds: a folder for each in one folder, a line for each, and their mean at the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_ept.bundle.training import announce
from monai_ept.engines.more_epochs import finished
from monai_ept.engines.training import Training
from monai_ept.files import file_name
from monai_ept.metrics.classification import KEY_METRIC
from monai_ept.reporting.csv_file import write_csv
from monai_ept.reporting.metrics_table import interval_text, value_text
from monai_ept.reporting.statistics import FEWEST, Estimate, estimate
from monai_ept.runs.fit_result import FitResult
from monai_ept.runs.result_kinds import KINDS, what_is_in

__all__ = ["mean_table", "train_seeds"]

SEEDS_FILE, MEANS_FILE = "seeds.csv", "means.csv"
_SHOWN = 10  # seeds that a line of a terminal has room for


def train_seeds(
    make: Callable[..., Training], seeds: Sequence[int], folder: Path | None = None, *, resume: bool, overwrite: bool
) -> dict[int, FitResult]:
    """
    Train with each seed that has not been trained with yet, and say what comes out on the mean.

    Each training has a folder of its own in ``folder``. What is finished there is not done again, what is not is gone
    on with. ``seeds.csv`` has a line for each seed, ``means.csv`` one for each metric.

    Args:
        make: makes a training of ``seed``, ``folder``, ``resume`` and ``overwrite``.
        folder: the folder of all of them; by default in ``runs``, under a name in which everything differs that decides
            the result, but for the seeds.
        resume: go on with trainings that have had fewer epochs, too.

    Raises:
        FileExistsError: when another result is in the folder, or it holds trainings of fewer epochs.

    Returns:
        the finished trainings by seed.
    """
    if folder is None:
        named = make(seed=0, folder=Path("runs", "seeds"))  # nothing is made of it but its name
        folder = Path("runs") / file_name(named.split.source) / named.name.replace("-seed0-", "-seeds-")
    if (there := what_is_in(folder)) is not None:
        raise FileExistsError(f"{folder} holds {KINDS[there].name}: choose another --out for several seeds.")
    results: dict[int, FitResult] = {}
    said = False
    for seed in seeds:
        training = make(seed=seed, folder=folder / f"seed{seed}", resume=True, overwrite=overwrite)
        if training.earlier is not None and not (resume or overwrite):
            raise FileExistsError(
                f"{training.folder} holds a training of {training.earlier.epochs} epochs: --resume goes on with it, "
                "another --out keeps both."
            )
        if (result := finished(training)) is None:
            if not said:
                announce(training)
                said = True
            result = training.run()
        results[seed] = result
        key = KEY_METRIC[result.record["task"]]
        score = f"{key} {result.metrics[key]:.3f}" if key in result.metrics else "no test images"
        print(f"seed {seed:<4} {score}   {training.folder}", flush=True)
        _write(folder, results)
    print(f"\n{mean_table({seed: _numbers_of(result) for seed, result in results.items()})}\n")
    print(f"all files   {folder}: {SEEDS_FILE}, {MEANS_FILE}, and a folder for each seed", flush=True)
    return results


def _numbers_of(result: FitResult) -> dict[str, float]:
    """The metrics of a test that are one number, those of the class that is looked for among them."""
    found = {name: value for name, value in result.metrics.items() if isinstance(value, float)}
    positive = result.metrics.get("positive", {"metrics": {}})["metrics"]
    return {**found, **{f"positive_{name}": row["value"] for name, row in positive.items()}}


def mean_table(numbers: Mapping[int, Mapping[str, float]]) -> str:
    """
    Mean, 95 % interval and values of each metric, for a terminal.

    Example::

        >>> print(mean_table({0: {"auc": 0.75}, 1: {"auc": 0.85}}))
        metric              mean   seed 0   seed 1
        auc                0.800    0.750    0.850
        Of fewer than 5 seeds there is no interval: the spread of so few is chance itself.
    """
    seeds = list(numbers)[:_SHOWN]
    known = len(numbers) >= FEWEST
    names = list(dict.fromkeys(name for one in numbers.values() for name in one))
    width = max([17, *map(len, names)])
    ends = f"    {'95 % interval':<14}" if known else ""
    lines = [f"{'metric':<{width}} {'mean':>5}{ends}" + "".join(f"{f'seed {seed}':>9}" for seed in seeds)]
    for name in names:
        mean = _mean(numbers, name)
        ends = f"    {interval_text(*mean.interval[1:]):<14}" if known else ""
        values = "".join(f"{value_text(numbers[seed].get(name, math.nan)):>9}" for seed in seeds)
        lines.append(f"{name:<{width}} {value_text(mean.mean):>5}{ends}{values}")
    if known:
        lines.append(f"Mean over {len(numbers)} seeds: each draws the training images and all that is random anew.")
    else:
        lines.append(f"Of fewer than {FEWEST} seeds there is no interval: the spread of so few is chance itself.")
    return "\n".join(lines)


def _mean(numbers: Mapping[int, Mapping[str, float]], name: str) -> Estimate:
    """Over the seeds in which there is such a number."""
    values = [one[name] for one in numbers.values() if not math.isnan(one.get(name, math.nan))]
    return estimate(values, FEWEST)


def _write(folder: Path, results: Mapping[int, FitResult]) -> None:
    numbers = {seed: _numbers_of(result) for seed, result in results.items()}
    names = list(dict.fromkeys(name for one in numbers.values() for name in one))
    rows: list[list[Any]] = [
        [seed, results[seed].folder.name, *(one.get(name) for name in names)] for seed, one in numbers.items()
    ]
    write_csv(folder / SEEDS_FILE, ["seed", "folder", *names], rows)
    means = {name: _mean(numbers, name) for name in names}
    rows = [[name, one.mean, one.interval.low, one.interval.high, one.number] for name, one in means.items()]
    write_csv(folder / MEANS_FILE, ["metric", "mean", "low", "high", "seeds"], rows)
