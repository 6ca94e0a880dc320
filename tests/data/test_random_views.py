# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_ept.data.random_views import RandomViews


def still(**settings) -> RandomViews:
    """Views that differ in nothing but what ``settings`` say."""
    return RandomViews(**{"views": "one", "least": 1.0, "gain": 0.0, "shift": 0.0, **settings})


@pytest.mark.parametrize("size", [(12, 16), (8, 10, 12)], ids=str)
@pytest.mark.parametrize("views", ["one", "upright", "turned"])
def test_views_are_random_and_follow_from_the_seed(size, views):
    images = torch.rand(3, 2, *size)
    seen = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        seen.append(RandomViews(views, colour=True, blur=0.5)(images))
    assert seen[0].shape == images.shape and seen[0].dtype == images.dtype
    assert torch.equal(seen[0], seen[1]) and not torch.equal(seen[0], seen[2])
    assert torch.isfinite(seen[0]).all()


def test_nothing_to_change_changes_nothing():
    images = torch.rand(2, 3, 9, 14)
    torch.testing.assert_close(still()(images), images)


def test_a_turn_keeps_circles_round_where_images_are_not_square():
    down, right = torch.meshgrid(torch.arange(64) - 31.5, torch.arange(128) - 63.5, indexing="ij")
    disc = (down.square() + right.square() < 20**2).float().expand(8, 1, 64, 128)
    turned = still(views="turned")(disc)[..., 32:96]  # further out, what reflection brings back
    assert (turned - disc[..., 32:96]).abs().mean() < 0.02


def test_volumes_turn_in_the_plane_of_their_first_two_axes():
    # What differs along the third axis only stays where it is.
    volume = torch.arange(6.0).expand(4, 1, 10, 12, 6)
    torch.testing.assert_close(still(views="turned")(volume), volume)


def test_up_stays_up_in_upright_views():
    ramp = torch.linspace(0, 1, 32)[:, None].expand(64, 1, 32, 32)
    seen = RandomViews("upright", gain=0.0, shift=0.0)(ramp)
    assert (seen[..., 24, 8:24] > seen[..., 8, 8:24]).all()
    assert not (RandomViews("turned")(ramp)[..., 24, 8:24] > RandomViews("turned")(ramp)[..., 8, 8:24]).all()


@pytest.mark.parametrize(("views", "mirrors"), [("one", False), ("upright", True)])
def test_mirrors_are_left_to_right(views, mirrors):
    ramp = torch.linspace(0, 1, 32).expand(64, 1, 32, 32)
    rising = RandomViews(views, gain=0.0, shift=0.0)(ramp)[:, 0, 16].diff(dim=-1)[:, 8:24].mean(dim=-1) > 0
    assert bool(rising.all()) is not mirrors and bool(rising.any())


def test_a_crop_is_no_smaller_than_asked():
    ramp = torch.linspace(-1, 1, 101).expand(200, 1, 101, 101)
    span = still(least=0.5)(ramp)[:, 0, 50].diff(dim=-1).sum(dim=-1) / 2
    assert 0.45 < span.min() < 0.6 and span.max() > 0.9


def test_light_changes_all_channels_alike_or_each_by_itself():
    grey = torch.rand(16, 1, 8, 8).expand(16, 3, 8, 8)
    alike, own = (still(gain=0.5, shift=0.5, colour=colour)(grey) for colour in (False, True))
    assert torch.equal(alike[:, 0], alike[:, 1]) and not torch.equal(own[:, 0], own[:, 1])


@pytest.mark.parametrize("settings", [{"views": "upside"}, {"least": 0.0}, {"least": 1.5}, {"gain": 1.0}, {"blur": 2}])
def test_settings_out_of_range(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        RandomViews(**settings)
