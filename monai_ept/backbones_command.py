# SPDX-License-Identifier: Apache-2.0

"""``monai-ept backbones``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from monai_ept.command_line import Command

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="one of them: print the lines that load it")


def _run(args: argparse.Namespace) -> None:
    """Print the table, or how one model is loaded."""
    from monai_ept.networks.foundation_models import FOUNDATION_MODELS, foundation_model

    if args.name is not None:
        print("\n".join(_lines(foundation_model(args.name))))
        return
    rows: list[tuple[str, ...]] = [("name", "images", "licence", "obtain", "tokens", "size", "millions")]
    for one in FOUNDATION_MODELS:
        where = "licence, log in" if one.gated else "free"
        numbers = [f"{one.tokens[0]}+{one.tokens[1]}", str(one.size), str(one.parameters)]
        rows.append((one.name, one.images, one.licence, where, *numbers))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row[:4], widths, strict=False)]
        print("  ".join([*cells, *(text.rjust(width) for text, width in zip(row[4:], widths[4:], strict=True))]))
    print(
        "\nTokens are class token and registers + patches, size is of the images in pixels, millions are numbers in it."
        "\nmonai-ept backbones NAME prints the lines that load one. Any ViT of timm is a backbone by its name, too."
        "\nWeights are their authors': read the licence of each."
    )


def _lines(model: Any) -> Iterator[str]:
    """What a model is, and the lines that load it, of the hub or of files."""
    yield f"{model.name}: pretrained on {model.images}, {model.parameters} million numbers, {model.size} pixels"
    yield f"licence: {model.licence}"
    way = "accept its conditions there, then hf auth login" if model.gated else "anybody can download it"
    yield f"obtain: https://huggingface.co/{model.repository} ({way})"
    yield "\nfrom the hub, or from its cache without a network"
    yield from _loading(model.on_the_hub)
    folder = model.name
    yield "\nfrom files"
    yield f"  hf download {model.repository} --local-dir {folder}"
    weights = f"{folder}/pytorch_model.bin" if model.format == "timm" else folder
    if model.format == "timm":
        yield "  # or model.safetensors, whichever is there"
    yield from _loading(model.from_files(weights))


def _loading(given: Mapping[str, Any]) -> Iterator[str]:
    settings = given.get("backbone_settings")
    python = "" if not settings else f", backbone_settings={settings!r}"
    shell = "" if not settings else f' --backbone_settings "{settings!r}"'
    weights = given["pretrained"]
    named = f"--backbone {given['backbone']} --pretrained {'true' if weights is True else weights}"
    yield "  # the command line"
    plain = "" if not settings else f' --backbone-settings "{_flow(settings)}"'
    yield f"  monai-ept train IMAGES {named}{plain}"
    yield "  # Python"
    yield f"  net = TunedViT({given['backbone']!r}, num_classes=2, pretrained={weights!r}{python})"
    yield "  # a bundle"
    yield f"  python -m monai.bundle run --config_file configs/train.yaml {named}{shell}"
    yield "  # a sweep"
    entry = {"name" if key == "backbone" else key: value for key, value in given.items()}
    yield f"  backbones: {_flow([entry])}"


def _flow(value: Any) -> str:
    """A value as YAML, in one line."""
    import yaml

    return yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False).strip()


COMMAND = Command(
    "backbones",
    "List medical foundation models, and how each is loaded.",
    _add_arguments,
    _run,
)
