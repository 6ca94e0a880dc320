# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import importlib
import inspect

import pytest

from tests.docs.pages import ROOT

# Drawing and measuring take minutes, which no test waits for; but what they import must be where they look for it.
SCRIPTS = sorted(
    f"tools.{room}.{path.stem}" for room in ("figures", "measure") for path in (ROOT / "tools" / room).glob("[!_]*.py")
)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_finds_what_it_imports_and_says_how_it_is_run(name):
    module = importlib.import_module(name)
    if '"__main__"' in inspect.getsource(module):  # or it is a part of one
        assert any(word in module.__doc__ for word in (name.replace(".", "/") + ".py", f"-m {name}"))
