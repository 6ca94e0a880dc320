# SPDX-License-Identifier: Apache-2.0

"""The command line: ``monai-ept <command>``, or ``python -m monai_ept <command>``, see ``monai_ept.command_line``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from monai_ept import (
    __version__,
    adapt_command,
    backbones_command,
    check_command,
    evaluate_command,
    methods_command,
    predict_command,
    register_command,
    ship_command,
    shipped_command,
    train_command,
)
from monai_ept.analysis import command as analyze_command
from monai_ept.benchmark.report import command as report_command
from monai_ept.benchmark.run import command as run_command
from monai_ept.command_line import as_help_has_them
from monai_ept.tracking import command as sync_command

__all__ = ["COMMANDS", "main"]

COMMANDS = [
    methods_command.COMMAND,
    backbones_command.COMMAND,
    check_command.COMMAND,
    train_command.COMMAND,
    evaluate_command.COMMAND,
    predict_command.COMMAND,
    adapt_command.COMMAND,
    analyze_command.COMMAND,
    run_command.COMMAND,
    *report_command.COMMANDS[:1],
    *shipped_command.COMMANDS,
    *report_command.COMMANDS[1:],
    ship_command.COMMAND,
    register_command.COMMAND,
    sync_command.COMMAND,
]
_GROUPS = {
    "benchmark": "Run methods × data × shots × samplings, and report on them.",
    "bundle": "Ready-made trainings for MONAI's bundle command.",
    "sweep": "Ready-made benchmarks for `monai-ept benchmark run`.",
}
# Commands of release 0.1 that are none any more; to be removed in the release after the next.
_GONE = {"pretrain": "the embedded backbone is pretrained in a checkout, with python -m tools.pretrain."}


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run a command.

    Returns:
        the exit status: 0, 2 when something that the user can change is wrong, or 130 when it was told to stop.
    """
    argv = as_help_has_them(sys.argv[1:] if argv is None else argv)
    if argv and argv[0] in _GONE:
        print(f"monai-ept {argv[0]}: {_GONE[argv[0]]}", file=sys.stderr)
        return 2
    args = _parser().parse_args(argv)
    try:
        args.run(args)
    except BrokenPipeError:
        # Whoever read our output has read enough; nothing is left to be flushed at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt as stopped:
        print(f"\nmonai-ept {args.command}: {stopped or 'stopped by Ctrl-C.'}", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError, ArithmeticError) as error:
        print(f"monai-ept {args.command}: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="monai-ept",
        description="Adapt a pretrained vision transformer to a medical task from a handful of labelled images.",
    )
    parser.add_argument("--version", action="version", version=f"monai_ept {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    groups: dict[str, argparse._SubParsersAction] = {}
    for command in COMMANDS:
        group, _, name = command.name.rpartition(" ")
        if group and group not in groups:
            page = commands.add_parser(group, help=_GROUPS[group].rstrip("."), description=_GROUPS[group])
            groups[group] = page.add_subparsers(required=True, metavar="action")
        page = (groups[group] if group else commands).add_parser(
            name, help=command.description.partition(". ")[0].rstrip("."), description=command.description
        )
        command.add_arguments(page)
        page.set_defaults(run=command.run, command=command.name)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
