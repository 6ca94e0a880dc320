# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_ept.federated import put_trained, trained_tensors
from monai_ept.federated.exchange import check_plain
from tests.backbones import timm_vit
from tests.engines.scenes import small_net


def test_of_a_hundred_logits_of_a_token_one_number_travels():
    net = small_net(prompt_length=100)
    sent = trained_tensors(net)
    name = "backbone.blocks.0.attn.prompt.logits"
    logits = net.delta_tensors()[name]
    assert logits.shape[1] == 100 and sent[name].shape == (len(logits), 1)
    torch.testing.assert_close(sent[name][:, 0], logits.logsumexp(1))
    assert sent.keys() == net.delta_tensors().keys()


@pytest.mark.parametrize("method", ["ept", "lora", "ln", "linear", "vpt"])
def test_who_takes_it_over_answers_alike(method):
    settings = {"method": method, **({} if method in ("ept", "vpt") else {"prompt_length": None})}
    settings = {key: value for key, value in settings.items() if value is not None}
    one, other = (_net(seed, settings) for seed in (1, 2))
    images = torch.rand(2, 3, *one.vit.img_size)
    assert not torch.allclose(one(images), other(images))
    put_trained(other, {name: tensor.numpy() for name, tensor in trained_tensors(one).items()})
    torch.testing.assert_close(one(images), other(images), rtol=1e-5, atol=1e-5)


def _net(seed, settings):
    from monai_ept import TunedViT

    torch.manual_seed(0)
    net = TunedViT(timm_vit(), 3, **settings).eval()
    torch.manual_seed(seed)
    with torch.no_grad():
        for tensor in net.delta_tensors().values():
            tensor.add_(0.3 * torch.randn_like(tensor))
    return net


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda net, sent: net.state_dict(),
            "more weights of the frozen backbone have come: only what method ept trains",
        ),
        (lambda net, sent: {**sent, "head.other": sent["head.fc.bias"]}, "'head.other' is on one side only"),
        (
            lambda net, sent: {k: v for k, v in sent.items() if k != "head.fc.bias"},
            "'head.fc.bias' is on one side only",
        ),
        (lambda net, sent: {**sent, "head.fc.bias": torch.zeros(9)}, "'head.fc.bias' has come with shape (9,)"),
        (lambda net, sent: {**sent, "head.fc.bias": sent["head.fc.bias"] * torch.nan}, "NaN or infinite"),
        (lambda net, sent: {}, "on one side only"),
    ],
    ids=["full", "more", "less", "shape", "nan", "nothing"],
)
def test_anything_else_is_refused_and_changes_nothing(damage, message):
    net = small_net()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(ValueError) as caught:
        put_trained(net, damage(net, trained_tensors(net)))
    assert message in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize(
    "settings",
    [
        {"seed": "$__import__('os').getpid()"},
        {"train_kwargs": {"imports": ["$import os"]}},
        {"train_kwargs": {"split": {"_target_": "os.system", "command": "true"}}},
        {"train_kwargs": {"split#_target_": "os.system"}},
        {"train_kwargs": {"seed": "%/tmp/other.yaml::seed"}},
    ],
    ids=["expression", "import", "target", "path-to-target", "macro"],
)
def test_settings_from_elsewhere_execute_nothing(settings):
    with pytest.raises(ValueError, match="only plain values may come from elsewhere"):
        check_plain(settings)
    check_plain({"shots": 5, "train_kwargs": {"dataset_dir": "a", "source_options": {"n": [1, None]}, "lr": 1e-3}})
