# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, silhouette_score

from monai_ept.analysis import class_distances, compare_features, separability
from monai_ept.analysis.distances import compare_widths, single_classes


def clusters(seed: int = 0, images: int = 90, width: int = 6, classes: int = 3, apart: float = 2.0):
    rng = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    centres = rng.normal(size=(classes, width)) * apart
    groups = [f"g{i // (2 * classes)}_{label}" for i, label in enumerate(labels)]
    return centres[labels] + rng.normal(size=(images, width)), labels, groups


def test_distances_are_the_papers_formula():
    features, labels, _ = clusters()
    sigma_w = sum(np.cov(features[labels == k].T, bias=True) * (labels == k).sum() for k in range(3)) / len(features)
    found = class_distances(features, labels, 4)
    assert found.within == pytest.approx(np.trace(sigma_w))
    assert found.total == pytest.approx(np.trace(np.cov(features.T, bias=True)))
    assert found.per_class[1] == pytest.approx(np.trace(np.cov(features[labels == 1].T, bias=True)))
    assert np.isnan(found.per_class[3])  # a class without images


@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(1, 5), st.floats(-1e3, 1e3))
@settings(max_examples=60, deadline=None)
def test_within_and_between_add_up_and_do_not_depend_on_where_zero_is(seed, images, classes, shift):
    rng = np.random.default_rng(seed)
    features, labels = rng.normal(size=(images, 4)), rng.integers(0, classes, images)
    found, moved = (class_distances(x, labels, classes) for x in (features, features + shift))
    assert found.total == pytest.approx(((features - features.mean(axis=0)) ** 2).sum(axis=1).mean())
    assert moved.within == pytest.approx(found.within, rel=1e-6) and moved.between == pytest.approx(
        found.between, rel=1e-6, abs=1e-9
    )
    assert 0 <= found.within_share <= 1


def test_a_linear_classifier_gains_nothing_from_images_of_the_same_group():
    """Features that say which patient it is and nothing else: only a leak could predict the class."""
    scores = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        patients = np.repeat(np.arange(60), 4)
        labels = rng.integers(0, 2, 60)[patients]
        features = rng.normal(size=(60, 60))[patients] * 3 + rng.normal(size=(240, 60)) * 0.1
        honest, parts = separability(features, labels, [f"p{p}" for p in patients])
        leaking, _ = separability(features, labels, [f"i{i}" for i in range(240)])
        assert parts == 5 and set(honest) == {0, 1}
        scores.append([balanced_accuracy_score(labels, leaking), balanced_accuracy_score(labels, honest)])
    leaking, honest = np.mean(scores, axis=0)
    assert leaking > 0.9 and abs(honest - 0.5) < 0.1


def test_separability_needs_two_groups_of_each_class():
    features, labels, _ = clusters(images=9)
    with pytest.raises(ValueError, match="two classes of two groups each"):
        separability(features, labels, ["one"] * 9)


def test_equal_features_have_no_difference():
    features, labels, groups = clusters()
    changes, parts = compare_features(features, features, labels, groups, 3)
    assert parts == 5
    assert all(one.difference == one.low == one.high == 0 and not one.clear for one in changes.values())
    assert changes["silhouette"].tuned == pytest.approx(silhouette_score(features, labels))


def test_classes_that_were_pulled_together_are_clearly_tighter():
    features, labels, groups = clusters(apart=1.0)
    means = np.stack([features[labels == k].mean(axis=0) for k in range(3)])[labels]
    changes, _ = compare_features(features, means + 0.5 * (features - means), labels, groups, 3)
    assert changes["within"].tuned == pytest.approx(changes["within"].pretrained / 4)
    assert changes["between"].difference == pytest.approx(0, abs=1e-12)
    for name, sign in (("within", -1), ("within_share", -1), ("silhouette", 1), ("separability", 1)):
        one = changes[name]
        assert one.difference * sign > 0 and one.low <= one.difference <= one.high
    assert changes["within"].clear and changes["within_share"].clear and changes["silhouette"].clear
    again, _ = compare_features(features, means + 0.5 * (features - means), labels, groups, 3)
    assert again == changes


def test_widths_are_standard_deviations_and_their_interval_is_over_groups():
    places = np.array([-1.0, 1.0] * 20)
    classes = np.zeros(40, dtype=int)
    groups = [str(index) for index in range(40)]
    found = compare_widths({0: [places, places / 2]}, classes, groups)[0]
    assert (found.pretrained, found.tuned) == (1.0, 0.5) and found.clear
    assert -0.5 <= found.low <= found.high < -0.4
    same = compare_widths({0: [places, places]}, classes, groups)[0]
    assert same.low == same.high == 0 and not same.clear
    # Of one patient every resample would be the same: nothing is told apart, whatever the difference.
    alone = compare_widths({0: [places, places / 2], 1: [places, places / 2]}, np.repeat([0, 1], 40),
                           ["one"] * 40 + groups)  # fmt: skip
    assert not alone[0].clear and np.isnan(alone[0].low) and alone[1].clear
    both = np.stack([places, np.roll(places, 1)], axis=1)
    changes, _ = compare_features(both, both / 2, np.arange(40) // 20, ["one"] * 40, 2)
    assert changes["within"].difference < 0 and not any(one.clear for one in changes.values())
    # All that differs are the images of one patient, who is often not drawn.
    odd = places.copy()
    odd[:2] *= 3
    assert not compare_widths({0: [places, odd]}, classes, ["a", "a", *groups[2:]])[0].clear


def test_a_class_of_one_group_is_left_out_of_the_classifier_alone():
    features, labels, groups = clusters()
    alone = [group if label != 2 else "one" for group, label in zip(groups, labels, strict=True)]
    changes, _ = compare_features(features, features * 2, labels, alone, 3)
    both, _ = compare_features(features[labels != 2], features[labels != 2] * 2, labels[labels != 2],
                               [g for g, k in zip(groups, labels, strict=True) if k != 2], 3)  # fmt: skip
    assert changes["separability"].pretrained == both["separability"].pretrained
    assert changes["within"].pretrained != both["within"].pretrained


def test_images_of_several_labels_count_for_no_class():
    labels = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])
    classes, names = single_classes(labels, ["ulcer", "polyp"])
    assert classes.tolist() == [0, 1, -1, 2] and names == ["ulcer", "polyp", "no label"]
    classes, names = single_classes(labels[:3], ["ulcer", "polyp"])
    assert classes.tolist() == [0, 1, -1] and names == ["ulcer", "polyp"]
