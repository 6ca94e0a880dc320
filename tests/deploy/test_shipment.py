# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from dataclasses import replace

from monai_ept.runs import FitResult


def test_what_parts_ask_for_is_what_the_training_says(shipment):
    training = shipment.training
    assert isinstance(training, FitResult) and shipment.class_names == training.class_names == ("a", "b")
    assert not shipment.multilabel
    several = replace(shipment, training=replace(training, record={**training.record, "task": "multilabel"}))
    assert several.multilabel == (several.training.task == "multilabel")
