# SPDX-License-Identifier: Apache-2.0

"""Draws the pictures of the docs: ``python -m tools.figures.method``, and so on."""

from __future__ import annotations

from pathlib import Path

__all__ = ["IMAGES"]

IMAGES = Path(__file__).parents[2] / "docs" / "images"
