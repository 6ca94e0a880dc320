# SPDX-License-Identifier: Apache-2.0

"""Methods by shots, over repetitions, against a baseline: the finished runs of an MLflow store, of a sweep or not."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from monai_ept.benchmark.report.figures.ranks import draw_ranks
from monai_ept.benchmark.report.from_mlflow import NOT_A_SETTING, REPETITION, read_run, values_under
from monai_ept.benchmark.report.results import frame_of, with_own_labels
from monai_ept.benchmark.report.scores import PLACE, Score, Scores, score_cells
from monai_ept.files import usable_folder, write_whole
from monai_ept.metrics import Interval
from monai_ept.reporting.figure import save_figure, styled
from monai_ept.reporting.markdown import as_text, by_number, markdown_table
from monai_ept.reporting.numbers import many
from monai_ept.reporting.statistics import FEWEST, Estimate, estimate

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison", "compare"]

IN_TABLE = (*REPETITION, "source", "backbone", "shots", "method")
"""Parameters that say where a run stands in the table."""

COLUMNS = ["metric", "baseline", "source", "backbone", "shots", "method", "runs", "mean", "low", "high"]
COLUMNS += ["difference", "difference_low", "difference_high", "paired", "best", "interval"]

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

        ``low`` and ``high`` are the ends of a 95 % interval, and ``interval`` says over what it is: over "repetitions"
        (Student's t) from five of them on, over the "test images" for a single run that has one (bootstrap), and
        nothing otherwise. ``difference`` is the mean difference to the baseline over the ``paired`` repetitions that
        both have (same seed and split), NaN where there is none. ``best`` is what is told apart from all others.
        """
        everything = self.table.frame.rename(columns={"repeats": "runs", "pairs": "paired"})
        rows = everything[(everything["source"] != "") & (everything["shots"] != "")]
        over = (
            rows["runs"].map(lambda runs: "test images" if runs == 1 else "repetitions").where(rows["low"].notna(), "")
        )
        rows = rows.assign(baseline=self.baseline, best=rows["best"] == 1, interval=over)
        order = ["source", "backbone", "shots", "method"]
        rows = rows.sort_values(order, key=lambda column: column.map(by_number) if column.name == "shots" else column)
        return rows[COLUMNS].reset_index(drop=True)

    def to_markdown(self) -> str:
        """The table as Markdown that is as readable in a terminal; what is told apart from all others is bold."""
        parts = []
        for source, backbone in sorted({(str(column.source), column.backbone) for column in self.table.singles}):
            columns = [one for one in self.table.singles if (one.source, one.backbone) == (source, backbone)]
            table = [["method", *(name for one in columns for name in (f"{one.shots}-shot", f"vs {self.baseline}"))]]
            for label in self.table.labels:
                found = [self.table.scores.get((label, column)) for column in columns]
                if any(found):
                    texts = [text for one in found for text in ((_bold(one), _gain(one)) if one else ("", ""))]
                    table.append([as_text(label), *texts])
            filled = [index for index, cells in enumerate(zip(*table[1:], strict=True)) if any(cells)]
            table = [[row[index] for index in filled] for row in table]
            what = _what_is_shown([one for one in self.table.scores.values() if one.column in columns])
            head = f"### {as_text(f'{source}, {backbone}')}\n\n{self.metric}: {what}"
            parts.append(f"{head}\n\n{markdown_table(table)}")
        return "\n\n".join([*parts, *(f"Note: {note}" for note in self.notes)]) + "\n"

    def save(self, folder: str | os.PathLike) -> list[Path]:
        """Write ``comparison.csv``, ``comparison.md`` and ``comparison.png`` into a folder, and say where they are."""
        folder = usable_folder(folder)
        with styled("comparison"):
            return [
                write_whole(folder / "comparison.csv", self.frame.to_csv(index=False, lineterminator="\n")),
                write_whole(folder / "comparison.md", self.to_markdown()),
                save_figure(
                    draw_ranks(self.table, self.metric.removeprefix("test/"), _score_text), folder / "comparison.png"
                ),
            ]


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
    experiments = [experiment] if isinstance(experiment, str) else list(experiment or [])
    cells, metrics = _finished_runs(tracking_uri, experiments, tags or {})
    chosen = _metric(metrics, metric)
    names = {f"test/{chosen}": chosen, "own_low": f"{chosen}_low", "own_high": f"{chosen}_high"}
    cells = cells.assign(**{name: [one.get(key, math.nan) for one in metrics] for name, key in names.items()})
    usable = with_own_labels(cells, whole_names=False).dropna(subset=f"test/{chosen}")
    latest = usable.drop_duplicates([*PLACE, "label", "sampling"], keep="last")
    notes = []
    if len(usable) < len(cells):
        notes.append(f"{len(cells) - len(usable)} of {len(cells)} runs have no {chosen} and are left out.")
    if len(latest) < len(usable):
        notes.append(f"{len(usable) - len(latest)} runs repeat a seed and split; the later one of each counts.")
    table = score_cells(latest, dict.fromkeys(latest["source"], chosen), baseline)
    return Comparison(chosen, baseline, _told_apart(_with_own_intervals(table)), notes)


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
    tests = sorted(f"test/{name}" for name in values_under(dict.fromkeys(there, 0.0), "test/"))
    raise ValueError(f"no run has metric {wanted or PREFERRED[0]!r}; there is {', '.join(tests) or 'none'}.")


def _with_own_intervals(table: Scores) -> Scores:
    """Single runs with the interval over their test images, which the run has if its training made one."""
    scores = dict(table.scores)
    for key, found in scores.items():
        if found.score.number == 1 and not found.column.is_mean:
            ((low, high),) = found.cells[["own_low", "own_high"]].itertuples(index=False)
            scores[key] = found._replace(score=Estimate(Interval(found.score.mean, low, high), math.nan, 1))
    return replace(table, scores=scores)


def _told_apart(table: Scores) -> Scores:
    """Nothing is the best but what is told apart from all others of its column that have an interval."""
    scores = {key: found._replace(best=False) for key, found in table.scores.items()}
    for column in table.singles:
        there = [found for found in scores.values() if found.column == column]
        best = max(there, key=lambda found: found.better * found.score.mean)
        rivals = [found for found in there if found is not best and found.score.interval.known]
        if rivals and all(_is_better(best, other) for other in rivals):
            scores[best.label, column] = best._replace(best=True)
    return replace(table, scores=scores)


def _is_better(best: Score, other: Score) -> bool:
    """By the paired differences of repetitions; of single runs by intervals over test images that do not meet."""
    if best.score.number == other.score.number == 1:
        ours, theirs = best.score.interval, other.score.interval
        return ours.low > theirs.high if best.better > 0 else ours.high < theirs.low
    values = [dict(zip(one.cells["sampling"], one.cells["value"], strict=True)) for one in (best, other)]
    common = sorted(values[0].keys() & values[1].keys())
    gain = estimate([best.better * (values[0][name] - values[1][name]) for name in common], FEWEST)
    return gain.interval.low > 0


def _score_text(found: Score) -> str:
    """A score with what is known of its spread, as plain text."""
    value, low, high = found.score.interval
    if found.few:
        return f"{value:.3f} of {', '.join(f'{one:.3f}' for one in found.few)}"
    if not found.score.interval.known:
        return f"{value:.3f}"
    return f"{value:.3f} ({low:.3f} to {high:.3f})" if found.score.number == 1 else f"{value:.3f} ± {high - value:.3f}"


def _bold(found: Score) -> str:
    return f"**{_score_text(found)}**" if found.best else _score_text(found)


def _gain(found: Score) -> str:
    """The difference to the baseline."""
    gain = found.difference.interval
    if math.isnan(gain.value):
        return ""
    return f"{gain.value:+.3f}" + (f" ± {gain.half:.3f}" if gain.known else "")


def _what_is_shown(scores: Sequence[Score]) -> str:
    """What the numbers of a table are, and how well they are known."""
    numbers = [found.score.number for found in scores]
    said = []
    repeated = [number for number in numbers if number >= FEWEST]
    if repeated:
        least, most = min(repeated), max(repeated)
        over = many(most, "repetition") if least == most else f"{least}–{many(most, 'repetition')}"
        said.append(f"mean ± 95 % interval over {over}")
    if any(found.few for found in scores):
        said.append(f"mean of the repetitions beside it, which are fewer than {FEWEST} and have no interval")
    if 1 in numbers:
        own = any(found.score.number == 1 and found.score.interval.known for found in scores)
        said.append(
            "single runs" + (", with the 95 % interval over their test images" if own else " without an interval")
        )
    if any(found.best for found in scores):
        said.append("bold is what these intervals tell apart from all others that have one")
    return "; ".join(said)
