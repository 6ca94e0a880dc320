# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from sklearn.linear_model import Ridge as SklearnRidge

from monai_ept.engines.ridge import Ridge, folds, negative_log_likelihood, offset, sharpness, usual_sharpness


def scene(rows, width, classes=3):
    drawn = torch.Generator().manual_seed(rows * width)
    features = torch.randn(rows, width, generator=drawn, dtype=torch.double) * 3 + 1
    targets = torch.nn.functional.one_hot(torch.arange(rows) % classes, classes).double()
    return features, targets, torch.rand(rows, generator=drawn, dtype=torch.double) + 0.5


@pytest.mark.parametrize(("rows", "width"), [(12, 40), (40, 12)], ids=["few-images", "few-features"])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_scikit_learns_ridge(rows, width, weighted):
    features, targets, weights = scene(rows, width)
    weights = weights / weights.mean() if weighted else torch.ones(rows, dtype=torch.double)
    found = Ridge.fit(features, targets, 0.7, weights)
    mean = (weights[:, None] * features).sum(0) / weights.sum()
    deviation = ((weights[:, None] * (features - mean) ** 2).sum(0) / weights.sum()).sqrt() + 1e-3
    z = (features - mean) / deviation
    alpha = 0.7 * float((weights[:, None] * z**2).sum()) / rows
    sklearn = SklearnRidge(alpha=alpha, fit_intercept=False)
    sklearn.fit(z, targets - (weights[:, None] * targets).sum(0) / weights.sum(), sample_weight=weights)
    torch.testing.assert_close(found.scores(features), torch.as_tensor(sklearn.predict(z)))


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_the_head_gives_the_scores_times_the_sharpness(task):
    features, targets, _ = scene(12, 40)
    ridge = Ridge.fit(features, targets, 1.0)
    weight, bias = ridge.head(5.0, task)
    logits = torch.nn.functional.linear(features, weight, bias)
    torch.testing.assert_close(logits, 5.0 * ridge.scores(features) + offset(ridge.prior, task))


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_the_sharpness_is_the_likeliest(task):
    _, targets, weights = scene(30, 4)
    scores = 0.4 * targets + 0.3 * torch.randn(30, 3, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    prior = torch.full_like(targets, 1 / 3)

    def loss(factor):
        logits = scores * factor + offset(prior, task)
        return (weights * negative_log_likelihood(logits, targets, task)).sum()

    # Of a hundred images like each of these, what is usual counts next to nothing.
    best = sharpness(scores, prior, targets, task, weights=100 * weights)
    assert loss(best) <= min(loss(0.95 * best), loss(1.05 * best))
    # Of few images, it counts something: nearer to the usual, and on the same side.
    few = sharpness(scores, prior, targets, task, weights=weights)
    usual = usual_sharpness(3, task)
    assert min(best, usual) <= few <= max(best, usual)


def test_a_few_images_told_right_are_no_reason_to_be_sure():
    targets = torch.eye(2, dtype=torch.double).repeat(5, 1)
    weights = torch.ones(10, dtype=torch.double)
    usual = usual_sharpness(2, "multiclass")
    assert usual < sharpness(targets, targets * 0, targets, "multiclass", weights=weights) < 3 * usual


def test_one_image_of_a_view_alone():
    features, targets, _ = scene(3, 40)
    scores = Ridge.fit(features, targets, 1.0).scores(features)
    assert torch.equal(scores.argmax(1), targets.argmax(1))


def test_folds_leave_whole_groups_out_with_every_class():
    _, targets, _ = scene(60, 4)
    groups = [str(row // 6) for row in range(60)]  # six images each, two of each class
    found = folds(groups, targets, "multiclass")
    assert len(found) == 5
    assert sorted(torch.cat([left for _, left in found]).tolist()) == list(range(60))
    for kept, left in found:
        assert not {groups[row] for row in kept} & {groups[row] for row in left}
        assert (targets[kept].sum(0) > 0).all()


def test_nothing_can_be_left_out_of_one_image_per_class():
    _, targets, _ = scene(3, 4)
    assert folds(["a", "b", "c"], targets, "multiclass") == []


def test_as_many_folds_as_the_rarest_class_has_patients():
    _, targets, _ = scene(9, 4)
    groups = ["a", "b", "c", "d", "e", "c", "f", "g", "h"]  # the last class has two
    assert len(folds(groups, targets, "multiclass")) == 2


def test_rows_with_the_same_sums_of_products_have_the_same_ridge():
    features, targets, _ = scene(30, 6)
    expected = Ridge.fit(features, targets, 0.7)
    ones = torch.ones(30, 1, dtype=torch.double)
    factor = torch.linalg.qr(torch.cat([ones, targets, features], 1), mode="r").R
    found = Ridge.fit(factor[:, 4:], factor[:, 1:4], 0.7, ones=factor[:, 0])
    assert len(factor) == 10
    for name in ("mean", "deviation", "weight", "prior"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name))
