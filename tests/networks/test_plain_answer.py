# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import warnings

import pytest
import torch

from monai_ept import DeltaError, TunedViT
from monai_ept.data.views import test_views as views_of
from monai_ept.networks.readout import read_out
from tests.backbones import TIMM_FAMILIES, images_for, monai_vit, shaken, timm_vit

METHODS = ["ept", "damp", "lora", "ln", "bias", "full", "adapter", "partial", "proj", "vp", "vpt", "linear", "mlp"]
BACKBONES = {**{name: lambda name=name: timm_vit(name) for name in TIMM_FAMILIES}, "monai": monai_vit}
BACKBONES["volumes"] = lambda: monai_vit(3)


def kept(module, method="lora", **settings):
    """A network that has been tuned, and whose solved head has been found."""
    torch.manual_seed(1)
    net = TunedViT(module, 3, method=method, keep_solved=True, **settings)
    for group in net.trainable_parameters(lr=1.0):
        for param in group["params"]:
            param.data.add_(torch.randn_like(param) * 0.1)
    net.solved.solve(torch.randn_like(net.solved.head.weight), torch.randn(3))
    return net.eval()


def by_hand(net, images):
    """The mean of two networks over the views: as it was tuned, and the backbone as it came."""
    with torch.no_grad():
        logits = []
        for view in views_of(net.views):
            seen = view(images)
            own = net.head(net.features(seen))
            with net.disabled():
                logits.append((own + net.solved.head(net.features(seen))) / 2)
        return torch.stack(logits).mean(dim=0)


@pytest.mark.parametrize("method", [*METHODS, ["ept", "ln"], ["lora", "bias"]], ids=str)
def test_with_every_method_the_answer_is_the_mean_of_both(method):
    net = kept(timm_vit(), method, views="upright")
    x = images_for(net.vit)
    torch.testing.assert_close(net(x), by_hand(net, x))
    net.temperature = 2.0
    torch.testing.assert_close(net(x) * 2, by_hand(net, x))


@pytest.mark.parametrize("name", BACKBONES)
def test_with_every_backbone(name):
    readout = "pooled" if name == "vit_so150m_patch16_reg4_map_256" else 2
    net = kept(BACKBONES[name](), ["ept", "ln"] if name != "monai" else "lora", readout=readout)
    x = images_for(net.vit)
    torch.testing.assert_close(net(x), by_hand(net, x), atol=1e-5, rtol=1e-5)


def test_while_training_the_tuned_network_is_alone_and_the_other_gets_no_gradient():
    net = kept(timm_vit())
    x, solved = images_for(net.vit), {name: param.clone() for name, param in net.solved.named_parameters()}
    net.train()
    torch.testing.assert_close(net(x), net.head(net.features(x)))
    assert not net.solved.training and not net.solved.backbone.training
    net(x).sum().backward()
    assert all(param.grad is None for param in net.solved.parameters())
    torch.optim.SGD(net.trainable_parameters(lr=1.0), lr=1.0).step()
    assert all(torch.equal(param, solved[name]) for name, param in net.solved.named_parameters())


def test_only_what_is_thawed_takes_memory_twice():
    for method, twice in (("lora", set()), ("ln", {"norm1", "norm2", "norm"})):
        net = kept(timm_vit(), method)
        places = {param.data_ptr() for param in net.backbone.parameters()}
        own = [name for name, param in net.solved.backbone.named_parameters() if param.data_ptr() not in places]
        assert {name.split(".")[-2] for name in own} == twice


def test_a_plain_answer_is_that_of_the_backbone_as_it_came():
    module = timm_vit()
    net = kept(module, ["full"])
    plain = net.plain_answer("pooled", "turned")
    x = images_for(net.vit)
    untouched = TunedViT(module, 3, method="linear")
    assert torch.equal(plain.features(x), read_out(untouched.vit, x, "pooled"))
    assert torch.equal(plain(x), torch.zeros(2, 3))  # until its head is found
    weight, bias = torch.randn(3, 48), torch.randn(3)
    plain.solve(weight.double(), bias.double())
    wanted = torch.stack([read_out(untouched.vit, view(x), "pooled") @ weight.T + bias for view in views_of("turned")])
    torch.testing.assert_close(plain(x), wanted.mean(dim=0))


@pytest.mark.parametrize("method", ["lora", "ept", ["lora", "ept"]], ids=str)
def test_folding_keeps_the_answer_and_the_network(method):
    net = kept(timm_vit(), method, views="upright")
    x = images_for(net.vit)
    before = net(x)
    torch.testing.assert_close(net.fold()(x), before, atol=1e-5, rtol=1e-5)
    assert torch.equal(net(x), before)
    merged = kept(timm_vit(), "lora").fold()
    with pytest.raises(ValueError, match=r"call plain_answer\(\) on the network before fold"):
        merged.keep_solved()
    merged.keep_solved(False)
    torch.testing.assert_close(merged(x), merged.head(merged.features(x)))


def test_shapes_alone_take_no_memory_and_nothing_is_drawn():
    with torch.device("meta"):
        net = TunedViT("vit_tiny_patch16_224", 100_000, method="lora", readout=12, keep_solved=True)
    assert all(param.is_meta for param in net.parameters())
    states = []
    for keep in (True, False):
        torch.manual_seed(0)
        TunedViT(timm_vit(), 3, method="lora", keep_solved=keep)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


def test_a_delta_keeps_the_second_head(tmp_path):
    net, path = kept(timm_vit(), readout=2, views="upright"), tmp_path / "delta.safetensors"
    net.save_delta(path)
    x = images_for(net.vit)
    again = TunedViT.from_delta(path, backbone=timm_vit()).eval()
    assert torch.equal(again(x), net(x))
    again.save_delta(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    alone = TunedViT(timm_vit(), 3, method="lora", readout=2)
    with pytest.raises(
        DeltaError, match=r"a solved head beside the tuned network, this network has none: build .*True"
    ):
        alone.load_delta(path)
    alone.save_delta(path)
    with pytest.raises(DeltaError, match=r"no solved head beside the tuned network, this network has one: .*False"):
        again.load_delta(path)


def test_it_follows_another_readout_and_a_copy():
    net = TunedViT(timm_vit(), 3, method="lora", keep_solved=True)
    net.prefer(readout=2, views="upright")
    assert net.solved.head.in_features == net.head.fc.in_features == 2 * 2 * 48
    copied = copy.deepcopy(net)
    shaken(copied.solved.head)
    assert not torch.equal(copied.solved.head.weight, net.solved.head.weight)
    with pytest.raises(ValueError, match="keep_solved 'perhaps' is neither true nor false"):
        TunedViT(timm_vit(), 3, keep_solved="perhaps")


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("method", ["lora", "ln"])
def test_traced_and_exported_networks_answer_the_same(method, tmp_path):
    net = kept(timm_vit(), method, views="upright")
    x = images_for(net.vit, 3)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.jit.trace(net, x[:1], check_trace=False).save(str(tmp_path / "model.ts"))
        traced = torch.jit.load(str(tmp_path / "model.ts"))
    torch.testing.assert_close(traced(x), net(x), atol=1e-5, rtol=1e-5)
    program = torch.export.export(net, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.testing.assert_close(program.module()(x[:2]), net(x[:2]), atol=1e-5, rtol=1e-5)
    # The frozen weights are in the file once.
    alone = TunedViT(timm_vit(), 3, method=method).eval()
    with torch.no_grad():
        torch.jit.trace(alone, x[:1], check_trace=False).save(str(tmp_path / "alone.ts"))
    grown = (tmp_path / "model.ts").stat().st_size - (tmp_path / "alone.ts").stat().st_size
    assert grown < 0.5 * (tmp_path / "alone.ts").stat().st_size
