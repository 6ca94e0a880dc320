# SPDX-License-Identifier: Apache-2.0

"""Scores of a sweep: methods by data and shots, with intervals, differences to a reference and tests."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from monai_ept.metrics import lower_is_better
from monai_ept.reporting.markdown import by_number
from monai_ept.reporting.numbers import many
from monai_ept.reporting.statistics import FEWEST, NOTHING, Estimate, holm, stratified_estimate

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LEVEL", "PLACE", "RUN", "Column", "Score", "Scores", "score_cells"]

LEVEL = 0.05
"""Adjusted p values below this are called a difference."""

PLACE = ["backbone", "source", "shots"]
RUN = ["sampling", "seed"]

Place = tuple[str, str, str]
Values = Mapping[tuple[str, str, str, str], Mapping[str, float]]
"""By backbone, source, shots and method, then by repetition."""


class Column(NamedTuple):
    """One data set with one number of shots; ``None`` stands for the mean over all of them."""

    backbone: str
    source: str | None
    shots: str | None

    @property
    def is_mean(self) -> bool:
        return self.source is None or self.shots is None

    @property
    def title(self) -> str:
        """ "isic2018, 5-shot" or "mean over all"."""
        if self.source is None:
            return "mean over all" if self.shots is None else f"all data, {self.shots}-shot"
        return f"{self.source}, {f'{self.shots}-shot' if self.shots is not None else 'all shots'}"


class Score(NamedTuple):
    """One method in one column."""

    label: str
    column: Column
    score: Estimate  # over repetitions; of a mean column over data and shots too
    cells: Any  # the rows of those that it is computed from, with their ``value``
    difference: Estimate = NOTHING  # to the reference, over repetitions that both have
    better: int = 1  # -1 where less of the metric is better
    p_adjusted: float = math.nan  # by Holm, within the family of such tests
    best: bool = False  # of those with as many repetitions, where there are enough for an interval
    few: Sequence[float] = ()  # the values themselves, where there are several and too few for an interval

    @property
    def verdict(self) -> int:
        """1 when it is ahead of the reference, -1 when behind, 0 when that cannot be told."""
        if math.isnan(self.p_adjusted) or self.p_adjusted >= LEVEL:
            return 0
        return self.better if self.difference.mean > 0 else -self.better


@dataclass(frozen=True)
class Scores:
    """
    All scores of a sweep.

    Args:
        scores: by method and column.
        columns: single columns in order, then those of means.
        labels: methods, the reference first, then from best to worst; those of one group stay together.
        reference: the method that others are compared with; empty when it has no result.
        metric_of: metric by source.
        unit: what is repeated, "sampling" or "seed".
        notes: sentences about what was left out.
        cells: the rows behind it.
        groups: the group of each method that has one.
    """

    scores: Mapping[tuple[str, Column], Score]
    columns: Sequence[Column]
    labels: Sequence[str]
    reference: str
    metric_of: Mapping[str, str]
    unit: str
    notes: Sequence[str]
    cells: Any
    groups: Mapping[str, str]

    @property
    def frame(self) -> pd.DataFrame:
        """All numbers: a row for each method and column, means with an empty source or number of shots."""
        import pandas as pd

        every = " ".join(sorted(set(self.metric_of.values())))
        return pd.DataFrame(
            {
                "backbone": column.backbone,
                "source": column.source or "",
                "shots": column.shots or "",
                "method": label,
                "metric": self.metric_of[column.source] if column.source else every,
                "repeats": found.score.number,
                **dict(zip(("mean", "low", "high"), found.score.interval, strict=True)),
                "best": int(found.best),
                "reference": self.reference,
                **dict(
                    zip(("difference", "difference_low", "difference_high"), found.difference.interval, strict=True)
                ),
                "pairs": found.difference.number,
                "p": found.difference.p,
                "p_adjusted": found.p_adjusted,
                "cells": " ".join(found.cells["id"]),
            }
            for column in self.columns
            for label in self.labels
            if (found := self.scores.get((label, column)))
        )

    @property
    def repeats(self) -> int:
        """How many repetitions there are at most in a single column."""
        return max((one.score.number for one in self.scores.values() if not one.column.is_mean), default=0)

    @property
    def has_intervals(self) -> bool:
        """Whether something was repeated often enough to say how much it varies."""
        return any(one.score.interval.known for one in self.scores.values())

    @property
    def what_is_drawn(self) -> str:
        """What a point and its bar are, for captions."""
        return f"Mean{' and 95 % interval' if self.has_intervals else ''} over {self.unit}s"

    @property
    def families(self) -> tuple[int, int]:
        """How many tests were corrected together: of single columns, and of means."""
        tests = [one.column.is_mean for one in self.scores.values() if not math.isnan(one.p_adjusted)]
        return tests.count(False), tests.count(True)

    @property
    def backbones(self) -> list[str]:
        return list(dict.fromkeys(column.backbone for column in self.columns))

    @property
    def singles(self) -> list[Column]:
        return [column for column in self.columns if not column.is_mean]

    @property
    def metrics(self) -> str:
        """The metrics in words: one name, or one for each source."""
        names = {source: name.replace("_", " ") for source, name in sorted(self.metric_of.items())}
        if len(set(names.values())) == 1:
            return min(names.values())
        return ", ".join(f"{name} ({source})" for source, name in names.items())

    def where(self, backbone: str, source: str) -> list[str]:
        """What tells a data set from the others of the table: its name, and the backbone if there are several."""
        return [backbone] * (len(self.backbones) > 1) + [source]

    def most(self, column: Column) -> int:
        """The most values that a method has in a column."""
        return max((found.score.number for (_, where), found in self.scores.items() if where == column), default=0)

    def row(self, label: str) -> list[Score]:
        """A method's scores, in the order of columns."""
        return [self.scores[label, column] for column in self.columns if (label, column) in self.scores]


def score_cells(cells: pd.DataFrame, metric_of: Mapping[str, str], reference: str) -> Scores:
    """
    Compare the methods of a sweep.

    A score is the mean over samplings, or over seeds when there is one sampling. A column of means has only methods
    with results everywhere, counts every data set and number of shots the same, and takes its variance from each data
    set by itself. Differences to the reference are paired (same images, same seed). Fewer than five repetitions have a
    mean, and neither an interval nor a test; docs/benchmark.md has the tests.

    Args:
        cells: finished cells, after the choice from grids.
    """
    import pandas as pd

    value = pd.Series(math.nan, cells.index)
    for source, metric in metric_of.items():
        if f"test/{metric}" in cells:
            value = value.mask(cells["source"] == source, cells[f"test/{metric}"])
    cells = cells.assign(value=value)
    used = cells[value.notna()]
    runs = used.sort_values("finished", kind="stable").drop_duplicates([*PLACE, "label", *RUN], keep="last")
    # With one sampling only seeds are left to repeat; otherwise seeds are averaged within their sampling.
    unit = "sampling" if (runs.groupby([*PLACE, "label"])["sampling"].nunique() > 1).any() else "seed"
    labels = list(dict.fromkeys(runs["label"]))
    reference = reference if reference in labels else ""
    is_reference = runs["label"] == reference
    beside = runs.loc[is_reference, [*PLACE, *RUN, "value", "split_hash"]]
    pairs = runs[~is_reference].merge(beside, on=[*PLACE, *RUN], suffixes=("", "_of_reference"))
    same = pairs["split_hash"] == pairs["split_hash_of_reference"]
    gains = pairs[same].assign(value=pairs["value"] - pairs["value_of_reference"])
    scores, columns = _scores(runs, _by_repetition(runs, unit), _by_repetition(gains, unit), metric_of)
    for means in (False, True):
        family = [key for key in scores if key[1].is_mean == means]
        for key, p in zip(family, holm([scores[key].difference.p for key in family]), strict=True):
            scores[key] = scores[key]._replace(p_adjusted=p)
    _mark_best(scores, columns)
    groups = dict(cells.loc[cells["group"] != "", ["label", "group"]].itertuples(index=False))
    notes = _left_out(cells[value.isna()], metric_of)
    if len(runs) < len(used):
        notes.append(
            f"{many(len(used) - len(runs), 'cell')} beside another of the same sampling and seed; "
            "the later one of each counts."
        )
    return Scores(
        scores=scores,
        columns=columns,
        labels=_ordered(labels, scores, reference, groups, list(cells["label"])),
        reference=reference,
        metric_of=dict(metric_of),
        unit=unit,
        notes=notes + _other_images(pairs[~same], reference) + _other_weights(cells),
        cells=used,
        groups=groups,
    )


def _scores(
    runs: pd.DataFrame, values: Values, gains: Values, metric_of: Mapping[str, str]
) -> tuple[dict[tuple[str, Column], Score], list[Column]]:
    import pandas as pd

    behind = dict(list(runs.groupby([*PLACE, "label"])))
    places = sorted({key[:3] for key in values}, key=lambda place: (place[0], place[1], by_number(place[2])))
    columns = _columns(places)
    scores = {}
    for column in columns:
        members = [
            place for place in places if all(ours in (None, its) for ours, its in zip(column, place, strict=True))
        ]
        better = -1 if any(lower_is_better(metric_of[source]) for _, source, _ in members) else 1
        for label in dict.fromkeys(runs["label"]):
            score = _estimate(values, members, label)
            if score.number:
                cells = pd.concat([behind[(*place, label)] for place in members])
                gain = _estimate(gains, members, label)
                single = [] if column.is_mean else list(values[(*members[0], label)].values())
                few = single if 1 < len(single) < FEWEST else ()
                scores[label, column] = Score(label, column, score, cells, gain, better, few=few)
    return scores, columns


def _by_repetition(runs: pd.DataFrame, unit: str) -> Values:
    """Values, averaged over all runs of one repetition; exactly, whatever their order."""
    found: dict[tuple[str, str, str, str], dict[str, float]] = defaultdict(dict)
    for (*key, repetition), values in runs.groupby([*PLACE, "label", unit])["value"]:
        found[tuple(key)][repetition] = math.fsum(values) / len(values)
    return found


def _columns(places: Sequence[Place]) -> list[Column]:
    """Each data set with each number of shots; means where there is something to average."""
    columns = []
    for backbone in dict.fromkeys(place[0] for place in places):
        mine = [place for place in places if place[0] == backbone]
        columns += [Column(*place) for place in mine]
        sources = {place[1] for place in mine}
        shots = list(dict.fromkeys(sorted((place[2] for place in mine), key=by_number)))
        if len(sources) > 1 and len(shots) > 1:
            columns += [
                Column(backbone, None, one) for one in shots if sum(place[2] == one for place in mine) == len(sources)
            ]
        if len(mine) > 1:
            columns.append(Column(backbone, None, None))
    return columns


def _estimate(values: Values, places: Sequence[Place], label: str) -> Estimate:
    """
    The mean over sources of their repetitions, each averaged over shots; nothing when some place has no value.

    Numbers of shots of one source are no samples of their own: a larger few-shot set may hold the smaller one.
    """
    by_source: dict[str, list[Mapping[str, float]]] = defaultdict(list)
    for place in places:
        by_source[place[1]].append(values.get((*place, label), {}))
    strata = []
    for per_shots in by_source.values():
        common = sorted(set.intersection(*map(set, per_shots)), key=by_number)
        if not common:
            return NOTHING
        strata.append([math.fsum(values[unit] for values in per_shots) / len(per_shots) for unit in common])
    return stratified_estimate(strata, FEWEST)


def _mark_best(scores: dict[tuple[str, Column], Score], columns: Sequence[Column]) -> None:
    for column in columns:
        there = {key: found for key, found in scores.items() if key[1] == column}
        most = max((found.score.number for found in there.values()), default=0)
        worth = {key: one.better * one.score.mean for key, one in there.items() if one.score.number == most}
        for key, value in worth.items():
            if len(worth) > 1 and value == max(worth.values()) and there[key].score.interval.known:
                scores[key] = scores[key]._replace(best=True)


def _ordered(
    labels: Sequence[str],
    scores: Mapping[tuple[str, Column], Score],
    reference: str,
    groups: Mapping[str, str],
    in_file: list[str],
) -> list[str]:
    """The reference, methods from best to worst by how far they are above the columns' averages, then groups."""
    by_column: dict[Column, list[Score]] = defaultdict(list)
    for found in scores.values():
        if not found.column.is_mean:
            by_column[found.column].append(found)
    lead: dict[str, list[float]] = defaultdict(list)
    for there in by_column.values():
        average = math.fsum(found.score.mean for found in there) / len(there)
        for found in there:
            lead[found.label].append(found.better * (found.score.mean - average))
    group_order = list(dict.fromkeys(groups.get(label, "") for label in labels))

    def place(label: str) -> tuple[Any, ...]:
        # Methods of a group are the points of one curve: they stay in the order of the file.
        inside = in_file.index(label) if label in groups else -math.fsum(lead[label]) / max(len(lead[label]), 1)
        return label != reference, label in groups, group_order.index(groups.get(label, "")), inside, label

    return sorted(labels, key=place)


def _left_out(cells: pd.DataFrame, metric_of: Mapping[str, str]) -> list[str]:
    if not len(cells):
        return []
    ids = ", ".join(cells["id"][:3]) + (", …" if len(cells) > 3 else "")
    names = sorted({metric_of[source] for source in cells["source"]})
    return [
        f"{many(len(cells), 'finished cell')} without {' or '.join(names)} left out ({ids}): "
        "means of their methods are over fewer repetitions."
    ]


def _other_images(pairs: pd.DataFrame, reference: str) -> list[str]:
    return [
        f"{label} and {reference} were trained on other images in cells of the same sampling "
        f"({source} at {', '.join(sorted(set(shots), key=by_number))} shots, {backbone}); those are not compared."
        for (label, backbone, source), shots in pairs.groupby(["label", "backbone", "source"])["shots"]
    ]


def _other_weights(cells: pd.DataFrame) -> list[str]:
    """A note for each backbone whose weights changed while the sweep went on, as a file under the same path may."""
    # A method has a fingerprint of its own, of what it leaves frozen; random weights follow from the seed.
    known = cells[cells["fingerprint"] != ""].groupby(["backbone", "label", "source", "seed"])["fingerprint"].unique()
    mixed = {key[0]: (key[1], found) for key, found in known.items() if len(found) > 1}
    return [
        f"Cells of {backbone} were computed with different weights (fingerprints {' and '.join(sorted(found))} of "
        f"{label}), so that their scores do not belong together: run the sweep anew in another folder."
        for backbone, (label, found) in mixed.items()
    ]
