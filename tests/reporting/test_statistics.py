# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from monai_ept.reporting.statistics import estimate, holm, stratified_estimate

SCORES = st.lists(st.integers(0, 1000).map(lambda n: n / 1000), min_size=2, max_size=9)


@given(SCORES, st.data())
def test_one_sample_is_scipys_paired_t_test(values, data):
    others = data.draw(
        st.lists(st.integers(0, 1000).map(lambda n: n / 1000), min_size=len(values), max_size=len(values))
    )
    differences = [a - b for a, b in zip(values, others, strict=True)]
    found = estimate(differences)
    assert found.mean == pytest.approx(np.mean(differences)) and found.number == len(values)
    if np.ptp(differences) > 1e-9:
        expected = stats.ttest_rel(values, others)
        low, high = expected.confidence_interval(0.95)
        assert found.p == pytest.approx(expected.pvalue)
        assert (found.interval.low, found.interval.high) == (
            pytest.approx(low, abs=1e-12),
            pytest.approx(high, abs=1e-12),
        )


@given(SCORES, SCORES)
def test_two_samples_are_scipys_welch_test(first, second):
    found = stratified_estimate([first, second])
    assert found.mean == pytest.approx((np.mean(first) + np.mean(second)) / 2)
    if np.ptp(first) > 1e-9 and np.ptp(second) > 1e-9:
        # Whether a + b is zero is whether a equals -b.
        expected = stats.ttest_ind(first, [-value for value in second], equal_var=False)
        low, high = expected.confidence_interval(0.95)
        assert found.p == pytest.approx(expected.pvalue)
        assert (2 * found.interval.low, 2 * found.interval.high) == (pytest.approx(low), pytest.approx(high))


def test_values_by_hand():
    found = estimate([1.0, 2.0, 3.0])  # standard error 1/√3, t(0.975, 2) = 4.302653
    assert found.interval.half == pytest.approx(4.302652729911275 / math.sqrt(3))
    assert found.p == pytest.approx(1 - 2 * math.sqrt(12) / math.sqrt(2 + 12) / 2)  # Student's t with 2 degrees


def test_the_interval_covers_and_the_test_errs_as_often_as_they_say():
    """Two data sets that vary differently, 4,000 experiments in which there is nothing to find."""
    draw = np.random.default_rng(0)
    found = [stratified_estimate([draw.normal(0, 1, 5).tolist(), draw.normal(0, 3, 5).tolist()]) for _ in range(4000)]
    share = np.mean([one.p < 0.05 for one in found])
    assert 0.035 < share < 0.06
    assert share == np.mean([not one.interval.low <= 0 <= one.interval.high for one in found])


def test_where_nothing_can_be_said_nothing_is_said():
    single = estimate([0.4])
    assert (single.mean, single.number) == (0.4, 1) and not single.interval.known and math.isnan(single.p)
    nothing = estimate([])
    assert all(map(math.isnan, (*nothing.interval, nothing.p))) and nothing.number == 0
    assert estimate([0.0, 0.0, 0.0]) == ((0.0, 0.0, 0.0), 1.0, 3)
    # The same difference five times, up to rounding, would be proof of anything.
    same = estimate([0.3 - 0.2, 0.4 - 0.3, 0.5 - 0.4])
    assert math.isnan(same.p) and same.mean == pytest.approx(0.1)
    assert not stratified_estimate([[0.1, 0.2], [0.3]]).interval.known
    with pytest.raises(ValueError, match="leave empty ones out"):
        stratified_estimate([[0.1], []])


def test_holm_by_hand():
    # The example of Holm's procedure in textbooks: 4·.005, 3·.01, 2·.03 and .04 raised to the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([]) == []
    mixed = holm([0.02, math.nan, 0.01])
    assert (mixed[0], mixed[2]) == (pytest.approx(0.02), pytest.approx(0.02)) and math.isnan(mixed[1])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_rejects_what_the_stepwise_procedure_rejects(p_values):
    adjusted = holm(p_values)
    for level in (0.01, 0.05, 0.2):
        rejected: set[int] = set()
        for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
            if p_values[index] * (len(p_values) - rank) > level:
                break
            rejected.add(index)
        assert {index for index, p in enumerate(adjusted) if p <= level} == rejected
    assert all(a >= p for a, p in zip(adjusted, p_values, strict=True))
