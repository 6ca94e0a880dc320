# SPDX-License-Identifier: Apache-2.0

"""The comparison that a sweep was made for: methods by shots, over repetitions, against a baseline."""

from __future__ import annotations

import csv
import io
import math
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from monai_ept.metrics import lower_is_better
from monai_ept.reporting.markdown import by_number, markdown_table
from monai_ept.reporting.statistics import estimate, paired
from monai_ept.tracking.mlflow_client import tracking_store, without_password
from monai_ept.tracking.search_runs import search_runs

__all__ = ["Comparison", "Row", "compare"]

PREFERRED = ("test/balanced_accuracy", "test/map", "test/auc", "test/accuracy")
"""The metric that is compared unless another is asked for: the first of these that most runs have."""

REPETITION = ("seed", "split_seed", "split_hash")
"""What differs between the repetitions of one setting: the choice of images and all other chance."""

NOT_A_SETTING = ("git_", "trained_in", "version", "device", "fingerprint", "_hash", "_dir", "_path", "_images")
"""Parts of names of parameters that say where and with what a run was made, and what follows from the split."""


@dataclass(frozen=True)
class Row:
    """
    One method with one number of shots on one data set.

    ``low`` and ``high`` are the ends of the 95 % interval of the mean over repetitions (Student's t), NaN for a
    single one. ``difference`` is the mean difference to the baseline over repetitions that both have (same seed and
    split), NaN where there is none; ``paired`` says over how many.
    """

    source: str
    backbone: str
    shots: str
    method: str
    runs: int
    mean: float
    low: float
    high: float
    difference: float = math.nan
    difference_low: float = math.nan
    difference_high: float = math.nan
    paired: int = 0
    best: bool = False


@dataclass(frozen=True)
class Comparison:
    """
    A table of results.

    Args:
        metric: the metric that is compared.
        baseline: the method that the others are compared with.
        rows: one for each data set, backbone, number of shots and method.
        notes: sentences about runs that were left out.
    """

    metric: str
    baseline: str
    rows: list[Row]
    notes: list[str] = field(default_factory=list)

    @property
    def panels(self) -> dict[tuple[str, str], list[Row]]:
        """Rows by data set and backbone."""
        panels: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in self.rows:
            panels[row.source, row.backbone].append(row)
        return dict(panels)

    def to_markdown(self) -> str:
        """The table as Markdown that is as readable in a terminal; the best of each number of shots is bold."""
        parts = []
        for (source, backbone), rows in self.panels.items():
            shots = sorted({row.shots for row in rows}, key=by_number)
            cells = {(row.method, row.shots): row for row in rows}
            runs = sorted({row.runs for row in rows})
            many = f"{runs[0]}" if len(runs) == 1 else f"{runs[0]}–{runs[-1]}"
            head = ["method"]
            for shot in shots:
                head += [f"{shot}-shot", f"vs {self.baseline}"]
            table = [head]
            for method in self.ordered_methods(rows):
                line = [method]
                for shot in shots:
                    row = cells.get((method, shot))
                    line += ["", ""] if row is None else [_value(row), "" if method == self.baseline else _gain(row)]
                table.append(line)
            parts.append(
                f"### {source}, {backbone}\n\n{self.metric}, mean ± 95 % interval over {many} "
                f"repetition{'s' if runs[-1] > 1 else ''}\n\n{markdown_table(table)}"
            )
        parts += [f"Note: {note}" for note in self.notes]
        return "\n\n".join(parts) + "\n"

    def to_csv(self) -> str:
        """All numbers, one row for each method, number of shots, data set and backbone."""
        text = io.StringIO()
        names = ["metric", "baseline", *(item.name for item in fields(Row))]
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            known = {key: value for key, value in asdict(row).items() if value == value}  # NaN becomes an empty cell
            writer.writerow({"metric": self.metric, "baseline": self.baseline, **known})
        return text.getvalue()

    def save(self, folder: str | os.PathLike) -> list[Path]:
        """Write ``comparison.csv``, ``comparison.md`` and ``comparison.png`` into a folder, and say where they are."""
        from monai_ept.tracking.figure import draw_comparison

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"comparison.{end}" for end in ("csv", "md", "png")]
        paths[0].write_text(self.to_csv(), encoding="utf-8")
        paths[1].write_text(self.to_markdown(), encoding="utf-8")
        draw_comparison(self, paths[2])
        return paths

    def ordered_methods(self, rows: Sequence[Row]) -> list[str]:
        """Methods from best to worst with most shots; the baseline comes last."""
        sign = 1 if lower_is_better(self.metric) else -1
        last: dict[str, tuple[float, float]] = {}
        for row in sorted(rows, key=lambda row: by_number(row.shots)):
            last[row.method] = -by_number(row.shots)[0], sign * row.mean
        return sorted(last, key=lambda method: (method == self.baseline, last[method], method))


def compare(
    experiment: str | Sequence[str] | None = None,
    *,
    metric: str | None = None,
    baseline: str = "linear",
    tags: Mapping[str, str] | None = None,
    tracking_uri: str | None = None,
) -> Comparison:
    """
    Compare the finished runs of a store.

    Runs of one method are repetitions of each other when they differ in nothing but seed and split; where another
    setting differs, it becomes part of the method's name. Of two runs with the same seed and split, the later counts.

    Args:
        experiment: one or more experiments; all by default.
        metric: the metric, ``"auc"`` for ``"test/auc"``; by default the first of balanced accuracy, mAP, AUC and
            accuracy that the runs have.
        baseline: the method that others are compared with.
        tags: only runs with these tags, for example ``{"sweep": "derm-methods"}``.
        tracking_uri: the store, see ``tracking_store``.

    Raises:
        ValueError: when there is no such experiment, no finished run, or no run with that metric.
        ConnectionError: when the store does not answer.

    Example::

        >>> print(compare("derm", metric="auc").to_markdown())
    """
    uri = tracking_store(tracking_uri)
    names = [experiment] if isinstance(experiment, str) else list(experiment or [])
    runs = _finished_runs(uri, names, tags or {})
    chosen = _metric(runs, metric)
    notes = []
    unusable = sum(not math.isfinite(run.metrics.get(chosen, math.nan)) for run in runs)
    if unusable:
        notes.append(f"{unusable} of {len(runs)} runs have no {chosen} and are left out.")
    usable = [run for run in runs if math.isfinite(run.metrics.get(chosen, math.nan))]
    latest: dict[tuple, _Run] = {}
    for run in sorted(usable, key=lambda run: run.start):
        latest[(*run.cell, *sorted(run.settings.items()), run.repetition)] = run
    if len(latest) < len(usable):
        notes.append(f"{len(usable) - len(latest)} runs repeat a seed and split; the later one of each counts.")
    return Comparison(chosen, baseline, _rows(list(latest.values()), chosen, baseline), notes)


class _Run(NamedTuple):
    start: int
    cell: tuple[str, str, str, str]  # source, backbone, shots, method
    repetition: tuple[str, ...]
    settings: dict[str, str]
    metrics: dict[str, float]


def _finished_runs(uri: str, names: Sequence[str], tags: Mapping[str, str]) -> list[_Run]:
    query = [f"tags.`{key}` = '{value}'" for key, value in tags.items()]
    runs = search_runs(uri, names, " and ".join(["attributes.status = 'FINISHED'", *query]))
    found = [_read(run) for run in runs if "method" in run.data.params]
    if not found:
        among = f" in experiment {', '.join(names)}" if names else ""
        tagged = f" with {', '.join(f'{key}={value}' for key, value in tags.items())}" if tags else ""
        where = without_password(uri)
        raise ValueError(f"there is no finished run{among}{tagged} at {where}: train first, or see 'monai-ept sync'.")
    return found


def _read(run: Any) -> _Run:
    params = dict(run.data.params)
    cell = tuple(params.pop(key, "?") for key in ("source", "backbone", "shots", "method"))
    repetition = tuple(params.pop(key, "") for key in REPETITION)
    settings = {key: value for key, value in params.items() if not any(part in key for part in NOT_A_SETTING)}
    return _Run(run.info.start_time, cell, repetition, settings, dict(run.data.metrics))


def _metric(runs: Sequence[_Run], wanted: str | None) -> str:
    there = {name for run in runs for name in run.metrics}
    if wanted is not None:
        for name in (wanted, f"test/{wanted}"):
            if name in there:
                return name
    else:
        counts = {name: sum(name in run.metrics for run in runs) for name in PREFERRED}
        best = max(counts, key=lambda name: counts[name])
        if counts[best]:
            return best
    tests = sorted(name for name in there if name.startswith("test/") and name.count("/") == 1)
    raise ValueError(f"no run has metric {wanted or PREFERRED[0]!r}; there is {', '.join(tests) or 'none'}.")


def _rows(runs: Sequence[_Run], metric: str, baseline: str) -> list[Row]:
    labels = _labels(runs)
    values: dict[tuple[str, str, str, str], dict[tuple, float]] = defaultdict(dict)
    for run, label in zip(runs, labels, strict=True):
        source, backbone, shots, _ = run.cell
        values[source, backbone, shots, label][run.repetition] = run.metrics[metric]
    pick = min if lower_is_better(metric) else max
    rows = []
    for (source, backbone, shots, method), results in values.items():
        mean, low, high = estimate(list(results.values())).interval
        base = values.get((source, backbone, shots, baseline), {})
        pairs = paired(results, base) if method != baseline else []
        difference = estimate(pairs)
        rivals = [
            estimate(list(other.values())).mean for key, other in values.items() if key[:3] == (source, backbone, shots)
        ]
        rows.append(
            Row(
                source=source,
                backbone=backbone,
                shots=shots,
                method=method,
                runs=len(results),
                mean=mean,
                low=low,
                high=high,
                difference=difference.mean,
                difference_low=difference.low,
                difference_high=difference.high,
                paired=len(pairs),
                best=len(rivals) > 1 and mean == pick(rivals),
            )
        )
    return sorted(rows, key=lambda row: (row.source, row.backbone, by_number(row.shots), row.method))


def _labels(runs: Sequence[_Run]) -> list[str]:
    """The method of each run, with those settings that differ between runs of that method."""
    differing: dict[tuple, set[str]] = defaultdict(set)
    by_method: dict[tuple, list[_Run]] = defaultdict(list)
    for run in runs:
        by_method[run.cell[0], run.cell[1], run.cell[3]].append(run)
    for key, group in by_method.items():
        names = {name for run in group for name in run.settings}
        differing[key] = {name for name in names if len({run.settings.get(name) for run in group}) > 1}
    labels = []
    for run in runs:
        odd = sorted(differing[run.cell[0], run.cell[1], run.cell[3]])
        extra = ", ".join(f"{name.rpartition('.')[2]}={run.settings.get(name, '–')}" for name in odd)
        labels.append(f"{run.cell[3]} ({extra})" if extra else run.cell[3])
    return labels


def _value(row: Row) -> str:
    text = f"{row.mean:.3f}" if math.isnan(row.low) else f"{row.mean:.3f} ± {row.high - row.mean:.3f}"
    return f"**{text}**" if row.best else text


def _gain(row: Row) -> str:
    if math.isnan(row.difference):
        return ""
    text = f"{row.difference:+.3f}"
    return text if math.isnan(row.difference_low) else f"{text} ± {row.difference_high - row.difference:.3f}"
