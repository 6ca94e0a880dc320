# SPDX-License-Identifier: Apache-2.0

"""``monai-ept bundle`` and ``monai-ept sweep``."""

from __future__ import annotations

import argparse
import textwrap
from functools import partial

from monai_ept.command_line import Command
from monai_ept.shipped import Kind, copy_shipped, describe_shipped, list_shipped

__all__ = ["COMMANDS"]

_USE = {
    "bundle": "python -m monai.bundle run --config_file {path}/configs/train.yaml",
    "sweep": "monai-ept benchmark run {path}",
}


def _no_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def _copy_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="as the list has it")
    parser.add_argument("folder", nargs="?", default=".", help="where to (the working directory)")


def _list(args: argparse.Namespace, *, kind: Kind) -> None:
    names = list_shipped(kind)
    width = max(map(len, names)) + 2
    for name in names:
        print(f"{name:<{width}}{textwrap.shorten(describe_shipped(kind, name), 118 - width, placeholder=' …')}")


def _copy(args: argparse.Namespace, *, kind: Kind) -> None:
    print(_USE[kind].format(path=copy_shipped(kind, args.name, args.folder)))


def _commands(kind: Kind, what: str) -> list[Command]:
    return [
        Command(
            f"{kind} list",
            f"List the {kind}s that come with monai_ept: {what}.",
            _no_arguments,
            partial(_list, kind=kind),
        ),
        Command(
            f"{kind} copy",
            f"Copy a {kind}, to be used and changed. Prints the command that runs it; what is there stays as it is.",
            _copy_arguments,
            partial(_copy, kind=kind),
        ),
    ]


COMMANDS = [
    *_commands("bundle", "ready-made trainings for MONAI's bundle command"),
    *_commands("sweep", "ready-made benchmarks"),
]
