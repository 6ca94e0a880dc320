# SPDX-License-Identifier: Apache-2.0

"""Checks of arguments whose errors are one sentence: what is wrong, where, and what would do."""

from __future__ import annotations

import difflib
import math
import os
import reprlib
import sys
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = [
    "check_choice",
    "check_mapping",
    "check_number",
    "check_text",
    "check_whole",
    "did_you_mean",
    "flag",
    "shown",
]


MANY = 20
"""Options that a sentence names at most."""


def did_you_mean(wrong: Any, options: Iterable[str]) -> str:
    """The nearest option as a question, or what there is."""
    options = list(options)
    near = difflib.get_close_matches(str(wrong), options, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    more = f" and {len(options) - MANY} more" if len(options) > MANY else ""
    return f"there is {', '.join(map(repr, options[:MANY])) or 'none'}{more}."


def check_choice(name: str, value: Any, options: Iterable[str]) -> Any:
    """``value`` if it is one of the options, else a ValueError that names the argument."""
    options = list(options)
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name} {shown(value)} is not known: {did_you_mean(value, options)}")
    return value


def check_whole(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """``value`` if it is a whole number from ``least`` to ``most``, else a ValueError that names the argument."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {shown(value)}.")
    if most is not None and value > most:
        raise ValueError(f"{name} must be a whole number of at most {most}, got {shown(value)}.")
    return value


def check_number(
    name: str,
    value: Any,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    below: float = math.inf,
    most: float = math.inf,
) -> float:
    """``value`` if it is a finite number in range, else a ValueError that names the argument."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    is_number = is_number and abs(value) <= sys.float_info.max  # neither NaN nor infinite, nor a whole number beyond
    if not is_number or not above < value < below or not least <= value <= most:
        bounds = [
            f"{word} {bound:g}"
            for word, bound in (("above", above), ("at least", least), ("below", below), ("at most", most))
            if math.isfinite(bound)
        ]
        raise ValueError(f"{name} must be a number{' ' + ' and '.join(bounds) if bounds else ''}, got {shown(value)}.")
    return value


def check_text(name: str, value: Any) -> str:
    """``value`` if it is a text or a path, and not empty, else a ValueError that names the argument."""
    if not isinstance(value, (str, os.PathLike)) or not str(value).strip() or "\0" in str(value):
        raise ValueError(f"{name} must be a text, got {shown(value)}.")
    return str(value)


def check_mapping(name: str, value: Any, example: str) -> dict[str, Any]:
    """``value`` if it is a mapping whose keys are texts, else a ValueError that names the argument."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{name} must be names with values, such as {example}, got {shown(value)}.")
    return dict(value)


def shown(value: Any) -> str:
    """A value as a sentence may show it: not more of it than somebody reads."""
    brief = reprlib.Repr()
    brief.maxstring = brief.maxother = brief.maxlong = 60
    try:
        return " ".join(brief.repr(value).split())
    except ValueError:  # Python writes no number of more than a few thousand digits
        return f"a {type(value).__name__}"


def flag(value: Any, name: str | None = None) -> bool:
    """
    A yes or no from a configuration or from the command line, where ``true`` arrives as a text.

    Args:
        value: what was given.
        name: of the setting, for the error.

    Raises:
        ValueError: when it is neither.

    Example::

        >>> flag("true"), flag(False)
        (True, False)
    """
    text = str(value).strip().lower()
    if text not in ("true", "yes", "on", "1", "false", "no", "off", "0"):
        about = shown(value) if name is None else f"{name} {shown(value)}"
        raise ValueError(f"{about} is neither true nor false: write one of them.")
    return text in ("true", "yes", "on", "1")
