# SPDX-License-Identifier: Apache-2.0

"""What the numbers say, in sentences that claim no more than the tests allow."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from monai_ept.benchmark.report.grids import Choice
from monai_ept.benchmark.report.results import SweepResults
from monai_ept.benchmark.report.scores import PLACE, RUN, Column, Score, Scores
from monai_ept.reporting.numbers import difference, many, number, p_value, signed
from monai_ept.reporting.statistics import FEWEST

__all__ = ["say"]

MOST = 4
"""Methods that one sentence names."""
MOST_LINES = 6
"""Sentences about single columns."""
FEWEST_EQUAL = 3
"""Cells that two methods must share before it is said that they score the same."""


def say(sweep: SweepResults, table: Scores, choices: Sequence[Choice]) -> list[str]:
    """Sentences in the order in which a reader needs them."""
    sentences = _state(sweep, choices)
    if not table.scores:
        return sentences
    if table.reference:
        for backbone in table.backbones:
            sentences += _tests(table, backbone)
    else:
        sentences.append("There is no result of a reference method: nothing is compared by a test.")
    sentences += _same(table)
    return sentences


def _state(sweep: SweepResults, choices: Sequence[Choice]) -> list[str]:
    done, failed, missing = len(sweep.finished), len(sweep.failed), len(sweep.missing)
    total = len(sweep.cells)
    provisional = sum("provisional" in choice.remark for choice in choices)
    if not failed and not missing:
        return []
    what = [f"{failed} failed"] * bool(failed)
    what += [f"{missing} {'is' if missing == 1 else 'are'} missing"] * bool(missing)
    text = f"{done} of {total} cells are finished, {' and '.join(what)}: what follows is provisional."
    if provisional:
        text += f" So {'is' if provisional == 1 else 'are'} {many(provisional, 'choice')} from grids."
    return [text]


def _tests(table: Scores, backbone: str) -> list[str]:
    scores = [score for score in table.scores.values() if score.column.backbone == backbone]
    where = f"{backbone} – " if len(table.backbones) > 1 else ""
    compared = [score for score in scores if score.label != table.reference]
    if not compared:
        return [f"{where}{table.reference} is the only method with results."]
    tested = [score for score in compared if not math.isnan(score.difference.p)]
    if not tested:
        return [
            f"{where}No test is possible with {many(table.repeats, table.unit)}: it takes at least {FEWEST} to know "
            "how much results vary. Whether methods differ cannot be told from these numbers."
        ]
    sentences = []
    overall = Column(backbone, None, None)
    means = [score for score in tested if score.column == overall]
    if means:
        sentences.append(where + _means(table, means))
    sentences += [where + text for text in _singles(table, [score for score in tested if not score.column.is_mean])]
    sentences += [where + text for text in _highest(table, scores, overall)]
    return sentences


def _means(table: Scores, scores: Sequence[Score]) -> str:
    several = len({column.source for column in table.singles}) > 1
    over = "On the mean over all data and shots" if several else "On the mean over all shots"
    clear = sorted((score for score in scores if score.verdict), key=lambda score: -abs(score.difference.mean))
    if not clear:
        nearest = min(scores, key=lambda score: (score.p_adjusted, score.difference.p))
        return (
            f"{over}, no method can be told apart from {table.reference}; nearest to a difference comes "
            f"{nearest.label} ({difference(nearest.difference)}, {_p(nearest)})."
        )
    parts = []
    for verdict, word in ((1, "ahead of"), (-1, "behind")):
        found = [score for score in clear if score.verdict == verdict]
        names = [f"{score.label} ({difference(score.difference)}, {_p(score)})" for score in found[:MOST]]
        names += [f"{len(found) - MOST} more"] * (len(found) > MOST)
        if names:
            parts.append(f"{_and(names)} {'are' if len(names) > 1 else 'is'} {word} {table.reference}")
    rest = len(scores) - len(clear)
    tail = f"; {many(rest, 'other')} cannot be told apart from it" if rest else ""
    return f"{over}, {' and '.join(parts)}{tail}."


def _singles(table: Scores, scores: Sequence[Score]) -> list[str]:
    if not scores:
        return []
    clear: dict[tuple[str, int], list[Score]] = defaultdict(list)
    for score in scores:
        if score.verdict:
            clear[score.label, score.verdict].append(score)
    sentences = []
    for label in table.labels:
        for verdict, word in ((1, "ahead of"), (-1, "behind")):
            found = clear.get((label, verdict))
            if found:
                where = [
                    f"{_at(score.column)} by {signed(score.difference.mean)} "
                    f"(± {number(score.difference.interval.half)}, {_p(score)})"
                    for score in found
                ]
                sentences.append(f"{label} is {word} {table.reference} {_and(where)}.")
    if len(sentences) > MOST_LINES:
        rest = len(sentences) - MOST_LINES + 1
        sentences[MOST_LINES - 1 :] = [
            f"{rest} more methods are ahead or behind somewhere: they are coloured in the table."
        ]
    wide = median(score.difference.interval.half for score in scores)
    rest = sum(not score.verdict for score in scores)
    if rest == len(scores):
        text = (
            f"In none of the {rest} comparisons of a method with {table.reference} on one data set and number of "
            "shots can a difference be seen"
            if rest > 1
            else f"In the one comparison with {table.reference} no difference can be seen"
        )
    elif rest:
        text = f"In the remaining {rest} of {len(scores)} comparisons with {table.reference} no difference can be seen"
    else:
        return sentences
    sentences.append(
        f"{text}, which is not to say that there is none: the 95 % interval of a difference is typically "
        f"± {number(wide)} here."
    )
    return sentences


def _highest(table: Scores, scores: Sequence[Score], overall: Column) -> list[str]:
    """The best mean, which is a fact about these numbers and no claim about methods."""
    column = overall if any(score.column == overall for score in scores) else scores[0].column
    rivals = [score for score in scores if score.column == column and score.score.number == table.most(column)]
    if len(rivals) < 2:
        return []
    first, second = sorted(rivals, key=lambda score: -score.better * score.score.mean)[:2]
    what = "the best mean over all" if column.is_mean else f"the best score {_at(column)}"
    text = f"{first.label} has {what} ({number(first.score.mean)})"
    text += f", then comes {second.label} ({number(second.score.mean)})"
    tested = table.reference in (first.label, second.label)
    return [text + ("." if tested else "; these two were not tested against each other.")]


def _same(table: Scores) -> list[str]:
    """Methods that give the same score wherever both have one: they may be the same in effect."""
    values = table.cells.pivot_table(index=[*PLACE, *RUN], columns="label", values="value", aggfunc="last")
    sentences = []
    for one, other in itertools.combinations(table.labels, 2):
        common = values[[one, other]].dropna()
        if len(common) >= FEWEST_EQUAL and (abs(common[one] - common[other]) <= 1e-9).all():
            sentences.append(f"{one} and {other} score the same in all {len(common)} cells that both have.")
    return sentences


def _p(score: Score) -> str:
    p = p_value(score.p_adjusted)
    return f"adjusted p {p}" if p.startswith("<") else f"adjusted p = {p}"


def _at(column: Column) -> str:
    return f"at {column.shots} shot{'' if column.shots == '1' else 's'} on {column.source}"


def _and(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
