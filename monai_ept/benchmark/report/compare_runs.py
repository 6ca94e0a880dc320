# SPDX-License-Identifier: Apache-2.0

"""Methods by shots, over repetitions, against a baseline: the finished runs of an MLflow store, of a sweep or not."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_ept.benchmark.report.figures.shots import curves_of, plot_shots
from monai_ept.benchmark.report.from_mlflow import NOT_A_SETTING, REPETITION, read_run
from monai_ept.benchmark.report.results import frame_of, with_own_labels
from monai_ept.benchmark.report.scores import PLACE, Scores, score_cells
from monai_ept.files import usable_folder, write_whole
from monai_ept.metrics import lower_is_better
from monai_ept.reporting.figure import panels, save_figure, styled
from monai_ept.reporting.markdown import as_text, by_number, markdown_table
from monai_ept.reporting.numbers import many

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison", "compare"]

IN_TABLE = (*REPETITION, "source", "backbone", "shots", "method")
"""Parameters that say where a run stands in the table."""

COLUMNS = ["metric", "baseline", "source", "backbone", "shots", "method", "runs", "mean", "low", "high"]
COLUMNS += ["difference", "difference_low", "difference_high", "paired", "best"]

PREFERRED = ("test/balanced_accuracy", "test/map", "test/auc", "test/accuracy")
"""The metric that is compared unless another is asked for: the first of these that most runs have."""


@dataclass(frozen=True)
class Comparison:
    """
    Scores of every method with every number of shots on every data set.

    Args:
        metric: the metric that is compared.
        baseline: the method that the others are compared with.
        table: the scores.
        notes: sentences about runs that were left out.
    """

    metric: str
    baseline: str
    table: Scores
    notes: Sequence[str] = ()

    @property
    def frame(self) -> pd.DataFrame:
        """
        A row for each data set, backbone, number of shots and method.

        ``low`` and ``high`` are the ends of the 95 % interval of the mean over repetitions (Student's t), NaN for a
        single one. ``difference`` is the mean difference to the baseline over the ``paired`` repetitions that both have
        (same seed and split), NaN where there is none.
        """
        everything = self.table.frame.rename(columns={"repeats": "runs", "pairs": "paired"})
        rows = everything[(everything["source"] != "") & (everything["shots"] != "")]
        # Of equal means all are the best, and of one method none is.
        groups = rows.groupby(PLACE)["mean"]
        best = groups.transform("min" if lower_is_better(self.metric) else "max")
        best = (rows["mean"] == best) & (groups.transform("size") > 1)
        rows = rows.assign(baseline=self.baseline, best=best)
        order = ["source", "backbone", "shots", "method"]
        rows = rows.sort_values(order, key=lambda column: column.map(by_number) if column.name == "shots" else column)
        return rows[COLUMNS].reset_index(drop=True)

    def to_markdown(self) -> str:
        """The table as Markdown that is as readable in a terminal; the best of each number of shots is bold."""
        parts = []
        for (source, backbone), frame in self.frame.groupby(["source", "backbone"]):
            shots = list(frame["shots"].unique())
            cells = {(row.method, row.shots): _texts(row) for row in frame.itertuples()}
            table = [["method", *(name for shot in shots for name in (f"{shot}-shot", f"vs {self.baseline}"))]]
            for method in self.table.labels:
                if method in set(frame["method"]):
                    found = (cells.get((method, shot), ("", "")) for shot in shots)
                    table.append([as_text(method), *(text for pair in found for text in pair)])
            least, most = frame["runs"].min(), frame["runs"].max()
            over = many(most, "repetition") if least == most else f"{least}–{many(most, 'repetition')}"
            what = f"{self.metric}, mean ± 95 % interval over {over}"
            parts.append(f"### {as_text(f'{source}, {backbone}')}\n\n{what}\n\n{markdown_table(table)}")
        return "\n\n".join([*parts, *(f"Note: {note}" for note in self.notes)]) + "\n"

    def save(self, folder: str | os.PathLike) -> list[Path]:
        """Write ``comparison.csv``, ``comparison.md`` and ``comparison.png`` into a folder, and say where they are."""
        folder = usable_folder(folder)
        with styled("comparison"):
            return [
                write_whole(folder / "comparison.csv", self.frame.to_csv(index=False, lineterminator="\n")),
                write_whole(folder / "comparison.md", self.to_markdown()),
                save_figure(self._figure(), folder / "comparison.png"),
            ]

    def _figure(self) -> Any:
        """Mean and 95 % interval by shots, one panel for each data set and backbone."""
        places = list(dict.fromkeys((column.backbone, column.source) for column in self.table.singles))
        figure, grid = panels(len(places), 2, 8.5, 4.6)
        for (backbone, source), axes in zip(places, grid.flat, strict=True):
            shots, curves = curves_of(self.table, backbone, source or "")
            plot_shots(axes, curves, shots, self.baseline)
            axes.set_title(f"{source}, {backbone}", fontsize=11, loc="left")
        repeated = any(one.score.interval.known for one in self.table.scores.values())
        words = self.metric.removeprefix("test/").replace("_", " ")
        figure.supylabel(f"{words} (mean, 95 % interval)" if repeated else words, fontsize=11)
        return figure


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
    names = [experiment] if isinstance(experiment, str) else list(experiment or [])
    cells, metrics = _finished_runs(tracking_uri, names, tags or {})
    chosen = _metric(metrics, metric)
    cells = cells.assign(**{f"test/{chosen}": [one.get(chosen) for one in metrics]})
    usable = with_own_labels(cells, whole_names=False).dropna(subset=f"test/{chosen}")
    latest = usable.drop_duplicates([*PLACE, "label", "sampling"], keep="last")
    notes = []
    if len(usable) < len(cells):
        notes.append(f"{len(cells) - len(usable)} of {len(cells)} runs have no {chosen} and are left out.")
    if len(latest) < len(usable):
        notes.append(f"{len(usable) - len(latest)} runs repeat a seed and split; the later one of each counts.")
    table = score_cells(latest, dict.fromkeys(latest["source"], chosen), baseline)
    return Comparison(chosen, baseline, table, notes)


def _finished_runs(
    tracking_uri: str | None, names: Sequence[str], tags: Mapping[str, str]
) -> tuple[pd.DataFrame, list[dict[str, float]]]:
    """Runs as cells, the latest last, with every metric of each; what is repeated of a setting is its sampling."""
    from monai_ept.tracking.address import tracking_store, without_password
    from monai_ept.tracking.search_runs import search_runs

    uri = tracking_store(tracking_uri)
    query = ["attributes.status = 'FINISHED'", *(f"tags.`{key}` = '{value}'" for key, value in tags.items())]
    runs = [run for run in search_runs(uri, names, " and ".join(query)) if "method" in run.data.params]
    if not runs:
        among = f" in experiment {', '.join(names)}" if names else ""
        tagged = f" with {', '.join(f'{key}={value}' for key, value in tags.items())}" if tags else ""
        where = without_password(uri)
        raise ValueError(f"there is no finished run{among}{tagged} at {where}: train first, or see 'monai-ept sync'.")
    runs.sort(key=lambda run: run.info.start_time)
    cells = frame_of(filter(None, map(read_run, runs)))
    params = [run.data.params for run in runs]
    return cells.assign(
        label=_labels(list(cells["method"]), [one.get("recipe", "") for one in params]),
        group="",
        sampling=["|".join(str(one.get(name, "")) for name in REPETITION) for one in params],
        seed="",
        split_hash="",
        settings=[{key: one[key] for key in one if not _is_place(key)} for one in params],
    ), [dict(run.data.metrics) for run in runs]


def _labels(methods: Sequence[str], recipes: Sequence[str]) -> list[str]:
    """Methods, and where there are several recipes those that are not the default."""
    usual = {"", "default"} if len(set(recipes)) > 1 else set(recipes)
    return [
        method if recipe in usual else f"{method}, {recipe}" for method, recipe in zip(methods, recipes, strict=True)
    ]


def _is_place(name: str) -> bool:
    return name in IN_TABLE or any(part in name for part in NOT_A_SETTING)


def _metric(metrics: Sequence[Mapping[str, float]], wanted: str | None) -> str:
    there = {name for one in metrics for name in one}
    if wanted is not None:
        for name in (wanted, f"test/{wanted}"):
            if name in there:
                return name
    else:
        best = max(PREFERRED, key=lambda name: sum(name in one for one in metrics))
        if best in there:
            return best
    tests = sorted(name for name in there if name.startswith("test/") and name.count("/") == 1)
    raise ValueError(f"no run has metric {wanted or PREFERRED[0]!r}; there is {', '.join(tests) or 'none'}.")


def _texts(row: Any) -> tuple[str, str]:
    """The score and the difference to the baseline."""
    score, gain = f"{row.mean:.3f}", "" if math.isnan(row.difference) else f"{row.difference:+.3f}"
    score += "" if math.isnan(row.high) else f" ± {row.high - row.mean:.3f}"
    gain += "" if math.isnan(row.difference_high) else f" ± {row.difference_high - row.difference:.3f}"
    return f"**{score}**" if row.best else score, gain
