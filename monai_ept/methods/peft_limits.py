# SPDX-License-Identifier: Apache-2.0

"""
What a PEFT configuration may ask for. A delta brings one with it, and may come from anywhere.

PEFT looks names up with Python's patterns, and some of them take longer than the universe is old; and it makes matrices
of whatever rank it is told.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from monai_ept.checks import shown

__all__ = ["SECONDS", "check_limits"]

SECONDS = 10.0
"""For all patterns of a configuration together; those that people write take thousandths of one."""
LARGEST = 1_000_000
"""Of any whole number that is a size; ranks have the backbone's widest layer as their limit."""

_NO_SIZE = re.compile(r"seed|key|alpha|lambda|warmup|interval|step|init$|final$|deltaT|layers_to_transform")
_RANK = re.compile(r"^r$|_r$|rank")
_SEARCH = """
import json, re, sys
patterns, names = json.load(sys.stdin)
for setting, pattern in patterns:
    print(setting, flush=True)
    try:
        found = re.compile(pattern)
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")
    for name in names:
        found.match(name), found.fullmatch(name)
"""


def check_limits(module: nn.Module, config: Mapping[str, Any]) -> None:
    """
    Refuse a configuration that would take all memory, or for ever.

    Args:
        module: the bare backbone.
        config: what ``PeftConfig.to_dict`` says.

    Raises:
        ValueError: naming the setting.
    """
    widest = max((side for param in module.parameters() if param.ndim > 1 for side in param.shape[:2]), default=1)
    for name, number in _whole_numbers(config):
        most = widest if _RANK.search(name) else LARGEST
        if number > most:
            why = f"the backbone's widest layer has {widest}" if most == widest else f"{LARGEST:,} is the most"
            raise ValueError(f"PEFT {config.get('peft_type')} has {name}={shown(number)}, and {why}: choose less.")
    patterns = [(name, pattern) for name, pattern in _patterns(config) if re.search(r"[*+?{(\[|]", pattern)]
    if patterns and sys.executable:
        _try(patterns, [name for name, _ in module.named_modules() if name])


def _whole_numbers(config: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for name, value in config.items():
        if _NO_SIZE.search(name):
            continue
        for number in value.values() if isinstance(value, Mapping) else [value]:
            if isinstance(number, int) and not isinstance(number, bool):
                yield name, number


def _patterns(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each pattern as PEFT puts it together, with the setting that it comes from."""
    for name in ("target_modules", "exclude_modules", "feedforward_modules"):
        if isinstance(config.get(name), str):
            yield name, config[name]
    layers = config.get("layers_pattern") or []
    for pattern in [layers] if isinstance(layers, str) else layers:
        yield "layers_pattern", rf"(?:^|.*?\.){pattern}\.(?P<idx>\d+)\."
    for name, value in config.items():
        if name.endswith("_pattern") and isinstance(value, Mapping):
            yield from ((name, rf"(.*\.)?({key})$") for key in value)


def _try(patterns: list[tuple[str, str]], names: list[str]) -> None:
    """Look all names up in a process that can be stopped; nothing stops a pattern in one's own."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _SEARCH],
            input=json.dumps([patterns, names]),
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        begun = (error.stdout or b"").decode() if isinstance(error.stdout, bytes) else error.stdout or ""
        setting = (begun.split() or ["target_modules"])[-1]
        raise ValueError(
            f"the pattern in {setting} of a PEFT configuration, {shown(dict(patterns)[setting])}, has not been looked "
            f"up within {SECONDS:g} seconds: name the modules in a list, or write a pattern without repeats inside "
            "of repeats."
        ) from None
    if done.returncode and done.stderr:
        setting = (done.stdout.split() or ["target_modules"])[-1]
        raise ValueError(
            f"{setting} of a PEFT configuration, {shown(dict(patterns)[setting])}, is no pattern "
            f"({done.stderr.strip().splitlines()[-1]}): correct it, or name the modules in a list."
        )
