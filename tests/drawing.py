# SPDX-License-Identifier: Apache-2.0

"""Trainings and evaluations without what takes most of their time in a test: their figures and their page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from monai_ept.bundle import results
from monai_ept.engines import training
from monai_ept.evaluation import evaluator
from monai_ept.files import write_whole

__all__ = ["all_pictures", "no_pictures", "nothing_is_drawn"]


def _empty_page(folder: Path, *_: Any, **__: Any) -> Path:
    return write_whole(Path(folder) / "report.html", "")


_INSTEAD = {
    (evaluator, "write_report"): partial(evaluator.write_report, figures=False),
    (evaluator, "show_images"): lambda *_, **__: None,
    (results, "show_images"): lambda *_, **__: None,
    (training, "write_report_page"): _empty_page,
    (results, "write_report_page"): _empty_page,
}
_AS_EVER = {place: getattr(*place) for place in _INSTEAD}


@contextmanager
def _in_place(functions: Mapping[tuple[Any, str], Any]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for place, function in functions.items():
            patch.setattr(*place, function)
        yield


no_pictures = partial(_in_place, _INSTEAD)
"""A context in which nothing is drawn."""

all_pictures = partial(_in_place, _AS_EVER)
"""A context inside one without pictures, in which they are looked at."""


@pytest.fixture(autouse=True, scope="module")
def nothing_is_drawn() -> Iterator[None]:
    """Imported by a ``conftest.py`` or a file of tests, it holds in all of them."""
    with no_pictures():
        yield
