# SPDX-License-Identifier: Apache-2.0

"""``monai-ept analyze``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from monai_ept.analysis.analysis import analyze
from monai_ept.analysis.subject import find_subject, record_analysis
from monai_ept.delta import store_temperature

__all__ = ["analyze_command"]


def analyze_command(args: argparse.Namespace, options: Mapping[str, str]) -> None:
    """
    Analyse what the arguments name, write the page, and add it to the run.

    Args:
        args: what ``monai-ept analyze --help`` lists.
        options: options of the source, as they were typed.
    """
    subject = find_subject(
        run=args.training,
        delta=args.delta,
        pretrained=args.pretrained,
        source=args.source,
        dataset_dir=args.dataset_dir,
        split=args.split,
        options={name: yaml.safe_load(value) for name, value in options.items()},
        tracking_uri=args.tracking_uri,
        out_dir=args.out or "analysis",
    )
    val = getattr(subject.images, "val", subject.val)
    if args.calibrate and not val:
        raise ValueError("--calibrate needs validation images, and there are none: make the split with val='shots'.")
    if args.calibrate and args.part == "val":
        raise ValueError("--calibrate finds the temperature on the validation images: choose another --part.")
    found = analyze(
        subject.net,
        subject.images,
        val=val,
        part=args.part,
        out_dir=args.out or (subject.folder / "analysis" if subject.folder is not None else Path("analysis")),
        class_names=subject.data.class_names,
        max_images=args.max_images,
        transform_settings=subject.transform_settings,
        seed=args.seed,
        device=args.device,
        progress=sys.stderr.isatty(),
    )
    print(f"{found}\n")
    if args.calibrate and found.temperature is not None:
        if found.temperature.at_edge:
            raise ValueError(
                f"the validation images cannot determine a temperature (it ran to {found.temperature.temperature:.3g}, "
                f"the end of what was searched): {subject.delta} stays as it is; the page is {found.paths['page']}."
            )
        store_temperature(subject.delta, found.temperature.temperature)
        print(f"temperature {found.temperature.temperature:.4g} stored in {subject.delta}")
    print(f"page        {found.paths['page']}")
    if not args.no_track:
        said = record_analysis(subject, found.numbers, list(found.paths.values()), args.calibrate)
        if said:
            print(said)
