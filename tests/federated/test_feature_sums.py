# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_ept import TunedViT
from monai_ept.engines.solve import solvable_layer, solve_plain
from monai_ept.federated import solve_from_sums
from monai_ept.federated.feature_sums import feature_sums
from tests.backbones import timm_vit

WIDTH = 48


def scene(images, task="multiclass", views=4):
    """Features far from zero, as those of networks are, and three classes that can be told apart."""
    drawn = torch.Generator().manual_seed(images)
    labels = torch.randint(0, 3, (images,), generator=drawn)
    if task == "multilabel":
        labels = torch.randint(0, 2, (images, 3), generator=drawn)
    features = torch.randn(images, views, WIDTH, generator=drawn) * torch.rand(WIDTH, generator=drawn) + 0.3
    features[:, :, :3] += (labels if task == "multilabel" else torch.eye(3)[labels])[:, None]
    return features, labels


def network():
    return TunedViT(timm_vit(), 3, method="linear")


def sums(features, labels, task="multiclass", **settings):
    return feature_sums(features, labels, num_classes=3, task=task, **{"least": 1, **settings})


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
@pytest.mark.parametrize("images", [9, 60], ids=["few", "more-views-than-features"])
@pytest.mark.parametrize("by", ["class", "chance", "one"])
def test_the_head_is_that_of_all_images_in_one_place(task, images, by):
    features, labels = scene(images, task)
    torch.manual_seed(1)
    first = labels if task == "multiclass" else labels[:, 0]
    owner = {"class": first, "chance": torch.randint(0, 3, (images,)), "one": torch.zeros(images).long()}[by]
    net = network()
    solve_from_sums(
        net, [sums(features[owner == at], labels[owner == at], task) for at in range(3) if (owner == at).any()]
    )
    # Groups of one cannot be left out: solving then takes the usual penalty and sharpness, as the server does.
    pooled = net.plain_answer(net.readout, net.views)
    pooled.head.double()
    how = {"task": task, "device": torch.device("cpu"), "look": lambda *_, **__: (features, labels)}
    solve_plain(pooled, net, [], ["one"] * images, **how)
    weight, bias = pooled.head.weight, pooled.head.bias
    layer = solvable_layer(net)
    assert (layer.weight.double() - weight).abs().max() < 1e-6
    assert (layer.bias.double() - bias).abs().max() < 1e-6
    assert weight.abs().max() > 0.05


def test_no_more_numbers_travel_than_sums_have():
    features, labels = scene(120)
    labels[:] = 0
    sent = sums(features, labels)
    assert sent["images"].tolist() == [120, 0, 0, 120]
    assert {name: tensor.numel() for name, tensor in sent.items()} == {"images": 4, "factor.0": 49 * 50 // 2}
    assert sums(features[:2], labels[:2])["factor.0"].numel() == 8 * 49 - 8 * 7 // 2


def test_sums_by_hand():
    """Two images of one feature, 1 and 3: count 2, sum 4, second moment 10."""
    sent = feature_sums(torch.tensor([[[1.0]], [[3.0]]]), torch.tensor([1, 1]), num_classes=2)
    (a, b, c) = sent["factor.1"].tolist()
    assert [a * a, a * b, b * b + c * c] == pytest.approx([2, 4, 10])


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_a_class_of_one_image_would_be_given_away(task):
    features, labels = scene(4, task)
    labels = torch.tensor([0, 0, 0, 1]) if task == "multiclass" else torch.tensor([[1, 0, 0]] * 3 + [[0, 1, 0]])
    with pytest.raises(ValueError, match=r"class .* has 1 image here, whose features its sums would give away"):
        sums(features, labels, task, least=2, class_names=("red", "green", "blue"))
    # So it is: the mean of one image's views.
    if task == "multiclass":
        factor = sums(features, labels)["factor.1"]
        torch.testing.assert_close(factor[1 : WIDTH + 1] / factor[0], features[3].double().mean(0))


def test_who_has_an_image_can_tell_whether_it_was_there():
    """Fewer views than features: rows of the factor span what the views span, as docs/federated.md says."""
    features, labels = scene(8, views=2)
    labels[:] = 0
    packed = sums(features[:7], labels[:7])["factor.0"]
    factor = torch.zeros(14, WIDTH + 1, dtype=torch.double)
    factor[tuple(torch.triu_indices(14, WIDTH + 1))] = packed
    views = torch.cat([torch.ones(8, 1), features[:, 0]], 1).double()
    away = [torch.linalg.lstsq(factor.T, view[:, None]).solution for view in views]
    away = [float((factor.T @ found)[:, 0].sub(view).norm()) for found, view in zip(away, views, strict=True)]
    assert max(away[:7]) < 1e-6 < 0.1 < away[7]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda sent: [], "no client has sent sums of any image"),
        (lambda sent: [{**sent, "images": sent["images"][:2]}], "sums of features for 3 classes"),
        (lambda sent: [{"w": torch.zeros(2)}], "sums of features for 3 classes"),
        (lambda sent: [{**sent, "factor.0": sent["factor.0"][:-1]}], "sums of other features than the 48"),
        (lambda sent: [{**sent, "factor.0": sent["factor.0"] * torch.nan}], "sums of other features than the 48"),
    ],
    ids=["nobody", "classes", "weights", "cut", "nan"],
)
def test_what_are_no_sums_is_refused(damage, message):
    net = network()
    before = solvable_layer(net).weight.clone()
    with pytest.raises(ValueError, match=message):
        solve_from_sums(net, damage(sums(*scene(9))))
    assert torch.equal(solvable_layer(net).weight, before)
