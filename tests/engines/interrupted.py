# SPDX-License-Identifier: Apache-2.0

"""
Ends trainings in every bad way and lets them go on; ``test_interrupted.py`` reads how that went.

A fresh process forks a child for each training, so that each is a real process that really dies, without the seconds
that an import takes.
"""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.engines.utils import IterationEvents

from monai_ept import files
from monai_ept.evaluation import evaluator as evaluation
from monai_ept.handlers import delta_checkpoint as checkpoint
from tests.engines.scenes import result_bytes, small_fit

EPOCHS = 4


def main(folder: Path, small_disk: Path | None = None) -> dict[str, Any]:
    """How trainings below a folder ended and went on, by what was done to them."""
    torch.set_num_threads(1)  # and no OpenMP pool that would not survive a fork
    # Drawing is most of such a training's time, and no figure is compared.
    evaluation.show_images = lambda *_, **__: None  # type: ignore[assignment]
    evaluation.write_report = partial(evaluation.write_report, figures=False)  # type: ignore[assignment]
    report: dict[str, Any] = {}
    whole = folder / "whole"
    outcome = run(lambda: train(whole))
    assert outcome["status"] == 0, outcome["said"]
    wanted = result_bytes(whole)

    def resumed(name: str) -> dict:
        """Go on with a dead training and compare."""
        there = (folder / name / "last.pt").exists()
        end = run(lambda: train(folder / name, resume=True))
        equal = end["status"] == 0 and result_bytes(folder / name) == wanted
        leftovers = [path.name for path in (folder / name).rglob("*.partial")]
        return {"resumed": end, "equal": equal, "leftovers": leftovers, "had_checkpoint": there}

    for name, moment in MOMENTS.items():
        end = run(lambda name=name, moment=moment: train(folder / name, before=moment))
        report[f"kill {name}"] = {"killed": end, **resumed(name)}

    draw = random.Random(0)
    for turn in range(3):  # from outside, whenever it happens to be
        name = f"outside {turn}"
        end = run(lambda name=name: train(folder / name), kill_after=draw.uniform(0.02, 0.5))
        report[f"kill {name}"] = {"killed": end, **resumed(name)}

    name = "again and again"
    ends = [run(lambda e=e: train(folder / name, resume=True, before=at_step(e))) for e in (2, 5, 8, 11)]
    report[f"kill {name}"] = {"killed": ends[0], "all": [end["signal"] for end in ends], **resumed(name)}

    for name, number in (("SIGTERM", signal.SIGTERM), ("Ctrl-C", signal.SIGINT)):
        end = run(lambda name=name, n=number: train(folder / name, before=at_step(6, n)))
        report[f"signal {name}"] = {"ended": end, **resumed(name)}

    # A file may not grow beyond this: writing fails in the middle of the checkpoint, as on a full disk.
    size = (whole / "last.pt").stat().st_size
    end = run(lambda: train(folder / "limit", before=limit_files(size // 2, epoch=3)))
    report["full limit"] = {"ended": end, **resumed("limit")}
    if small_disk is not None:  # a file system of its own, small enough to be full in the second epoch
        small = small_disk / "run"
        end = run(lambda: train(small, before=fill_disk(small_disk, epoch=2)))
        (small_disk / "filler").unlink(missing_ok=True)
        again = run(lambda: train(small, resume=True))
        report["full disk"] = {
            "ended": end,
            "resumed": again,
            "equal": again["status"] == 0 and result_bytes(small) == wanted,
            "leftovers": [path.name for path in small.rglob("*.partial")],
            "had_checkpoint": True,
        }
    return report


def run(
    work: Callable[[], None], kill_after: float | None = None, meanwhile: Callable[[], object] | None = None
) -> dict:
    """Run in a process of its own, and something else meanwhile; how it ended and the last line that it said."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            os.dup2(writer, 2)
            work()
            status = 0
        except BaseException as error:
            print("".join(traceback.format_exception_only(error)).strip(), file=sys.stderr, flush=True)
            print(type(error).__name__, file=sys.stderr, flush=True)
        finally:
            os._exit(status)
    os.close(writer)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    if meanwhile is not None:
        meanwhile()
    with os.fdopen(reader) as file:
        said = file.read()
    _, status = os.waitpid(child, 0)
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    return {"status": os.waitstatus_to_exitcode(status), "signal": number, "said": said[-2000:]}


def train(folder: Path, before: Callable[[], list] | None = None, **options: Any) -> None:
    handlers = before() if before is not None else []
    small_fit(folder, epochs=EPOCHS, optimizer="adamw", select="val", handlers=handlers, num_resamples=2, **options)


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class At:
    """Does something once, when an event comes to an iteration or epoch."""

    def __init__(self, event: object, number: int, action: Callable) -> None:
        self.event, self.number, self.action = event, number, action

    def attach(self, engine: object) -> None:
        engine.add_event_handler(self.event, self)  # type: ignore[attr-defined]

    def __call__(self, engine: object) -> None:
        state = engine.state  # type: ignore[attr-defined]
        if self.number == (state.epoch if self.event == Events.EPOCH_STARTED else state.iteration):
            self.action()


def at_step(step: int, number: int = signal.SIGKILL) -> Callable[[], list]:
    return lambda: [At(IterationEvents.BACKWARD_COMPLETED, step, lambda: os.kill(os.getpid(), number))]


def while_writing(name: str, turn: int) -> Callable[[], list]:
    """Die when half of the file is on disk, the given time that it is written."""

    def before() -> list:
        real, seen = checkpoint.write_whole, []

        def half(path: Path, content: bytes) -> Path:
            if Path(path).name == name:
                seen.append(path)
                if len(seen) == turn:
                    Path(f"{path}.{os.getpid()}.partial").write_bytes(content[: len(content) // 2])
                    die()
            return real(path, content)

        checkpoint.write_whole = half
        from monai_ept import delta

        delta.write_whole = half
        return []

    return before


def before_moving(name: str, turn: int) -> Callable[[], list]:
    """Die when the new file is written and the old one still there."""

    def before() -> list:
        real, seen = os.replace, []

        def replace(source: str, target: str) -> None:
            if Path(target).name == name:
                seen.append(target)
                if len(seen) == turn:
                    die()
            real(source, target)

        files.os.replace = replace
        return []

    return before


def in_evaluation() -> list:
    evaluation.write_report = die  # type: ignore[assignment]
    return []


MOMENTS = {
    "first step": at_step(1),
    "third epoch": at_step(8),
    "half of last.pt": while_writing("last.pt", 2),
    "last.pt not moved, best.pt moved": before_moving("last.pt", 2),
    "best.pt not moved": before_moving("best.pt", 1),
    "half of the delta": while_writing("delta.safetensors", 1),
    "evaluation": in_evaluation,
}


def limit_files(size: int, epoch: int) -> Callable[[], list]:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return lambda: [At(Events.EPOCH_STARTED, epoch, limit)]


def fill_disk(root: Path, epoch: int) -> Callable[[], list]:
    def fill() -> None:
        with open(root / "filler", "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError as error:
                assert error.errno == errno.ENOSPC, error

    return lambda: [At(Events.EPOCH_STARTED, epoch, fill)]
