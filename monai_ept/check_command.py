# SPDX-License-Identifier: Apache-2.0

"""``monai-ept check``."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from monai_ept.command_line import Command, yaml_options

if TYPE_CHECKING:
    from monai_ept.data import RecordSet

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", help="the data folder, or a file that is one")
    parser.add_argument("--source", help="how it is read, see docs/data.md (found out by what lies in it)")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the source; repeat it for more",
    )
    parser.add_argument("--out", metavar="FOLDER", help="write near_copies.csv and near_copies.png into it")
    parser.add_argument("--fast", action="store_true", help="do not look for near copies, which decodes every image")


def _run(args: argparse.Namespace) -> None:
    """Print the report; the exit status is 1 if a training would refuse the data."""
    from monai_ept.data.report import check_data

    options = yaml_options("--option", args.option)
    report = check_data(args.data, args.source, near=not args.fast, out=args.out, **options)
    print(report.text)
    if report.split is not None and report.data is not None:
        print("\n".join(["", "next", *_training(report.data, report.split.settings["shots"])]))
    if report.refused:
        print(f"monai-ept check: a training would refuse {args.data}: {report.refused}", file=sys.stderr)
        raise SystemExit(1)


def _training(data: RecordSet, shots: int) -> list[str]:
    """The bundle that is made for a source, or for volumes; otherwise a few lines of Python."""
    origin = data.origin or {}
    source, folder = origin["source"], origin["dataset_dir"]
    options = {name: value for name, value in origin["options"].items() if name != "check_images"}
    bundle = _BUNDLES.get(source) or ("ept_volume" if data.spatial_dims == 3 else None)
    if bundle is None:
        given = "".join(f", {name}={value!r}" for name, value in options.items())
        return _PYTHON.format(source=source, folder=folder, options=given, shots=shots).splitlines()
    place = next((path for path in (f"bundles/{bundle}", bundle) if Path(path, "configs/train.yaml").is_file()), None)
    settings = {"dataset_dir": folder, "source": source, "source_options": options or None, "shots": shots}
    words = [f"--{name} {_quoted(str(value))}" for name, value in settings.items() if value is not None]
    command = f"python -m monai.bundle run --config_file {place or bundle}/configs/train.yaml {' '.join(words)}"
    return [command] if place else [f"monai-ept bundle copy {bundle} && {command}"]


def _quoted(text: str) -> str:
    """Text as a shell takes it; what Python has quoted is easier to read between double quotes."""
    return f'"{text}"' if "'" in text and not set(text) & set('"$`\\!') else shlex.quote(text)


_BUNDLES = {
    "isic2018": "ept_derm",
    "medfmc_chest": "ept_chest",
    "medfmc_colon": "ept_colon",
    "medfmc_endo": "ept_endo",
}
_PYTHON = """\
python - <<'END'
from monai_ept import EPTWrapper, fit
from monai_ept.data import few_shot_split, load_source

data = load_source({source!r}, {folder!r}{options})
split = few_shot_split(data, shots={shots})
net = EPTWrapper("embedded", data.num_classes, class_names=data.class_names)  # small; any name of timm, pretrained=True
print(fit(net, split))
END"""


COMMAND = Command(
    "check",
    "Look through a data folder before a training: which source reads it, classes, patients, sizes, values, unreadable "
    "and odd files, copies and near copies, and the command to run next. "
    "Ends with an error if a training would refuse it.",
    _add_arguments,
    _run,
)
