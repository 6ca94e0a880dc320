# SPDX-License-Identifier: Apache-2.0

"""Names that a package exports and imports only when somebody asks for them (PEP 562)."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable
from typing import Any

from monai_ept._moved import moved_names

__all__ = ["lazy_exports"]


def lazy_exports(package: str) -> Callable[[str], Any]:
    """
    The ``__getattr__`` of a package that exports what its ``if TYPE_CHECKING:`` block imports.

    Type checkers and editors read that block, and so do we, so that each name stands there once.

    Example::

        if TYPE_CHECKING:
            from monai_ept.model import TunedViT

        __all__ = ["TunedViT"]
        __getattr__ = lazy_exports(__name__)
    """
    module = sys.modules[package]
    found: dict[str, str] = {}
    moved = moved_names(package)

    def load(name: str) -> Any:
        if name.startswith("__"):  # copy, pickle and inspect ask for all sorts of these
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if not found:
            found.update(_imports(module.__spec__.loader.get_source(package)))  # type: ignore[union-attr]
        if name not in found:
            return moved(name)
        value = getattr(importlib.import_module(found[name]), name)
        setattr(module, name, value)
        return value

    return load


def _imports(source: str) -> dict[str, str]:
    """What the ``if TYPE_CHECKING:`` blocks of a package import: names, and the modules they are in."""
    return {
        alias.name: str(statement.module)
        for block in ast.parse(source).body
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
