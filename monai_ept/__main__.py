# Copyright (c) The monai_ept developers
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#     http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The command line: ``monai-ept <command>``, or ``python -m monai_ept <command>``.

A command is a function that takes the parsed arguments, and a few lines in ``_parser``. It imports what it needs
inside, so that no command waits for the libraries of another.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run a command.

    Args:
        argv: its name and arguments, those of the process by default.

    Returns:
        the exit status: 0, or 2 when an argument is wrong.
    """
    args = _parser().parse_args(argv)
    try:
        args.run(args)
    except BrokenPipeError:
        # Whoever read our output has read enough; nothing is left to be flushed at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"monai-ept {args.command}: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="monai-ept", description="Adapt a pretrained ViT to a medical task.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    command = commands.add_parser("methods", help="list the tuning methods, their settings and what they train")
    command.add_argument("--backbone", default="vit_base_patch16_224", help="timm model to count on (%(default)s)")
    command.add_argument("--num-classes", type=int, default=7, help="classes of the head (%(default)s)")
    command.set_defaults(run=_methods)
    return parser


def _methods(args: argparse.Namespace) -> None:
    import torch

    from monai_ept import TunedViT, list_methods
    from monai_ept.checks import check_whole
    from monai_ept.methods import method_class
    from monai_ept.networks import create_backbone

    check_whole("num_classes", args.num_classes)
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    with torch.device("meta"):  # shapes are enough to count
        backbone = create_backbone(args.backbone)
        print(f"Trained numbers on {args.backbone} with {args.num_classes} classes:\n")
        print(f"{'method':<10}{'backbone':>12}{'head':>11}  what it does, settings and their defaults, reference")
        for name in list_methods():
            cls = method_class(name)
            about = list(_about(cls, width - 35))
            try:
                count = TunedViT(backbone, args.num_classes, method=name).count()
                numbers = f"{count.delta:>12,}{count.head:>11,}"
            except (ValueError, TypeError) as error:
                numbers = f"{'not here':>12}{'':>11}"
                about += textwrap.wrap(str(error), max(width - 35, 40))
            for line, text in enumerate(about):
                print(f"{name:<10}{numbers}  {text}" if line == 0 else f"{'':<35}{text}")
    print("\nA list of methods is a method too, and so is any configuration of Hugging Face PEFT.")


def _about(cls: type, width: int) -> Iterator[str]:
    """What a method does, its settings and its reference, in lines of at most ``width``."""
    import dataclasses
    import inspect

    summary = inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0]
    settings = ", ".join(f"{field.name}={field.default!r}" for field in dataclasses.fields(cls))
    for text in (" ".join(summary.split()).replace("``", ""), settings, getattr(cls, "reference", "")):
        yield from textwrap.wrap(text, max(width, 40))


if __name__ == "__main__":
    raise SystemExit(main())
