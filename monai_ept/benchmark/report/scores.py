# SPDX-License-Identifier: Apache-2.0

"""Scores of a sweep: methods by data and shots, with intervals, differences to a reference and tests."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from monai_ept.metrics import lower_is_better
from monai_ept.reporting.markdown import by_number
from monai_ept.reporting.numbers import many
from monai_ept.reporting.statistics import NOTHING, Estimate, holm, stratified_estimate

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


@dataclass(frozen=True)
class Score:
    """
    One method in one column.

    Args:
        label: the method.
        column: where.
        score: mean over repetitions, with its interval; of a mean column over data and shots too.
        difference: mean difference to the reference over repetitions that both have, with interval and p value.
        p_adjusted: by Holm, within the table's family of such tests.
        best: whether its mean is the best of those with as many repetitions.
        better: whether more of the metric is better (1) or less (-1).
        cells: the rows of those that it is computed from, with their ``value``.
    """

    label: str
    column: Column
    score: Estimate
    difference: Estimate = NOTHING
    p_adjusted: float = math.nan
    best: bool = False
    better: int = 1
    cells: Any = None

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
        labels: methods, the reference first, then from best to worst; methods of one group stay together.
        reference: label of the method that the others are compared with; empty when it has no result.
        metric_of: metric by source.
        unit: what is repeated, "sampling" or "seed".
        repeats: how many there are at most in a column.
        notes: sentences about what was left out.
        cells: the rows of the cells behind it.
        families: how many tests were corrected together: of single columns, and of means.
        groups: the group of each method that has one.
    """

    scores: Mapping[tuple[str, Column], Score]
    columns: Sequence[Column]
    labels: Sequence[str]
    reference: str
    metric_of: Mapping[str, str]
    unit: str
    repeats: int
    notes: Sequence[str] = ()
    cells: Any = None
    families: tuple[int, int] = (0, 0)
    groups: Mapping[str, str] = field(default_factory=dict)

    @property
    def backbones(self) -> list[str]:
        return list(dict.fromkeys(column.backbone for column in self.columns))

    @property
    def singles(self) -> list[Column]:
        return [column for column in self.columns if not column.is_mean]

    @property
    def metrics(self) -> str:
        """The metrics in words: one name, or one for each source."""
        names = sorted(set(self.metric_of.values()))
        if len(names) == 1:
            return names[0].replace("_", " ")
        return ", ".join(f"{name.replace('_', ' ')} ({source})" for source, name in sorted(self.metric_of.items()))

    def most(self, column: Column) -> int:
        """The most values that a method has in a column."""
        return max((found.score.number for (_, where), found in self.scores.items() if where == column), default=0)

    def row(self, label: str) -> list[Score]:
        """A method's scores, in the order of columns."""
        return [self.scores[label, column] for column in self.columns if (label, column) in self.scores]


def score_cells(cells: pd.DataFrame, metric_of: Mapping[str, str], reference: str) -> Scores:
    """
    Compare the methods of a sweep.

    A score is the mean over samplings (over seeds, when there is one sampling); seeds of one sampling are averaged
    first, since they share their images. A column of means counts every data set and number of shots the same, has
    only methods with results in all of them, and takes its variance from each data set by itself. The difference to
    the reference is paired: same images, same seed. Its test is Student's t on those differences, for means its
    stratified form (Welch and Satterthwaite's degrees of freedom). Holm's correction is made twice: over all methods
    and single columns, and over all methods and columns of means.

    Args:
        cells: finished cells, after the choice from grids.
        metric_of: metric by source.
        reference: label of the method to compare with.
    """
    import pandas as pd

    value = cells["source"].map(lambda source: math.nan).astype(float)
    for source, metric in metric_of.items():
        if f"test/{metric}" in cells:
            value = value.mask(cells["source"] == source, cells[f"test/{metric}"])
    cells = cells.assign(value=value)
    used = cells[value.notna()]
    ordered = used.sort_values("finished", kind="stable")
    runs = ordered.drop_duplicates([*PLACE, "label", *RUN], keep="last")
    # With one sampling only seeds are left to repeat; otherwise seeds are averaged within their sampling.
    unit = "sampling" if (runs.groupby([*PLACE, "label"])["sampling"].nunique() > 1).any() else "seed"
    labels = list(dict.fromkeys(runs["label"]))
    reference = reference if reference in labels else ""
    is_reference = runs["label"] == reference
    beside = runs.loc[is_reference, [*PLACE, *RUN, "value", "split_hash"]]
    pairs = runs[~is_reference].merge(beside, on=[*PLACE, *RUN], suffixes=("", "_of_reference"))
    same = pairs["split_hash"] == pairs["split_hash_of_reference"]
    others, pairs = pairs[~same], pairs[same]
    values, gains = (
        _by_repetition(frame, unit)
        for frame in (runs, pairs.assign(value=pairs["value"] - pairs["value_of_reference"]))
    )
    behind = dict(list(runs.groupby([*PLACE, "label"])))
    places = sorted({key[:3] for key in values}, key=lambda place: (place[0], place[1], by_number(place[2])))
    columns = _columns(places)
    scores: dict[tuple[str, Column], Score] = {}
    for column in columns:
        members = _members(column, places)
        better = -1 if any(lower_is_better(metric_of[place[1]]) for place in members) else 1
        for label in labels:
            strata = _strata(values, members, label)
            if strata is None:
                continue
            differences = _strata(gains, members, label)
            scores[label, column] = Score(
                label=label,
                column=column,
                score=stratified_estimate(strata),
                difference=NOTHING if differences is None else stratified_estimate(differences),
                better=better,
                cells=pd.concat([behind[(*place, label)] for place in members]),
            )
    families = (_adjust(scores, means=False), _adjust(scores, means=True))
    _mark_best(scores, columns)
    groups = dict(cells.loc[cells["group"] != "", ["label", "group"]].itertuples(index=False))
    notes = _left_out(cells[value.isna()], metric_of)
    if len(runs) < len(ordered):
        notes.append(
            f"{many(len(ordered) - len(runs), 'cell')} beside another of the same sampling and seed; "
            "the later one of each counts."
        )
    return Scores(
        scores=scores,
        columns=columns,
        labels=_ordered(labels, scores, columns, reference, groups, list(cells["label"])),
        reference=reference,
        metric_of=dict(metric_of),
        unit=unit,
        repeats=max((score.score.number for score in scores.values() if not score.column.is_mean), default=0),
        notes=notes + _other_images(others, reference) + _other_weights(cells),
        cells=used,
        families=families,
        groups=groups,
    )


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


def _members(column: Column, places: Sequence[Place]) -> list[Place]:
    return [
        place
        for place in places
        if place[0] == column.backbone and column.source in (None, place[1]) and column.shots in (None, place[2])
    ]


def _strata(values: Values, places: Sequence[Place], label: str) -> list[list[float]] | None:
    """
    For each source the values of its repetitions, each averaged over shots; None when some place has no value.

    Numbers of shots of one source are no samples of their own: a larger few-shot set may hold the smaller one.
    """
    by_source: dict[str, list[Mapping[str, float]]] = defaultdict(list)
    for place in places:
        by_source[place[1]].append(values.get((*place, label), {}))
    strata = []
    for per_shots in by_source.values():
        common = sorted(set.intersection(*(set(values) for values in per_shots)), key=by_number)
        if not common:
            return None
        strata.append([math.fsum(values[unit] for values in per_shots) / len(per_shots) for unit in common])
    return strata or None


def _adjust(scores: dict[tuple[str, Column], Score], means: bool) -> int:
    """Holm's correction of one family, in place; how many tests it has."""
    family = [key for key in scores if key[1].is_mean == means]
    adjusted = holm([scores[key].difference.p for key in family])
    for key, p in zip(family, adjusted, strict=True):
        scores[key] = replace(scores[key], p_adjusted=p)
    return sum(not math.isnan(p) for p in adjusted)


def _mark_best(scores: dict[tuple[str, Column], Score], columns: Sequence[Column]) -> None:
    for column in columns:
        rivals = [key for key in scores if key[1] == column]
        most = max(scores[key].score.number for key in rivals) if rivals else 0
        rivals = [key for key in rivals if scores[key].score.number == most]
        if len(rivals) > 1:
            top = max(scores[key].better * scores[key].score.mean for key in rivals)
            for key in rivals:
                if scores[key].better * scores[key].score.mean == top:
                    scores[key] = replace(scores[key], best=True)


def _ordered(
    labels: Sequence[str],
    scores: Mapping[tuple[str, Column], Score],
    columns: Sequence[Column],
    reference: str,
    groups: Mapping[str, str],
    in_order: Sequence[str],
) -> list[str]:
    """The reference, methods from best to worst by how far they are above the columns' averages, then groups."""
    lead: dict[str, list[float]] = defaultdict(list)
    for column in columns:
        if not column.is_mean:
            here = {label: scores[label, column] for label in labels if (label, column) in scores}
            average = math.fsum(score.score.mean for score in here.values()) / max(len(here), 1)
            for label, score in here.items():
                lead[label].append(score.better * (score.score.mean - average))
    rank = {label: -math.fsum(lead[label]) / max(len(lead[label]), 1) for label in labels}
    in_file = {label: index for index, label in reversed(list(enumerate(in_order)))}
    # Methods of a group are the points of one curve: they stay in the order of the file.
    group_order = list(dict.fromkeys(groups.get(label, "") for label in labels))
    return sorted(
        labels,
        key=lambda label: (
            label != reference,
            label in groups,
            group_order.index(groups.get(label, "")),
            in_file[label] if label in groups else rank[label],
            label,
        ),
    )


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
    names = pairs[["label", *PLACE]].drop_duplicates().sort_values(["label", *PLACE])
    return [
        f"{label} and {reference} were trained on other images in cells of the same sampling "
        f"({source}, {shots}-shot, {backbone}); those are not compared."
        for label, backbone, source, shots in names.itertuples(index=False)
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
