# SPDX-License-Identifier: Apache-2.0

"""
What the commands of ``monai-ept`` share.

Each room that has a command describes it in a module of its own, which ``monai_ept.__main__`` lists. That module is
light: ``run`` imports what it needs inside, so that ``--help`` waits for no library.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Command", "add_tracking_uri", "name_value_pairs", "with_hyphens", "yaml_options"]


@dataclass(frozen=True)
class Command:
    """
    One command of ``monai-ept``.

    Args:
        name: one word, or two that share their first with other commands.
        description: of its help page; its first sentence stands in the list of commands.
        add_arguments: adds its arguments to a parser.
        run: does what it is for. Errors for users are ValueError, OSError and ImportError, in one sentence each.
    """

    name: str
    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


def add_tracking_uri(parser: argparse._ActionsContainer, default: str = "sqlite:///mlflow.db") -> None:
    """Add ``--tracking-uri``, which is the same for all commands but for what it is without."""
    parser.add_argument(
        "--tracking-uri", metavar="URI", help=f"address of MLflow (default: MLFLOW_TRACKING_URI, or {default})"
    )


def name_value_pairs(flag: str, given: Sequence[str]) -> dict[str, str]:
    """
    What ``NAME=VALUE`` arguments say.

    Args:
        flag: the option that they belong to, for the error.
        given: the arguments.

    Raises:
        ValueError: for one without a value.
    """
    for one in given:
        if "=" not in one:
            raise ValueError(f"{flag} {one!r} has no value: write it as NAME=VALUE.")
    return dict(one.split("=", 1) for one in given)


def yaml_options(flag: str, given: Sequence[str]) -> dict[str, Any]:
    """
    What ``NAME=VALUE`` arguments say whose values are YAML.

    Args:
        flag: the option that they belong to, for the error.
        given: the arguments.

    Raises:
        ValueError: for one without a value, or with one that is no YAML.
    """
    from monai_ept.yaml_file import load_yaml

    return {name: load_yaml(value, f"{flag} {name}") for name, value in name_value_pairs(flag, given).items()}


def with_hyphens(argv: Sequence[str]) -> list[str]:
    """Arguments with the names of options as help has them: ``--dataset_dir`` is ``--dataset-dir`` too."""
    return [re.sub(r"^--\w[\w-]*", lambda option: option[0].replace("_", "-"), one) for one in argv]
