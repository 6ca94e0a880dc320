# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from tests.fresh_process import fresh_processes
from tools.pretrain.pictures import CHOICES, CONTOURS, VALUES, make_picture


def test_a_picture_follows_from_seed_and_index_in_any_process():
    ours = make_picture(1, 5, 40).image.tobytes()
    with fresh_processes() as pool:
        theirs = [pool.submit(make_picture, 1, index, 40).result().image.tobytes() for index in (4, 5)]
    assert theirs[1] == ours
    assert make_picture(1, 6, 40).image.tobytes() != ours != make_picture(2, 5, 40).image.tobytes()


def test_labels_are_answers_to_the_questions():
    pictures = [make_picture(0, index, 32) for index in range(150)]
    choices = np.stack([picture.choices for picture in pictures])
    values = np.stack([picture.values for picture in pictures])
    assert choices.shape == (150, len(CHOICES)) and values.shape == (150, len(VALUES))
    for column, (name, answers) in enumerate(CHOICES.items()):
        assert set(choices[:, column]) == set(range(answers)), name  # each answer is right at times
    nothing = choices[:, list(CHOICES).index("things")] == 0
    assert (choices[nothing, list(CHOICES).index("contour")] == len(CONTOURS)).all()
    assert np.isnan(values[nothing, VALUES.index("area")]).all()
    assert np.isfinite(values[~nothing, VALUES.index("area")]).all()
    known = values[np.isfinite(values)]
    assert -3 < known.min() < -0.3 < 0.3 < known.max() < 3


def test_the_label_blur_says_how_blurred_it_is():
    """The finest details of a picture are weaker when it is blurred."""

    def detail(image):
        grey = image.astype(float).mean(2)
        return np.abs(np.diff(grey, n=2, axis=0)).mean() / (np.abs(np.diff(grey, axis=0)).mean() + 0.1)

    pictures = [make_picture(3, index, 96) for index in range(200)]
    blurred = np.array([picture.choices[list(CHOICES).index("blurred")] for picture in pictures], dtype=bool)
    width = np.array([picture.values[VALUES.index("blur")] for picture in pictures])
    assert (np.isfinite(width) == blurred).all()
    details = np.array([detail(picture.image) for picture in pictures])
    assert np.median(details[width > 0.3]) < 0.7 * np.median(details[~blurred])


def test_pictures_have_all_kinds_of_colours():
    means = np.stack([make_picture(0, index, 24).image.reshape(-1, 3).mean(0) for index in range(200)])
    assert (means.std(0) > 35).all() and 60 < means.mean() < 190
