# SPDX-License-Identifier: Apache-2.0

"""Checks of arguments whose errors are one sentence: what is wrong, where, and what would do."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from typing import Any

__all__ = ["check_choice", "check_number", "check_whole", "did_you_mean", "flag"]


def did_you_mean(wrong: Any, options: Iterable[str]) -> str:
    """The nearest option as a question, or all of them."""
    options = list(options)
    near = difflib.get_close_matches(str(wrong), options, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there is {', '.join(map(repr, options)) or 'none'}."


def check_choice(name: str, value: Any, options: Iterable[str]) -> Any:
    """``value`` if it is one of the options, else a ValueError that names the argument."""
    options = list(options)
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name} {value!r} is not known: {did_you_mean(value, options)}")
    return value


def check_whole(name: str, value: Any, least: int = 1) -> int:
    """``value`` if it is a whole number of at least ``least``, else a ValueError that names the argument."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}.")
    return value


def check_number(
    name: str, value: Any, *, above: float = -math.inf, least: float = -math.inf, below: float = math.inf
) -> float:
    """``value`` if it is a finite number in range, else a ValueError that names the argument."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not above < value < below or value < least:
        bounds = [
            f"{word} {bound:g}"
            for word, bound in (("above", above), ("at least", least), ("below", below))
            if math.isfinite(bound)
        ]
        raise ValueError(f"{name} must be a number{' ' + ' and '.join(bounds) if bounds else ''}, got {value!r}.")
    return value


def flag(value: Any) -> bool:
    """
    A yes or no from a configuration or from the command line, where ``true`` arrives as a text.

    Raises:
        ValueError: when it is neither.

    Example::

        >>> flag("true"), flag(False)
        (True, False)
    """
    text = str(value).strip().lower()
    if text not in ("true", "yes", "on", "1", "false", "no", "off", "0"):
        raise ValueError(f"{value!r} is neither true nor false: write one of them.")
    return text in ("true", "yes", "on", "1")
