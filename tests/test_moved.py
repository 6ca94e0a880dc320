# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from pydoc import locate

import pytest

from monai_ept._moved import MOVED

# What a configuration file could name in release 0.1, a module a line. Modules that their package hides behind a
# function of the same name are left out (engines.fit, handlers.unwrap, tracking.compare, tracking.sync).
NAMES = [line.split() for line in (Path(__file__).parent / "names_of_release_0.1.txt").read_text().splitlines()]
# Helpers that no configuration named, with nothing that does quite the same.
GONE = {
    "handlers.guard.describe_checkpoint",
    "handlers.loss.base_lr",
    "tracking.figure.draw_comparison",
    "tracking.journal.write_json",
    "tracking.store.database_folder",
}


@pytest.mark.parametrize("old", MOVED)
def test_an_old_path_is_the_module_of_today(old):
    sys.modules.pop(f"monai_ept.{old}", None)
    new = MOVED[old]
    with pytest.warns(DeprecationWarning, match=f"monai_ept.{old} has moved to monai_ept."):
        module = importlib.import_module(f"monai_ept.{old}")
    if isinstance(new, str):
        assert module is importlib.import_module(f"monai_ept.{new}")
        assert module.__spec__.name == f"monai_ept.{new}"
    else:
        for name in new:
            there = importlib.import_module(f"monai_ept.{name}")
            assert all(getattr(module, key) is getattr(there, key) for key in there.__all__)


def test_no_module_is_hidden_by_the_table():
    root = Path(importlib.import_module("monai_ept").__file__).parent
    for old in MOVED:
        path = root.joinpath(*old.split("."))
        assert not path.with_suffix(".py").exists() and not path.is_dir(), f"{old} is a module again: take it off"


@pytest.mark.parametrize(("module", "names"), [(module, names) for module, *names in NAMES])
def test_names_of_the_last_release_are_found(module, names):
    lost = [name for name in names if not callable(locate(f"monai_ept.{module}.{name}"))]
    assert {f"{module}.{name}" for name in lost} <= GONE


def test_other_missing_modules_stay_missing():
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'monai_ept\.networks\.cnn'"):
        importlib.import_module("monai_ept.networks.cnn")
