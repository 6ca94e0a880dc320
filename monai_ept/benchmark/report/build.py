# SPDX-License-Identifier: Apache-2.0

"""The report of a sweep: everything computed once, then written as a page, as Markdown and as CSV."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from monai_ept.benchmark.plan.report_settings import asked_metrics, find_reference
from monai_ept.benchmark.report.content import Report, head_of, sections_of
from monai_ept.benchmark.report.costs import costs_of
from monai_ept.benchmark.report.figures import draw_figures
from monai_ept.benchmark.report.grids import choose
from monai_ept.benchmark.report.results import SweepResults
from monai_ept.benchmark.report.scores import score_cells
from monai_ept.benchmark.report.sentences import say
from monai_ept.checks import check_choice, did_you_mean
from monai_ept.files import usable_folder, write_whole
from monai_ept.reporting.markdown import markdown_of
from monai_ept.reporting.page import build_page

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["build_report", "metrics_of", "reference_of", "save_report"]

SINGLE = ("balanced_accuracy", "auc", "accuracy", "map")
SEVERAL = ("map", "auc", "balanced_accuracy", "accuracy")
"""Metrics by preference, for one label per image and for several."""


def build_report(
    sweep: SweepResults,
    *,
    metric: str | Sequence[str] | Mapping[str, str] | None = None,
    reference: str | None = None,
    figures: bool = True,
) -> Report:
    """
    Compute everything that a report says.

    Args:
        sweep: from ``read_folder`` or ``read_tracked``, finished or not.
        metric: see ``metrics_of``.
        reference: see ``reference_of``.
        figures: draw them.

    Raises:
        ValueError: when nothing is finished, or metric or reference are not there.

    Example::

        >>> report = build_report(read_folder("runs/quick"))
        >>> print("\\n".join(report.reading))
    """
    failed = sweep.failed
    if not len(sweep.finished):
        first = f" ({failed['error'].iloc[0]})" if len(failed) else ""
        raise ValueError(
            f"sweep {sweep.name!r} has no finished cell of {len(sweep.cells)}, {len(failed)} failed{first}: "
            "there is nothing to report yet."
        )
    metric_of = metrics_of(sweep, metric)
    kept, choices = choose(sweep.cells, metric_of)
    table = score_cells(kept, metric_of, reference_of(sweep, kept, reference))
    costs = costs_of(kept, table.labels, table.reference)
    return Report(sweep, table, choices, costs, say(sweep, table, choices), draw_figures(table) if figures else ())


def metrics_of(sweep: SweepResults, wanted: str | Sequence[str] | Mapping[str, str] | None = None) -> dict[str, str]:
    """
    The metric of each source.

    Args:
        wanted: one for all, ``{"chest": "map"}``, or texts such as ``"chest=map"``; the sweep's own by default, and
            without one balanced accuracy, or mAP where images have several labels.

    Raises:
        ValueError: for a metric that no cell has, or a source that there is not.
    """
    sources = list(dict.fromkeys(sweep.cells["source"]))
    asked = asked_metrics(wanted or sweep.settings.get("metric") or (), sources)
    found = {}
    for source in sources:
        cells = sweep.finished[sweep.finished["source"] == source].filter(regex="^test/")
        counts = cells.rename(columns=lambda name: name.removeprefix("test/")).count()
        known = sorted(counts[counts > 0].index)
        if source in asked:
            found[source] = check_choice("metric", asked[source], known) if known else asked[source]
            continue
        order = SEVERAL if "exact_match" in known else SINGLE
        # Not the one that most cells have: a few that are not defined would change what is compared.
        usual = [name for name in order if 2 * counts.get(name, 0) >= len(cells) > 0]
        found[source] = usual[0] if usual else max(order, key=lambda name: counts.get(name, 0))
    return found


def reference_of(sweep: SweepResults, cells: pd.DataFrame, wanted: str | None = None) -> str:
    """
    The label of the method to compare with.

    Args:
        wanted: a label, or the name of a method that only one label has; the sweep's own by default, then "linear".

    Raises:
        ValueError: when it was asked for and no finished cell has it.
    """
    name = str(wanted or sweep.settings.get("reference") or "linear")
    labels = list(cells["label"].unique())
    found = find_reference(name, dict(zip(cells["label"], cells["method"], strict=True)))
    if not found and wanted is not None and labels:
        raise ValueError(f"reference {name!r} has no finished cell: {did_you_mean(name, labels)}")
    return found


def save_report(
    report: Report, folder: str | os.PathLike, *, cells: str | os.PathLike | None = None
) -> dict[str, Path]:
    """
    Write ``report.html``, ``report.md``, ``results.csv``, ``cells.csv``, ``choices.csv`` where there were grids, and
    ``figures/``.

    Args:
        report: from :py:func:`build_report`.
        folder: where to; made if need be.
        cells: the sweep's folder, so that cells can be linked.

    Raises:
        WriteError: when it cannot be written.

    Returns:
        paths by what they are.
    """
    folder = usable_folder(folder)
    base = "" if cells is None else Path(os.path.relpath(Path(cells).resolve(), folder.resolve())).as_posix()
    content = (*head_of(report), report.reading, sections_of(report, base))
    figures = usable_folder(folder / "figures")
    kept = {path.name for picture in report.pictures for path in picture.save(figures)}
    for old in figures.iterdir():  # of a report of earlier results
        if old.suffix in (".svg", ".png") and old.name not in kept:
            old.unlink()
    paths = {
        "page": write_whole(folder / "report.html", build_page(*content)),
        "markdown": write_whole(folder / "report.md", markdown_of(*content)),
    }
    results = report.table.frame
    results["pairs"] = results["pairs"].replace(0, "")
    for name, frame in (("results", results), ("cells", _cells(report)), ("choices", _choices(report))):
        if len(frame) or name != "choices":
            paths[name] = write_whole(folder / f"{name}.csv", frame.to_csv(index=False, lineterminator="\n"))
    return paths


def _cells(report: Report) -> pd.DataFrame:
    """A row for each cell of the sweep, finished or not, with all it measured."""
    cells = report.sweep.cells
    cells = cells.assign(in_table=cells["id"].isin(report.table.cells["id"]).astype(int))
    measured = [name for kind in ("test/", "val/") for name in cells if name.startswith(kind)]
    names = ["id", "status", "in_table", "backbone", "source", "method", "label", "grid", "shots", "sampling", "seed"]
    names += [*measured, "trained", "head", "train_seconds", "test_seconds", "peak_memory_mb"]
    names += ["num_train", "num_test", "split_hash", "fingerprint", "run_id", "finished", "error"]
    return cells[names].rename(columns=lambda name: name.removeprefix("test/").replace("val/", "val_"))


def _choices(report: Report) -> pd.DataFrame:
    """A row for each value of each grid with its validation score."""
    import pandas as pd

    return pd.DataFrame(
        {
            **{"backbone": choice.backbone, "source": choice.source, "shots": choice.shots, "method": choice.label},
            **{"metric": choice.metric, "value": value},
            **dict(zip(("val_mean", "val_low", "val_high"), found.interval, strict=True)),
            **{"repeats": found.number, "chosen": int(value == choice.chosen), "remark": choice.remark},
        }
        for choice in report.choices
        for value, found in choice.scores.items()
    )
