# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from monai.data import MetaTensor

from monai_ept.data.meta_data import plain_image
from monai_ept.data.random_views import RandomViews


def test_an_image_loses_its_meta_data_and_nothing_else():
    image = MetaTensor(torch.rand(2, 3, 8, 8), meta={"filename_or_obj": "a.png"})
    plain = plain_image(image)
    assert type(plain) is torch.Tensor and torch.equal(plain, image.as_tensor())
    assert plain_image(plain) is plain


def test_random_views_are_plain():
    assert type(RandomViews()(MetaTensor(torch.rand(2, 3, 8, 8)))) is torch.Tensor
