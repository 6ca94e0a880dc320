# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_ept.data import views as module
from monai_ept.data.views import VIEW_SETS, View, mean_over_views, train_views


@pytest.mark.parametrize("size", [(12, 12), (12, 16), (8, 8, 8), (8, 10, 12)], ids=str)
@pytest.mark.parametrize("views", VIEW_SETS)
def test_every_view_has_the_size_of_the_image(size, views):
    images = torch.rand(2, 3, *size)
    for of in (train_views, module.test_views):
        seen = [view(images) for view in of(views)]
        assert torch.equal(seen[0], images)  # the image itself comes first
        for one in seen:
            assert one.shape == images.shape
        different = {one.double().mul(torch.arange(one.numel()).view_as(one)).sum().item() for one in seen}
        assert len(different) == len(seen)


def test_a_flip_is_left_to_right():
    image = torch.zeros(1, 1, 4, 4)
    image[..., 1, 0] = 1.0
    assert View(flip=True)(image)[0, 0, 1, 3] == 1.0
    volume = torch.zeros(1, 1, 4, 4, 4)
    volume[0, 0, 0, 1, 2] = 1.0
    assert View(flip=True)(volume)[0, 0, 3, 1, 2] == 1.0


def test_a_crop_shows_its_corner():
    image = torch.zeros(1, 1, 16, 16)
    image[..., :8, :8] = 1.0
    torch.testing.assert_close(View(0.5, 0.0)(image), torch.ones_like(image))
    assert View(0.5, 1.0)(image).abs().max() == 0.0


def test_up_stays_up_in_upright_views():
    # A ramp from top to bottom: every view must still rise.
    image = torch.linspace(0, 1, 20)[:, None].expand(1, 1, 20, 20)
    for view in (*train_views("upright"), *module.test_views("upright")):
        assert (view(image)[0, 0].diff(dim=0) > 0).all(), view
    assert not all((view(image)[0, 0].diff(dim=0) > 0).all() for view in train_views("turned"))


@pytest.mark.parametrize("size", [(17, 24), (9, 12, 8)], ids=str)
def test_an_enlarged_crop_is_the_same_in_an_exported_network(size, monkeypatch):
    images = torch.rand(2, 3, *size)
    expected = View(0.7, 0.3)(images)
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    torch.testing.assert_close(View(0.7, 0.3)(images), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("turns", [-1, 0, 1, 2, 3, 5])
def test_turns_are_those_of_torch(turns):
    images = torch.rand(1, 1, 6, 6)
    assert torch.equal(View(turns=turns)(images), torch.rot90(images, turns, (2, 3)))


def test_an_unknown_set_of_views():
    with pytest.raises(ValueError, match=r"views 'upside' is not known: there is 'one', 'upright', 'turned'"):
        train_views("upside")


def test_the_mean_is_over_what_is_said_of_each_view():
    images = torch.rand(2, 1, 4, 4)
    seen = []

    def corner(view):
        seen.append(view)
        return view[:, :, 0, 0]

    found = mean_over_views(corner, images, "turned")
    assert len(seen) == 6
    assert torch.allclose(
        found, torch.stack([view(images)[:, :, 0, 0] for view in module.test_views("turned")]).mean(0)
    )
    assert torch.equal(mean_over_views(corner, images, "one"), images[:, :, 0, 0])
