# SPDX-License-Identifier: Apache-2.0

"""``monai-ept methods``."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator

from monai_ept.command_line import Command

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backbone", default="vit_base_patch16_224", help="timm model to count on (%(default)s)")
    parser.add_argument("--num-classes", type=int, default=7, help="classes of the head (%(default)s)")


def _run(args: argparse.Namespace) -> None:
    """Print the list."""
    import shutil

    import torch

    from monai_ept.checks import check_whole
    from monai_ept.methods import list_methods, method_class
    from monai_ept.model import TunedViT
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


COMMAND = Command(
    "methods",
    "List the tuning methods: what each does, its settings, and how many numbers it trains.",
    _add_arguments,
    _run,
)
