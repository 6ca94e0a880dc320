# SPDX-License-Identifier: Apache-2.0

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

    command = commands.add_parser("sync", help="upload runs that MLflow has not got, because it was away")
    command.add_argument("folders", nargs="*", default=["."], help="where the runs are (the working directory)")
    command.add_argument("--tracking-uri", help="another MLflow than the one that each run was meant for")
    command.set_defaults(run=_sync)

    command = commands.add_parser("compare", help="compare methods over their repetitions, from the runs in MLflow")
    command.add_argument("--experiment", nargs="+", help="experiments to read (all)")
    command.add_argument("--metric", help="such as auc or accuracy (balanced accuracy, or mAP for several labels)")
    command.add_argument("--baseline", default="linear", help="method to compare with (%(default)s)")
    command.add_argument("--tag", nargs="+", default=[], metavar="NAME=VALUE", help="only runs with these tags")
    command.add_argument("--tracking-uri", help="MLflow's address (MLFLOW_TRACKING_URI, or sqlite:///mlflow.db)")
    command.add_argument("--out", default="comparison", help="folder for comparison.csv, .md and .png (%(default)s)")
    command.set_defaults(run=_compare)

    _analyze_arguments(commands.add_parser("analyze", help="what tuning did to features, attention and probabilities"))

    command = commands.add_parser("benchmark", help="run methods × data × shots × samplings, and report on them")
    actions = command.add_subparsers(dest="action", required=True, metavar="action")
    _benchmark_run_arguments(actions.add_parser("run", help="run the cells of a sweep that are not done yet"))
    _benchmark_report_arguments(actions.add_parser("report", help="tables, tests and figures of what is done"))

    command = commands.add_parser("pretrain", help="repeat the pretraining of the embedded backbone")
    command.add_argument("--out", default="pretraining", help="folder; the same again goes on there (%(default)s)")
    command.add_argument("--pictures", type=int, help="pictures to make and learn from")
    command.add_argument("--steps", type=int, help="steps of training")
    command.add_argument("--seed", type=int, help="of everything random")
    command.add_argument("--workers", type=int, help="processes that make pictures (one per core)")
    command.add_argument("--device", help="where to train (a CUDA card if there is one)")
    command.set_defaults(run=_pretrain)
    return parser


def _analyze_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--run", dest="training", metavar="FOLDER|ID", help="folder of a training, or run in MLflow")
    command.add_argument("--delta", metavar="FILE", help="a delta file, instead of --run")
    command.add_argument("--pretrained", help="weights of the backbone: a path, true (hub) or false")
    command.add_argument("--source", help="how the images are read (as in the run)")
    command.add_argument("--dataset_dir", help="where the images are")
    command.add_argument("--option", nargs="+", default=[], metavar="NAME=VALUE", help="options of the source")
    command.add_argument("--split", metavar="FILE", help="the split (that of the run)")
    command.add_argument("--part", choices=("test", "val", "train"), default="test", help="of the split (%(default)s)")
    command.add_argument("--max_images", type=int, default=500, help="a random choice of so many (%(default)s)")
    command.add_argument("--calibrate", action="store_true", help="store the temperature in the delta file")
    command.add_argument("--out", help="folder for analysis.html and the rest (the run's, or ./analysis)")
    command.add_argument("--seed", type=int, default=0, help="of all that is random (%(default)s)")
    command.add_argument("--device", help="such as cpu or cuda (cuda if there is a card)")
    command.add_argument("--tracking-uri", help="MLflow's address (MLFLOW_TRACKING_URI, or that of the run)")
    command.add_argument("--no-track", action="store_true", help="leave the run in MLflow as it is")
    command.set_defaults(run=_analyze)


def _benchmark_run_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("sweep", help="YAML file that says what to run, see docs/benchmark.md")
    command.add_argument("--out", help="the sweep's folder (runs/<name>); what is done there is not repeated")
    command.add_argument("--workers", type=int, help="processes on this machine (one per core)")
    command.add_argument("--threads", type=int, help="threads of each (what the cores allow)")
    command.add_argument("--device", help="where cells are trained (a CUDA card if there is one)")
    command.add_argument("--ray", nargs="?", const=True, metavar="ADDRESS", help="run the cells on a Ray cluster")
    command.add_argument("--dry-run", action="store_true", help="show the cells and what they will cost")
    command.add_argument("--track", action=argparse.BooleanOptionalAction, default=True, help="record in MLflow (yes)")
    command.add_argument("--tracking-uri", help="MLflow's address (MLFLOW_TRACKING_URI, or sqlite:///mlflow.db)")
    command.add_argument("--experiment", help="MLflow experiment (the cell's source)")
    command.add_argument("--retry-failed", action="store_true", help="run cells again that failed")
    command.add_argument("--cache", help="folder of decoded images (images/ in the sweep's folder)")
    change = "change the sweep, for example recipe.epochs=5"
    command.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=change)
    command.set_defaults(run=_benchmark_run)


def _benchmark_report_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", nargs="?", help="the sweep's folder")
    command.add_argument("--sweep", help="the sweep's name, to read its runs from MLflow instead")
    command.add_argument("--tracking-uri", help="MLflow's address (MLFLOW_TRACKING_URI, or sqlite:///mlflow.db)")
    metric = "metric to compare, or SOURCE=METRIC (the sweep's; balanced accuracy, or mAP for several labels)"
    command.add_argument("--metric", nargs="+", help=metric)
    command.add_argument("--reference", help="method to compare with (the sweep's, or linear)")
    command.add_argument("--out", help="folder of the report (report/ in the sweep's, or report-<sweep>)")
    command.set_defaults(run=_benchmark_report)


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


def _pretrain(args: argparse.Namespace) -> None:
    from tools.pretrain import Recipe, run_pretraining

    given = {name: value for name in ("pictures", "steps", "seed") if (value := getattr(args, name)) is not None}
    print(run_pretraining(args.out, Recipe(**given), workers=args.workers, device=args.device))


def _sync(args: argparse.Namespace) -> None:
    from monai_ept.tracking import sync

    results = sync(args.folders, tracking_uri=args.tracking_uri)
    for result in results:
        print(f"{result.outcome:<9} {result.run_name:<30} {result.journal}{': ' if result.why else ''}{result.why}")
    failed = sum(result.outcome == "failed" for result in results)
    if failed:
        raise ConnectionError(f"{failed} of {len(results)} could not be uploaded; nothing is lost, try again later.")
    if not results:
        print("Nothing to upload: MLflow has everything.")


def _benchmark_run(args: argparse.Namespace) -> None:
    from monai_ept.benchmark.run.command import run_command

    run_command(args)


def _benchmark_report(args: argparse.Namespace) -> None:
    from monai_ept.benchmark.report.command import report_command

    report_command(args)


def _compare(args: argparse.Namespace) -> None:
    from monai_ept.benchmark.report import compare

    tags = _pairs("--tag", args.tag)
    table = compare(
        args.experiment, metric=args.metric, baseline=args.baseline, tags=tags, tracking_uri=args.tracking_uri
    )
    print(table.to_markdown())
    for path in table.save(args.out):
        print(path)


def _analyze(args: argparse.Namespace) -> None:
    from monai_ept.analysis.command import analyze_command

    analyze_command(args, _pairs("--option", args.option))


def _pairs(flag: str, given: Sequence[str]) -> dict[str, str]:
    for one in given:
        if "=" not in one:
            raise ValueError(f"{flag} {one!r} has no value: write it as NAME=VALUE.")
    return dict(one.split("=", 1) for one in given)


if __name__ == "__main__":
    raise SystemExit(main())
