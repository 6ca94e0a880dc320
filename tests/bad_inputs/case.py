# SPDX-License-Identifier: Apache-2.0

"""
What a user may get wrong, and what must then happen.

The files beside this one list bad inputs by what is bad: images, folders, weights, configurations and so on. Each must
end with one sentence that says what is wrong, where, and what to do; with an exit status that is not 0; and with
nothing written. They run in this process, as the command itself would, because starting a thousand libraries three
hundred times would take longer than anybody waits for tests.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from monai_ept.__main__ import main

__all__ = ["BadInput", "parameters", "refuse"]

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 600
"""Characters of a sentence that somebody still reads to its end."""


@dataclass(frozen=True)
class BadInput:
    """
    One bad input.

    Args:
        name: what is bad, as the test's name has it.
        says: words that the sentence must contain: what is wrong, where (a file, a setting), what to do.
        make: writes the bad thing into the folder where the command runs.
        command: arguments of ``monai-ept``, which run in that folder.
        bundle: settings of ``python -m monai.bundle run``, in the place of a command: ``config`` is a configuration
            such as "ept_derm/train.yaml"; all others are as on the command line.
        call: a function of the folder, in the place of a command, for what is used from Python.
        slow: it takes more than a second, so ``make test-all`` runs it and ``make test`` does not.
    """

    name: str
    says: Sequence[str]
    make: Callable[[Path], Any] = lambda folder: None
    command: Sequence[str] | None = None
    bundle: Mapping[str, Any] | None = None
    call: Callable[[Path], Any] | None = None
    slow: bool = field(default=False)


def parameters(cases: Sequence[BadInput]) -> list[Any]:
    """The cases as parameters of one test, each under its name."""
    names = [case.name for case in cases]
    assert len(set(names)) == len(names), "two bad inputs have one name"
    return [pytest.param(case, id=case.name, marks=[pytest.mark.slow] if case.slow else []) for case in cases]


def refuse(case: BadInput, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Try a bad input in an empty folder, check how it ends, and return the sentence."""
    case.make(folder)
    monkeypatch.chdir(folder)
    before = _files(folder)
    if case.command is not None:
        sentence = _by_command(case.command)
    elif case.bundle is not None:
        sentence = _by_bundle(case.bundle)
    else:
        assert case.call is not None
        sentence = _by_call(lambda: case.call(folder))
    assert len(sentence) <= LONGEST and "\n" not in sentence.strip(), f"this is more than a sentence:\n{sentence}"
    for word in case.says:
        assert word in sentence, f"{word!r} is not said:\n{sentence}"
    assert _files(folder) == before, "something was written or changed"
    return sentence


def _files(folder: Path) -> dict[str, tuple[int, int]]:
    """All that is in a folder, with what changes when somebody writes."""
    found = {}
    for top, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            about = os.lstat(os.path.join(top, name))
            is_file = name in files
            found[os.path.join(top, name)] = (about.st_size, about.st_mtime_ns) if is_file else (0, 0)
    return found


def _by_command(arguments: Sequence[str]) -> str:
    spoken = io.StringIO()
    with contextlib.redirect_stderr(spoken):
        try:
            status: Any = main(list(arguments))
        except SystemExit as end:  # argparse
            status = end.code
    assert status not in (0, None), f"the command has accepted it:\n{spoken.getvalue()}"
    return spoken.getvalue().strip().splitlines()[-1]


def _by_bundle(settings: Mapping[str, Any]) -> str:
    from monai.bundle import run

    given = {"track": False, **settings}
    bundle, _, file = given.pop("config").partition("/")
    files = str(ROOT / "bundles" / bundle / "configs" / file)
    return _by_call(lambda: run(config_file=files, **given))


def _by_call(call: Callable[[], Any]) -> str:
    """What ``python -m monai.bundle run`` shows of an error, or what Python's last line is."""
    with pytest.raises((ValueError, TypeError, OSError, ImportError, ArithmeticError, RuntimeError)) as caught:
        call()
    cause: BaseException = caught.value
    while isinstance(cause, RuntimeError) and cause.__cause__ is not None:
        cause = cause.__cause__
    assert not isinstance(cause, RuntimeError) or type(cause) is not RuntimeError, f"an inner error: {cause!r}"
    return str(cause)
