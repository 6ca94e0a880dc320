# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from monai_ept.analysis.image_choice import choose_images, left_out


def records_of(labels) -> list[dict]:
    return [{"label": label, "id": str(index)} for index, label in enumerate(labels)]


def counted(records: list[dict], num_classes: int) -> list[int]:
    return np.bincount([record["label"] for record in records], minlength=num_classes).tolist()


def test_every_class_keeps_five_images_and_the_rest_is_in_proportion():
    """Of 1000 images 100: five of the third class, all three of two more, and 89 left for 800 and 150 images."""
    records = records_of(np.repeat(np.arange(5), [800, 150, 44, 3, 3]).tolist())
    chosen = choose_images(records, 100, 5)
    assert counted(chosen, 5) == [75, 14, 5, 3, 3]
    assert [int(record["id"]) for record in chosen] == sorted(int(record["id"]) for record in chosen)
    assert choose_images(records, 100, 5) == chosen != choose_images(records, 100, 5, seed=1)
    assert counted(choose_images(records, 100, 5, seed=1), 5) == counted(chosen, 5)


def test_where_not_even_five_fit_all_classes_get_alike():
    records = records_of(np.repeat(np.arange(4), [50, 40, 30, 1]).tolist())
    assert counted(choose_images(records, 10, 4), 4) == [3, 3, 3, 1]
    assert choose_images(records, 121, 4) == choose_images(records, None, 4) == records
    with pytest.raises(ValueError, match="max_images"):
        choose_images(records, 1, 4)


def test_labels_keep_five_images_and_so_do_images_that_are_compared():
    """Two common labels and a rare one, which is nearly always beside another: five alone, and five without any."""
    rng = np.random.default_rng(0)
    labels = np.hstack([rng.random((600, 2)) < 0.5, np.zeros((600, 1), dtype=bool)]).astype(int)
    labels[:20, 2] = 1
    labels[:20, :2] = 1
    labels[20:26] = [0, 0, 1]
    chosen = np.array([record["label"] for record in choose_images(records_of(labels.tolist()), 60, 3)])
    number = chosen.sum(axis=1)
    assert len(chosen) == 60 and ((number == 1) & (chosen[:, 2] == 1)).sum() == 5
    assert chosen[:, 2].sum() >= 5 and (number == 0).sum() >= 5
    shares = labels[:, :2].mean(axis=0)
    np.testing.assert_allclose(chosen[:, :2].mean(axis=0), shares, atol=0.1)


def test_rare_classes_are_named_and_absent_ones_are_not():
    assert left_out(np.array([5, 4, 0, 1]), ["a", "b", "c", "d"]) == [
        "Fewer than 5 images, and therefore not measured or drawn by class: b (4), d (1)."
    ]
    assert left_out(np.array([5, 0]), ["a", "b"]) == []
