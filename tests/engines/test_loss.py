# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from monai_ept.engines import class_weights, make_loss, task_of
from monai_ept.engines.loss import image_weights


def records(labels):
    return [{"image": None, "label": label, "group": str(i), "id": str(i)} for i, label in enumerate(labels)]


class TestClassWeights:
    def test_multiclass_counts_every_class_alike(self):
        labels = [0] * 6 + [1] * 2
        weights = class_weights(records(labels), 2)
        assert weights.tolist() == pytest.approx([8 / 12, 8 / 4])
        assert sum(weights[label] for label in labels) / len(labels) == pytest.approx(1)

    def test_an_image_counts_as_its_class_does(self):
        labels = torch.tensor([0, 0, 0, 2, 2, 3])
        of_class = class_weights(records(labels.tolist()), 4)
        each = image_weights(torch.nn.functional.one_hot(labels, 4))
        assert each.dtype == torch.float64 and torch.equal(each.float(), of_class[labels])

    def test_multilabel_positives_weigh_as_much_as_negatives(self):
        rows = [[1, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, 1]]
        assert class_weights(records(rows), 3).tolist() == [3, 1, 1]  # none of the second, only of the third

    def test_a_class_without_images(self):
        assert class_weights(records([0, 0, 2]), 3).tolist() == pytest.approx([0.75, 1, 1.5])

    def test_largest(self):
        assert class_weights(records([[1]] + [[0]] * 500), 1).tolist() == [100]

    def test_task_by_label(self):
        assert task_of(records([1])) == task_of(records([np.int64(1)])) == "multiclass"
        assert task_of(records([[0, 1]])) == task_of(records([np.array([0, 1])])) == "multilabel"
        with pytest.raises(ValueError, match="no record to train on"):
            task_of([])


class TestLoss:
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))

    @pytest.mark.parametrize("task", ["multiclass", "multilabel"])
    def test_halves_agree_with_the_whole(self, task):
        # What several processes with small batches compute, as one process with the batches together.
        labels = torch.tensor([0, 1, 2, 0, 0, 0]) if task == "multiclass" else (self.logits > 0.3).float()
        loss = make_loss(task, [1.0, 4.0, 0.5])
        whole = loss(self.logits, labels).mean()
        halves = [loss(self.logits[part], labels[part]).mean() for part in (slice(3), slice(3, 6))]
        assert torch.allclose(whole, sum(halves) / 2)

    def test_weights_work_in_a_batch_of_one_class(self):
        labels = torch.ones(6, dtype=torch.long)
        plain, heavy = (make_loss("multiclass", w)(self.logits, labels).mean() for w in (None, [1.0, 4.0, 1.0]))
        assert torch.allclose(heavy, 4 * plain)

    def test_is_torchs_own_without_weights(self):
        labels = torch.tensor([0, 1, 2, 0, 1, 2])
        assert torch.allclose(make_loss()(self.logits, labels).mean(), nn.functional.cross_entropy(self.logits, labels))

    def test_unknown_task(self):
        with pytest.raises(ValueError, match="task 'regression' is not known"):
            make_loss("regression")

    @pytest.mark.parametrize("labels", [torch.tensor([0, 1, 2]), torch.eye(3)], ids=["multiclass", "multilabel"])
    def test_smoothing_wants_no_certainty(self, labels):
        task = "multiclass" if labels.ndim == 1 else "multilabel"
        certain = (torch.eye(3) * 2 - 1) * 20
        plain, smooth = make_loss(task), make_loss(task, label_smoothing=0.1)
        assert plain(certain, labels).mean() < 0.001 < smooth(certain, labels).mean()
        likeliest = torch.eye(3) * 4 - 2
        assert smooth(likeliest, labels).mean() < smooth(certain, labels).mean()
        assert torch.equal(make_loss(task, label_smoothing=0.0)(certain, labels), plain(certain, labels))
        with pytest.raises(ValueError, match="label_smoothing"):
            make_loss(task, label_smoothing=1.0)
