# SPDX-License-Identifier: Apache-2.0

"""
What the commands of ``monai-ept`` share.

Each room that has a command describes it in a module of its own, which ``monai_ept.__main__`` lists. That module is
light: ``run`` imports what it needs inside, so that ``--help`` waits for no library.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "Command",
    "add_computing_options",
    "add_data_options",
    "add_result_options",
    "add_tracking_uri",
    "as_help_has_them",
    "name_value_pairs",
    "named_trainings",
    "one_line_each",
    "yaml_options",
    "yaml_values",
]


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


def add_computing_options(parser: argparse._ActionsContainer, *, batch_size: int) -> None:
    """Add what the network of a finished training is computed with."""
    parser.add_argument("--pretrained", metavar="PATH", help="the backbone's weights, if they have moved since")
    parser.add_argument("--batch-size", default=str(batch_size), metavar="N", help=f"images at a time ({batch_size})")
    parser.add_argument("--num-workers", default="0", metavar="N", help="processes that load images (0)")
    parser.add_argument("--device", help="cpu or cuda (a card if there is one)")


def add_data_options(parser: argparse._ActionsContainer, source: str) -> None:
    """Add ``--source`` and ``--option``, which say how a folder is read; ``source`` is the first one's help."""
    parser.add_argument("--source", help=source)
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the source; repeat it for more",
    )


def add_result_options(parser: argparse._ActionsContainer, default: str, in_bundles: str) -> None:
    """Add ``--out`` and ``--overwrite``; what bundles call the first is understood too."""
    parser.add_argument("--out", metavar="FOLDER", help=f"of the result ({default})")
    parser.add_argument(in_bundles, dest="out", help=argparse.SUPPRESS)
    parser.add_argument("--overwrite", action="store_true", help="replace the result that is there, once this is whole")


def add_tracking_uri(parser: argparse._ActionsContainer, default: str = "sqlite:///mlflow.db") -> None:
    """Add ``--tracking-uri``, which is the same for all commands but for what it is without."""
    parser.add_argument(
        "--tracking-uri", metavar="URI", help=f"address of MLflow (default: MLFLOW_TRACKING_URI, or {default})"
    )


def name_value_pairs(flag: str, given: Sequence[str]) -> dict[str, str]:
    """
    What ``NAME=VALUE`` arguments say.

    Raises:
        ValueError: for one without a value.
    """
    for one in given:
        if "=" not in one:
            raise ValueError(f"{flag} {one!r} has no value: write it as NAME=VALUE.")
    return dict(one.split("=", 1) for one in given)


def named_trainings(flag: str, given: Sequence[str]) -> dict[str, str]:
    """
    Trainings by the names of their tasks, ``TASK=RUN``; one without a name has an empty one.

    Raises:
        ValueError: for several of which one has no name, or two have the same.
    """
    if len(given) == 1 and ("=" not in given[0] or os.path.isdir(given[0])):
        return {"": given[0]}
    trainings = name_value_pairs(flag, given)
    if len(trainings) < len(given) or "" in trainings:
        raise ValueError(f"{flag} takes a name of its own for each task: write them as TASK=RUN.")
    return trainings


def yaml_options(flag: str, given: Sequence[str]) -> dict[str, Any]:
    """
    What ``NAME=VALUE`` arguments say whose values are YAML.

    Raises:
        ValueError: for one without a value, or with one that is no YAML.
    """
    from monai_ept.yaml_file import load_yaml

    return {name: load_yaml(value, f"{flag} {name}") for name, value in name_value_pairs(flag, given).items()}


def yaml_values(args: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """
    Values of options that are written in YAML; what was not given is None.

    Raises:
        ValueError: for one that is no YAML.
    """
    from monai_ept.yaml_file import load_yaml

    given = {name: getattr(args, name) for name in names}
    flags = {name: f"--{name.replace('_', '-')}" for name in names}
    return {name: text if text is None else load_yaml(text, flags[name]) for name, text in given.items()}


def as_help_has_them(argv: Sequence[str]) -> list[str]:
    """
    Arguments as help has them, of those that bundles take.

    ``--dataset_dir`` is ``--dataset-dir`` too, and ``--resume true`` is ``--resume``.
    """
    given = [re.sub(r"^--\w[\w-]*", lambda option: option[0].replace("_", "-"), one) for one in argv]
    said = {at for at in range(1, len(given)) if given[at - 1] in _FLAGS and given[at] == "true"}
    return [one for at, one in enumerate(given) if at not in said]


_FLAGS = ("--resume", "--overwrite")


def one_line_each(parser: argparse.ArgumentParser, usage: str) -> None:
    """Let a help page with many options fit one screen: a short usage, and the help of each beside its long name."""
    parser.usage = f"{parser.prog} {usage}"
    parser.formatter_class = lambda prog: argparse.HelpFormatter(prog, max_help_position=29)
