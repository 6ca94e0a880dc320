# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import doctest
import json
import math
import subprocess
import sys
import warnings

import numpy as np
import pytest
import sklearn.metrics as skm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor

import monai_ept
from monai_ept.metrics import (
    METRIC_NAMES,
    bootstrap,
    classification,
    classification_metrics,
    interval,
    probabilities,
)

PER_CLASS = ("auc", "average_precision", "sensitivity", "specificity", "f1")


def quiet(*args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return classification_metrics(*args, **kwargs)


@st.composite
def multiclass_case(draw):
    """Logits with ties, labels in which classes may be absent."""
    images, classes = draw(st.integers(2, 40)), draw(st.integers(2, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    decimals = draw(st.sampled_from([0, 1, 6]))
    return rng.normal(0, 2, (images, classes)).round(decimals), rng.integers(0, classes, images)


@st.composite
def multilabel_case(draw):
    images, classes = draw(st.integers(2, 40)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    decimals = draw(st.sampled_from([0, 1, 6]))
    labels = rng.random((images, classes)) < rng.random(classes)
    return rng.normal(0, 2, (images, classes)).round(decimals), labels.astype(int)


def close(ours, theirs):
    assert ours == pytest.approx(theirs, abs=1e-9, nan_ok=True)


def expected_calibration_error(confidence, right, num_bins=15):
    """Written from the definition; bins open to the left. None if a confidence lies on an edge, where floats decide."""
    if (np.abs(confidence * num_bins - np.round(confidence * num_bins)) < 1e-4).any():
        return None
    total = 0.0
    for low in np.arange(num_bins) / num_bins:
        inside = (confidence > low) & (confidence <= low + 1 / num_bins)
        if inside.any():
            total += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    return total


def check_ranking_against_sklearn(values, probabilities, onehot, names):
    for index, name in enumerate(names):
        truth, score = onehot[:, index], probabilities[:, index]
        if truth.any():
            close(values["average_precision"][name], skm.average_precision_score(truth, score))
            if truth.all():
                assert math.isnan(values["auc"][name])
            else:
                close(values["auc"][name], skm.roc_auc_score(truth, score))


def check_confusion_against_sklearn(values, decisions, onehot, names):
    for index, name in enumerate(names):
        truth, guess = onehot[:, index], decisions[:, index]
        if truth.any():
            close(values["sensitivity"][name], skm.recall_score(truth, guess))
            close(values["f1"][name], skm.f1_score(truth, guess))
            if not truth.all():
                close(values["specificity"][name], skm.recall_score(truth, guess, pos_label=0))


@settings(max_examples=30, deadline=None)
@given(multiclass_case())
def test_multiclass_equals_sklearn(case):
    logits, labels = case
    classes = logits.shape[1]
    # the same probabilities for both: two ways to a softmax differ in the last bit, which breaks ties
    probabilities = torch.from_numpy(logits).softmax(1).numpy()
    result = quiet(probabilities, labels, inputs="probabilities")
    from_logits = quiet(logits, labels, inputs="logits")
    close(from_logits["brier"], result["brier"])
    close(from_logits["accuracy"], skm.accuracy_score(labels, logits.argmax(axis=1)))
    names = list(result["support"])
    decisions = probabilities.argmax(axis=1)
    onehot = np.eye(classes, dtype=int)[labels]

    close(result["accuracy"], skm.accuracy_score(labels, decisions))
    close(result["brier"], skm.brier_score_loss(labels, probabilities, labels=range(classes)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        close(result["balanced_accuracy"], skm.balanced_accuracy_score(labels, decisions))
        close(result["kappa"], skm.cohen_kappa_score(labels, decisions, labels=range(classes)))
    ece = expected_calibration_error(probabilities.max(axis=1), decisions == labels)
    if ece is not None:
        assert result["ece"] == pytest.approx(ece, abs=1e-5)  # MONAI bins in float32

    check_ranking_against_sklearn(result["per_class"], probabilities, onehot, names)
    check_confusion_against_sklearn(result["per_class"], np.eye(classes, dtype=int)[decisions], onehot, names)
    if len(set(labels)) == classes > 2:  # the one case in which scikit-learn has a macro AUC of its own
        close(result["auc"], skm.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro"))
    check_absent_and_means(result, onehot)


@settings(max_examples=30, deadline=None)
@given(multilabel_case(), st.sampled_from([0.3, 0.5, 0.7]))
def test_multilabel_equals_sklearn(case, threshold):
    logits, labels = case
    probabilities = torch.from_numpy(logits).sigmoid().numpy()
    keywords = {"task": "multilabel", "threshold": threshold}
    result = quiet(probabilities, labels, inputs="probabilities", **keywords)
    close(quiet(logits, labels, inputs="logits", **keywords)["brier"], result["brier"])
    names = list(result["support"])
    decisions = (probabilities >= threshold).astype(int)
    values = result["per_class"]

    close(result["exact_match"], (decisions == labels).all(axis=1).mean())
    for index, name in enumerate(names):
        truth, guess = labels[:, index], decisions[:, index]
        close(values["accuracy"][name], skm.accuracy_score(truth, guess))
        close(values["brier"][name], np.mean((truth - probabilities[:, index]) ** 2))
        ece = expected_calibration_error(probabilities[:, index], truth)
        if ece is not None:
            assert values["ece"][name] == pytest.approx(ece, abs=1e-5)
        if not truth.any():
            close(values["specificity"][name], 1 - guess.mean())
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            close(values["kappa"][name], skm.cohen_kappa_score(truth, guess, labels=[0, 1]))
            if not truth.all():
                close(values["balanced_accuracy"][name], skm.balanced_accuracy_score(truth, guess))
    check_ranking_against_sklearn(values, probabilities, labels, names)
    check_confusion_against_sklearn(values, decisions, labels, names)
    check_absent_and_means(result, labels, defined=("accuracy", "specificity", "ece", "brier"))
    for name in ("accuracy", "balanced_accuracy", "kappa", "ece", "brier"):
        close(result[name], mean_of_defined(values[name]))


def mean_of_defined(values):
    defined = [value for value in values.values() if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan


def check_absent_and_means(result, onehot, defined=()):
    names = list(result["support"])
    assert result["absent"] == [name for i, name in enumerate(names) if not onehot[:, i].any()]
    assert result["always_present"] == [name for i, name in enumerate(names) if onehot[:, i].all()]
    assert list(result["support"].values()) == onehot.sum(axis=0).tolist()
    for metric, values in result["per_class"].items():
        assert all(math.isnan(values[name]) == (metric not in defined) for name in result["absent"])
    for name in PER_CLASS:
        scalar = "map" if name == "average_precision" else name
        close(result[scalar], mean_of_defined(result["per_class"][name]))


def test_result_is_plain_and_named():
    result = quiet(np.eye(3)[[0, 1, 2, 0]], [0, 1, 2, 1], inputs="probabilities", class_names=["mel", "nv", "df"])
    assert all(type(result[name]) is float for name in METRIC_NAMES)
    assert json.loads(json.dumps(result)) == result
    assert result["per_class"]["sensitivity"] == {"mel": 1.0, "nv": 0.5, "df": 1.0}
    assert result["support"] == {"mel": 1, "nv": 2, "df": 1}
    assert result["num_images"] == 4
    multilabel = classification_metrics([[0.9, 0.1], [0.2, 0.8]], np.eye(2), inputs="probabilities", task="multilabel")
    assert all(type(multilabel[name]) is float for name in (*METRIC_NAMES, "exact_match"))


def test_absent_class_is_nan_named_and_left_out():
    logits = np.array([[3.0, 0, 0], [0, 3, 0], [0, 3, 0], [3, 0, 1]])
    labels = [0, 1, 1, 0]
    with pytest.warns(UserWarning, match="no image is labelled tumor"):
        result = classification_metrics(logits, labels, inputs="logits", class_names=["ulcer", "polyp", "tumor"])
    assert result["absent"] == ["tumor"]
    assert result["map"] == result["auc"] == result["f1"] == result["balanced_accuracy"] == 1.0


def test_paper_convention_counts_an_absent_class_as_zero_in_map_only():
    """As in the released evaluation of Endo, where three of four classes have positives: 75 is the ceiling."""
    labels = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, 1, 0, 0]])
    scores = np.where(labels, 0.9, 0.1)
    ours = quiet(scores, labels, inputs="probabilities", task="multilabel")
    papers = quiet(scores, labels, inputs="probabilities", task="multilabel", paper=True)
    assert ours["map"] == 1.0
    assert papers["map"] == 0.75
    assert math.isnan(papers["per_class"]["average_precision"]["class_3"])
    assert papers["auc"] == ours["auc"] == 1.0


def test_always_present_class_has_no_auc():
    labels = np.array([[1, 0], [1, 1], [1, 0]])
    with pytest.warns(UserWarning, match="every image is labelled class_0"):
        result = classification_metrics(labels * 1.0, labels, inputs="probabilities", task="multilabel")
    assert math.isnan(result["per_class"]["auc"]["class_0"])
    assert result["per_class"]["average_precision"]["class_0"] == 1.0
    assert result["auc"] == 1.0


def test_softmax_is_applied_exactly_once():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 3, (200, 5)), rng.integers(0, 5, 200)
    once = torch.from_numpy(logits).softmax(1)
    from_logits = classification_metrics(logits, labels, inputs="logits")
    from_probabilities = classification_metrics(once, labels, inputs="probabilities")
    assert from_logits["auc"] == pytest.approx(from_probabilities["auc"], abs=1e-12)
    assert from_logits["auc"] == pytest.approx(skm.roc_auc_score(labels, once.numpy(), multi_class="ovr"), abs=1e-12)
    # a second softmax changes the ranking between images, and with it the AUC; and it does not go unnoticed
    with pytest.warns(UserWarning, match="looks like probabilities"):
        twice = classification_metrics(once, labels, inputs="logits")
    assert abs(twice["auc"] - from_logits["auc"]) > 1e-4


def test_every_container_gives_the_same_numbers():
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(size=(50, 3)).astype(np.float32), rng.integers(0, 3, 50)
    reference = classification_metrics(logits, labels, inputs="logits")
    tensor = torch.from_numpy(logits).requires_grad_()
    for scores, truth in [
        (tensor, torch.from_numpy(labels)),
        (MetaTensor(logits), MetaTensor(labels)),
        (list(tensor), [torch.tensor(label) for label in labels]),
        (logits.tolist(), labels.tolist()),
        (logits, labels[:, None].astype(np.float32)),
    ]:
        assert classification_metrics(scores, truth, inputs="logits") == reference
    half = classification_metrics(tensor.bfloat16(), labels, inputs="logits")
    assert half["auc"] == pytest.approx(reference["auc"], abs=0.02)


def test_extreme_logits_stay_finite():
    logits = np.array([[1e30, -1e30], [-1e30, 1e30], [0.0, 0.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for task, labels in (("multiclass", np.array([0, 1, 1])), ("multilabel", np.eye(2, dtype=int)[[0, 1, 1]])):
            result = classification_metrics(logits, labels, inputs="logits", task=task)
            assert all(math.isfinite(result[name]) for name in METRIC_NAMES)


@pytest.mark.parametrize("module", [bootstrap, classification, interval, probabilities])
def test_examples_run(module):
    failed, run = doctest.testmod(module, extraglobs={"np": np})
    assert run and not failed


def test_import_is_light():
    """Without the package's own __init__, since MONAI loads scikit-learn along with its networks."""
    code = (
        "import sys, types; package = types.ModuleType('monai_ept'); "
        f"package.__path__ = {monai_ept.__path__!r}; sys.modules['monai_ept'] = package; "
        "import monai_ept.metrics; print({'sklearn', 'monai', 'scipy', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stdout + done.stderr
