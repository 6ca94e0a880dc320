# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import pickle
from collections import Counter

import pytest
import torch
from monai.networks.blocks.selfattention import SABlock
from timm.layers.attention import Attention
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from monai_ept import EPTWrapper, TunedViT
from monai_ept.networks import EmbeddedPrompt, PromptedAttention, attention
from monai_ept.networks.attention import attention_weights
from tests.backbones import images_for, monai_vit, timm_vit
from tests.rounding import assert_same

on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
DEVICES = ["cpu", pytest.param("cuda", marks=on_cuda)]


def monai_3d():
    return monai_vit(spatial_dims=3)


def tuned(backbone=timm_vit, device="cpu") -> tuple[TunedViT, torch.Tensor]:
    torch.manual_seed(0)
    net = EPTWrapper(backbone(), 3, prompt_length=7, prompt_init="kaiming").eval().to(device)
    return net, images_for(net.vit).to(device)


def plain(backbone=timm_vit, device="cpu") -> tuple[TunedViT, torch.Tensor]:
    net = TunedViT(backbone(), 3, method="linear").eval().to(device)
    # Its backward pass has to reach all layers, as that of a tuned network does.
    return net, images_for(net.vit).to(device).requires_grad_()


def inference(net, x):
    with torch.no_grad():
        return net(x)


def step(net, x):
    net.zero_grad()
    net(x).square().sum().backward()
    return {name: param.grad.clone() for name, param in net.named_parameters() if param.grad is not None}


class Operations(TorchDispatchMode):
    """Counts the operations that compute something: no views, and no question which kernel would do."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if not func.is_view and func is not torch.ops.aten._fused_sdp_choice.default:
            self.counts[str(func)] += 1
        return func(*args, **(kwargs or {}))


def operations(run, net, x) -> int:
    with Operations() as seen:
        run(net, x)
    return seen.counts.total()


def launches(run, net, x) -> Counter[str]:
    run(net, x)
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        run(net, x)
        torch.cuda.synchronize()
    return Counter(event.name for event in seen.events() if event.device_type == torch.autograd.DeviceType.CUDA)


def test_a_folded_layer_takes_three_operations_more_than_a_plain_one():
    net, x = tuned()
    more = operations(inference, net.fold(), x) - operations(inference, *plain())
    assert more == 3 * len(net.vit.blocks)


def test_a_layer_takes_eight_operations_more_than_a_plain_one_in_a_training_step():
    # Written out, the formulas are ten; a copy of the gradients of q, k and v, which is two to PyTorch, is saved.
    def backward(net, x):
        net(x).square().sum().backward()

    counts = {}
    for depth in (2, 4):  # their difference leaves out where a gradient ends: at the first prompt, or at the pixels
        nets = (make(lambda depth=depth: timm_vit(depth=depth)) for make in (tuned, plain))
        counts[depth] = [operations(backward, *net) for net in nets]
    ept, linear = (more - fewer for more, fewer in zip(counts[4], counts[2], strict=True))
    assert 0 < ept - linear <= 8 * 2


@on_cuda
def test_launches_on_cuda():
    net, x = tuned(device="cuda")
    layers = len(net.vit.blocks)
    with torch.autocast("cuda", torch.bfloat16):
        more = launches(inference, net.fold(), x) - launches(inference, *plain(device="cuda"))
        assert more["_gate_kernel"] == layers
        assert more.total() <= 2 * layers, more
        more = launches(step, net, x)
        assert more.total() - launches(step, *plain(device="cuda")).total() <= 2 * layers, more


def answers(net, x) -> torch.Tensor:
    """Logits, those of the folded network, and all gradients in one row."""
    parts = [inference(net, x), inference(net.fold(), x), *step(net, x).values()]
    return torch.cat([part.double().flatten() / part.double().norm() for part in parts])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("backbone", [timm_vit, monai_3d])
def test_network_equals_its_definition(backbone, device, monkeypatch):
    net, x = tuned(backbone, device)
    fused = answers(net, x)
    with torch.autocast(device, torch.bfloat16):
        low = answers(net, x)
    monkeypatch.setattr(attention, "fused_kernel", lambda *_: None)
    with torch.autocast(device, torch.bfloat16):
        low_definition = answers(net, x)
    exact = answers(net.double(), x.double())
    assert (fused - exact).norm() <= 1e-4 * exact.norm()
    assert (low - exact).norm() <= 1.5 * (low_definition - exact).norm() + 1e-3 * exact.norm()


@pytest.mark.parametrize("device", DEVICES)
def test_checkpointing(device):
    net, x = tuned(device=device)
    expected = step(net, x)
    for block in net.vit.blocks:
        forward = block.forward
        block.forward = lambda tokens, forward=forward: checkpoint(forward, tokens, use_reentrant=False)
    for name, grad in step(net, x).items():
        torch.testing.assert_close(grad, expected[name])


@pytest.mark.parametrize("device", DEVICES)
def test_compiled_once_for_every_batch(device):
    torch._dynamo.reset()
    net, x = tuned(device=device)
    folded = net.fold()
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        inner = "inductor" if device == "cuda" else "aot_eager"  # inductor needs a C++ compiler on a CPU
        return torch._dynamo.lookup_backend(inner)(graph, inputs)

    compiled, compiled_folded = (torch.compile(one, fullgraph=True, backend=backend) for one in (net, folded))
    for _epoch in range(2):
        for images in (torch.cat([x] * 4), torch.cat([x] * 4), torch.cat([x] * 3)):
            torch._dynamo.mark_dynamic(images, 0)
            expected = step(net, images)
            net.zero_grad()
            compiled(images).square().sum().backward()
            for name, grad in expected.items():
                torch.testing.assert_close(net.get_parameter(name).grad, grad, rtol=1e-3, atol=1e-4)
            out = inference(compiled_folded, images)
            torch.testing.assert_close(out, inference(folded, images), rtol=1e-4, atol=1e-4)
    assert len(graphs) == 2


def test_a_folded_network_follows_its_numbers():
    net, x = tuned()
    folded = net.fold()
    before = inference(folded, x)
    copied, pickled = copy.deepcopy(folded), pickle.loads(pickle.dumps(folded))
    with torch.no_grad():
        for block in folded.vit.blocks:
            block.attn.prompt.logits.add_(1)
    after = inference(folded, x)
    assert not torch.allclose(before, after)
    for other in (copied, pickled):
        assert torch.equal(inference(other, x), before)
        other.load_state_dict(folded.state_dict())
        assert torch.equal(inference(other, x), after)
    torch.testing.assert_close(inference(folded.double(), x.double()).float(), after, rtol=0, atol=1e-5)


def test_monai_attention_maps_stay_readable():
    block = SABlock(48, 3, save_attn=True).eval()
    wrapped = PromptedAttention(block, EmbeddedPrompt(9, 4))
    x = torch.randn(2, 9, 48)
    wrapped(x)
    q, k, _ = block.input_rearrange(block.qkv(x))
    assert_same(block.att_mat, attention_weights(q, k, wrapped.prompt.logits, block.scale))
    assert (block.att_mat.sum(-1) < 1).all()


def test_dropout_follows_the_mode_of_the_module():
    attn = Attention(48, num_heads=3, attn_drop=0.5)
    wrapped = PromptedAttention(attn, EmbeddedPrompt(9, 4))
    x = torch.randn(2, 9, 48)
    wrapped.eval()
    assert torch.equal(wrapped(x), wrapped(x))
    wrapped.train()
    assert not torch.equal(wrapped(x), wrapped(x))
