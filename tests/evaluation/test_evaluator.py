# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
import torch
from monai.engines import SupervisedEvaluator
from monai.transforms import Activationsd, Compose

from monai_ept.engines import build_evaluator, evaluate, evaluate_table, network_transforms, predict
from monai_ept.handlers import CollectPredictions, PredictionTable, better
from monai_ept.metrics import classification_metrics
from tests.engines.scenes import CLASSES, loader_of, pictures, small_net


@pytest.fixture(scope="module")
def net():
    return small_net()


@pytest.fixture(scope="module")
def logits(net):
    data = pictures()
    images = torch.stack([network_transforms(net)(record)["image"] for record in data.records])
    with torch.no_grad():
        return net.eval()(images)


def test_metrics_are_those_of_all_images_together(net, logits):
    data = pictures()
    evaluator = build_evaluator(net, loader_of(net, data.records), class_names=CLASSES)
    assert isinstance(evaluator, SupervisedEvaluator) and evaluator.state.key_metric_name == "balanced_accuracy"
    net.train()
    evaluator.run()
    assert net.training  # as it was
    wanted = classification_metrics(logits, [r["label"] for r in data.records], inputs="logits")
    for name in ("accuracy", "balanced_accuracy", "auc", "map", "ece", "kappa"):
        assert evaluator.state.metrics[name] == pytest.approx(wanted[name], abs=1e-6)
    assert evaluator.state.best_metric == evaluator.state.metrics["balanced_accuracy"]
    table = evaluator.predictions.table()
    assert table.ids == [record["id"] for record in data.records]
    np.testing.assert_allclose(table.probabilities, logits.double().softmax(-1).numpy(), atol=1e-6)


def test_multilabel_and_another_key(net):
    data = pictures(36, "multilabel")
    evaluator = build_evaluator(net, loader_of(net, data.records), task="multilabel", class_names=CLASSES)
    evaluator.run()
    assert evaluator.state.key_metric_name == "map" and "exact_match" in evaluator.state.metrics
    with pytest.raises(ValueError, match="there is no metric 'dice'; choose the name from accuracy, "):
        build_evaluator(net, loader_of(net, data.records[:5]), task="multilabel", key_metric="dice").run()


def test_decollated_and_activated_by_postprocessing(net, logits):
    """As a configuration file may have it, with MONAI's own transforms."""
    data = pictures()
    collect = CollectPredictions("multiclass", CLASSES, inputs="probabilities")
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=loader_of(net, data.records),
        network=net,
        key_val_metric={"accuracy": collect},
        postprocessing=Compose([Activationsd(keys="pred", softmax=True)]),
        decollate=True,
    )
    evaluator.run()
    np.testing.assert_allclose(collect.table().probabilities, logits.softmax(-1).double().numpy(), atol=1e-6)
    assert evaluator.state.metrics["accuracy"] == pytest.approx(
        (logits.argmax(-1) == torch.tensor([r["label"] for r in data.records])).float().mean().item()
    )


def test_predict_needs_no_labels(net, logits):
    records = [{"image": record["image"], "id": record["id"]} for record in pictures().records]
    table = predict(net, loader_of(net, records))
    assert table.labels is None and len(table) == 36
    np.testing.assert_allclose(table.probabilities, logits.double().softmax(-1).numpy(), atol=1e-6)
    with pytest.raises(ValueError, match="no labels"):
        evaluate_table(table)


def test_images_without_ids_are_numbered(net):
    records = [{"image": record["image"], "label": record["label"]} for record in pictures().records[:7]]
    assert predict(net, loader_of(net, records, 3)).ids == [str(number) for number in range(7)]


def test_a_nan_does_not_stay_the_best():
    assert better(0.2, math.nan) and not better(math.nan, 0.2) and not better(math.nan, math.nan)
    assert better(0.3, 0.2) and not better(0.2, 0.2)


def test_evaluate_writes_the_report(net, tmp_path):
    data = pictures()
    groups = {record["id"]: record["group"] for record in data.records}
    ids = [record["id"] for record in data.records]
    options = {"class_names": CLASSES, "groups": groups, "expected_ids": ids, "num_resamples": 20}
    found = evaluate(net, loader_of(net, data.records), folder=tmp_path / "report", **options)
    again = evaluate(net, loader_of(net, data.records, 36), folder=tmp_path / "again", **options)
    assert found.paths.keys() == again.paths.keys()
    assert found.intervals.keys() == again.intervals.keys() and len(found.paths) == 9
    for name, interval in found.intervals.items():
        # Another batch size, another order of sums: equal up to rounding, and the same images drawn.
        assert list(again.intervals[name]) == pytest.approx(list(interval), rel=1e-5), name
    for name, path in found.paths.items():
        assert path.parent == tmp_path / "report" and path.stat().st_size > 50, name
    with open(found.paths["per_class"], newline="") as file:
        assert [row["class"] for row in csv.DictReader(file)] == list(CLASSES)
    with open(found.paths["metrics_table"], newline="") as file:
        rows = {row["metric"]: row for row in csv.DictReader(file)}
    interval = found.intervals["auc"]
    assert [float(rows["auc"][k]) for k in ("value", "low", "high")] == pytest.approx(list(interval), rel=1e-6)
    assert rows["kappa"]["low"] == ""
    content = json.loads(found.paths["metrics"].read_text())
    assert content["support"] == dict.fromkeys(CLASSES, 12)
    with open(found.paths["confusion_matrix"], newline="") as file:
        counts = list(csv.reader(file))[1:]
    assert sum(int(cell) for row in counts for cell in row[1:]) == 36
    assert sum(int(row[1 + i]) for i, row in enumerate(counts)) == round(36 * found.metrics["accuracy"])


def test_without_intervals_and_without_folder(net):
    found = evaluate(net, loader_of(net, pictures().records[:9]), num_resamples=0)
    assert found.intervals == {} and found.paths == {} and isinstance(found.table, PredictionTable)
    assert list(found.metrics["support"]) == ["class_0", "class_1", "class_2"]
