# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import sys

import pytest

PACKAGE = """
from typing import TYPE_CHECKING

from monai_ept._lazy import lazy_exports

if TYPE_CHECKING:
    from a_lazy_package.heavy import Heavy, other

__getattr__ = lazy_exports(__name__)
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package whose names are in a module that takes a while to import."""
    (tmp_path / "a_lazy_package").mkdir()
    (tmp_path / "a_lazy_package" / "__init__.py").write_text(PACKAGE)
    (tmp_path / "a_lazy_package" / "heavy.py").write_text("class Heavy: ...\nother = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    import a_lazy_package

    yield a_lazy_package
    for name in ("a_lazy_package", "a_lazy_package.heavy"):
        sys.modules.pop(name, None)


def test_a_name_is_imported_when_somebody_asks_for_it(package):
    assert "a_lazy_package.heavy" not in sys.modules
    assert package.other == 3
    assert package.Heavy is sys.modules["a_lazy_package.heavy"].Heavy
    assert "Heavy" in vars(package)  # which is not asked for again


@pytest.mark.parametrize("name", ["Hevy", "__wrapped__"])
def test_other_names_are_missing_as_in_any_module(package, name):
    with pytest.raises(AttributeError, match=f"module 'a_lazy_package' has no attribute '{name}'"):
        getattr(package, name)
    assert "a_lazy_package.heavy" not in sys.modules
