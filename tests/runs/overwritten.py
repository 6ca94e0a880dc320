# SPDX-License-Identifier: Apache-2.0

"""
Trainings in folders that hold something, and what becomes of it; ``test_result_folder.py`` reads how it went.

Each is a process of its own, forked from one that has imported everything, as in ``tests/engines/interrupted.py``.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events

from monai_ept.evaluation import evaluator as evaluation
from monai_ept.files import write_whole
from monai_ept.runs import FitResult, folder_exchange
from tests.engines.interrupted import At, at_step, die, fill_disk, in_evaluation, limit_files, run, train
from tests.engines.scenes import result_bytes


def main(folder: Path, kills: int = 0, disk: Path | None = None) -> dict[str, Any]:
    """
    Args:
        folder: where to train.
        kills: so many kills at random moments, and those that take long, instead of the rest.
        disk: a file system of a megabyte.
    """
    torch.set_num_threads(1)
    # Drawing takes longer than everything else, and its files are written as all others are.
    evaluation.draw_gallery = lambda folder, *_, **__: write_whole(Path(folder) / "images.png", b"")  # type: ignore
    evaluation.write_report = partial(evaluation.write_report, figures=False)
    first, second = folder / "first", folder / "second"
    began = time.monotonic()
    assert run(lambda: train(first))["status"] == 0
    takes = time.monotonic() - began
    assert run(lambda: train(second, seed=1))["status"] == 0
    results = {"old": result_bytes(first), "new": result_bytes(second)}

    def killed(name: str, **how: Any) -> dict[str, Any]:
        """Replace a finished training, be killed, look at what is there, and go on."""
        place = folder / name / "run"
        shutil.copytree(first, place)
        before = how.pop("before", None)
        end = run(lambda: train(place, before, seed=1, overwrite=True), **how)
        left = sorted(path.name for path in place.parent.iterdir())
        said = run(lambda: FitResult.load(place) and None)
        found = next((which for which, content in results.items() if result_bytes(place) == content), None)
        alone = {path.name for path in place.glob("[!.]*")} == {path.name for path in first.iterdir()}
        again = run(lambda: train(place, seed=1, overwrite=True, resume=True))
        return {
            "signal": end["signal"],
            "left": left,
            "loads": said["status"] == 0,
            "found": found,
            "nothing_else": alone,
            "again": again,
            "equal": again["status"] == 0 and result_bytes(place) == results["new"],
            "beside": sorted(path.name for path in place.parent.iterdir()),
        }

    if kills:
        draw = random.Random(1)
        long = {name: killed(name, before=moment) for name, moment in MOMENTS.items() if name not in QUICK}
        moments = [draw.uniform(0, 1.1 * takes) for _ in range(kills)]
        return {**long, **{f"random {n}": killed(f"random {n}", kill_after=at) for n, at in enumerate(moments)}}

    report: dict[str, Any] = {name: killed(name, before=MOMENTS[name]) for name in QUICK}
    report["two at once"] = two_at_once(folder / "shared")
    report["removed"] = run(lambda: train(folder / "gone", lambda: [remove(folder / "gone", epoch=3)]))
    report["replaced"] = run(lambda: train(folder / "taken", lambda: [take(folder / "taken", epoch=3)]))
    shutil.copytree(first, folder / "limited")
    report["limit in overwriting"] = run(
        lambda: train(folder / "limited", limit_files(2000, epoch=2), seed=1, overwrite=True)
    )
    report["limited is old"] = result_bytes(folder / "limited") == results["old"]
    if disk is not None:
        report["disk in evaluation"] = run(lambda: train(disk / "run", full_in_evaluation(fill_disk(disk, 0))))
        report["disk at the start"] = run(lambda: train(disk / "other"))
    return report


def two_at_once(folder: Path) -> dict[str, Any]:
    """The second comes while the first is in its second step."""
    started, go_on = folder.with_name("started"), folder.with_name("go on")

    def wait() -> None:
        started.touch()
        while not go_on.exists():
            time.sleep(0.01)

    ends: dict[str, Any] = {}

    def second() -> None:
        while not started.exists():
            time.sleep(0.01)
        ends["second"] = run(lambda: train(folder, seed=1, overwrite=True))
        go_on.touch()

    ends["first"] = run(lambda: train(folder, lambda: [At(Events.ITERATION_STARTED, 2, wait)]), meanwhile=second)
    ends["seed"] = json.loads((folder / "training.json").read_text())["seed"]
    ends["third"] = run(lambda: train(folder, resume=True))  # the lock is free
    ends["left"] = sorted(path.name for path in folder.glob(".*"))
    return ends


def before_rename(number: int) -> Callable[[], list]:
    """Die before so many folders have been renamed."""

    def before() -> list:
        real, seen = os.rename, []

        def rename(source: Any, target: Any) -> None:
            seen.append(target)
            if len(seen) == number:
                die()
            real(source, target)

        os.rename = rename
        return []

    return before


def in_removal() -> list:
    """Die when half of the old result is removed."""

    def half(folder: Path, **_: Any) -> None:
        if not folder.exists():
            return
        for path in sorted(folder.iterdir())[:4]:
            path.unlink(missing_ok=True) if path.is_file() else None
        die()

    folder_exchange.shutil.rmtree = half  # type: ignore[assignment]
    return []


MOMENTS = {
    "first epoch": at_step(1),
    "third epoch": at_step(8),
    "evaluation": in_evaluation,
    "before the old one goes": before_rename(1),
    "before the new one comes": before_rename(2),
    "before the removal": before_rename(3),
    "in the removal": in_removal,
}

QUICK = ("third epoch", "before the new one comes")


def remove(folder: Path, epoch: int) -> At:
    return At(Events.EPOCH_STARTED, epoch, lambda: shutil.rmtree(folder))


def take(folder: Path, epoch: int) -> At:
    """Somebody removes the folder, and another process makes one of that name."""

    def another() -> None:
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / ".lock").touch()

    return At(Events.EPOCH_STARTED, epoch, another)


def full_in_evaluation(fill: Callable[[], list]) -> Callable[[], list]:
    """No file can be written from the moment on at which the report is to be."""

    def before() -> list:
        real = evaluation.write_report
        (at,) = fill()

        def full(*args: Any, **options: Any) -> Any:
            at.action()
            return real(*args, **options)

        evaluation.write_report = full
        return []

    return before
