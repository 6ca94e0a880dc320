# SPDX-License-Identifier: Apache-2.0

"""What holds for every method on every backbone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from monai_ept import TunedViT
from tests.backbones import images_for
from tests.fresh_process import fresh_processes
from tests.methods.cases import BACKBONES, CASES, NUM_CLASSES, SHAPES, tuned

every_case = pytest.mark.parametrize("case", CASES)
every_backbone = pytest.mark.parametrize("kind", BACKBONES)


@pytest.fixture(scope="module")
def backbones():
    return {kind: build() for kind, build in BACKBONES.items()}


@every_backbone
@every_case
def test_outputs_counts_and_gradients(backbones, kind, case):
    net = TunedViT(backbones[kind], NUM_CLASSES, method=CASES[case])
    out = net(images_for(net.vit))
    assert out.shape == (2, NUM_CLASSES)
    assert torch.isfinite(out).all()

    count = net.count()
    assert count.backbone == sum(p.numel() for p in TunedViT(backbones[kind], 1, method="linear").backbone.parameters())
    assert count.delta == SHAPES[kind].trained(case)
    assert count.head == SHAPES[kind].head(case)
    assert count.trained == sum(tensor.numel() for tensor in net.delta_tensors().values())
    grouped = [param for group in net.trainable_parameters(lr=1e-3) for param in group["params"]]
    assert {id(param) for param in grouped} == {id(param) for param in net.parameters() if param.requires_grad}

    torch.nn.functional.cross_entropy(out, torch.tensor([0, 1])).backward()
    for name, param in net.named_parameters():
        assert (param.grad is not None) == param.requires_grad, name


@every_backbone
@every_case
def test_disabled_is_the_untouched_backbone_to_the_bit(backbones, kind, case):
    net = tuned(backbones[kind], CASES[case])
    x = images_for(net.vit)
    plain = TunedViT(backbones[kind], NUM_CLASSES, method="linear").eval().features(x)
    before = net(x)
    with net.disabled():
        assert torch.equal(net.features(x), plain)
    assert torch.equal(net(x), before)
    if case not in ("linear", "mlp"):
        assert not torch.allclose(net.features(x), plain, atol=1e-5)


@every_backbone
@every_case
def test_optimizer_changes_what_trains_and_nothing_else(backbones, kind, case):
    torch.manual_seed(0)
    net = TunedViT(backbones[kind], NUM_CLASSES, method=CASES[case]).train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    trained = {name for name, param in net.named_parameters() if param.requires_grad}
    optimizer = torch.optim.Adam(net.trainable_parameters(lr=1e-2), lr=1e-2)
    x = images_for(net.vit)
    for _ in range(2):  # a factor that starts at zero lets its partner move from the second step on
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x), torch.tensor([0, 1])).backward()
        optimizer.step()
    changed = {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == trained


@every_backbone
@every_case
def test_autocast(backbones, kind, case):
    net = tuned(backbones[kind], CASES[case])
    x = images_for(net.vit)
    plain = net(x)
    with torch.autocast("cpu", torch.bfloat16):
        out = net(x)
        loss = torch.nn.functional.cross_entropy(out, torch.tensor([0, 1]))
    loss.backward()
    assert (out - plain).norm() < 0.1 * plain.norm()
    for name, param in net.named_parameters():
        if param.requires_grad:
            assert param.dtype == torch.float32, name
            assert torch.isfinite(param.grad).all(), name


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*torch.jit.*:DeprecationWarning")
@every_case
def test_a_trace_answers_the_same_for_another_batch(backbones, case):
    net = tuned(backbones["class token"], CASES[case])
    x = images_for(net.vit, batch=3)
    with torch.no_grad():
        traced = torch.jit.trace(net, x[:2], check_trace=False)
        torch.testing.assert_close(traced(x), net(x), atol=1e-5, rtol=1e-5)


@pytest.fixture(scope="module")
def fresh_process(backbones, tmp_path_factory):
    """What the networks answer here, and what those built from their deltas answer in another process."""
    folder = tmp_path_factory.mktemp("deltas")
    here = {}
    for kind in BACKBONES:
        for case, method in CASES.items():
            net = tuned(backbones[kind], method)
            with torch.no_grad():
                here[f"{kind}+{case}"] = net(images_for(net.vit))
            net.save_delta(folder / f"{kind}+{case}.safetensors")
    with fresh_processes() as pool:
        pool.submit(answer, folder).result()
    return here, torch.load(folder / "outputs.pt")


def answer(folder: Path) -> None:
    """Note what networks answer that are built from the deltas of a folder."""
    outputs = {}
    for path in sorted(folder.glob("*.safetensors")):
        backbone = BACKBONES[path.stem.split("+")[0]]()
        net = TunedViT.from_delta(path, backbone=backbone).eval()
        with torch.no_grad():
            outputs[path.stem] = net(images_for(net.vit))
    torch.save(outputs, folder / "outputs.pt")


@every_backbone
@every_case
def test_delta_gives_equal_bits_in_a_fresh_process(fresh_process, kind, case):
    here, there = fresh_process
    assert torch.equal(here[f"{kind}+{case}"], there[f"{kind}+{case}"])


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ({"name": "adapter", "reduction": 0}, "reduction must be a whole number of at least 1, got 0"),
        ({"name": "adapter", "reduction": 100}, "choose 1 to 48"),
        ({"name": "adapter", "scale": 0}, "scale must be a number above 0, got 0"),
        ({"name": "damp", "c": float("inf")}, "c must be a number, got inf"),
        ({"name": "damp", "layers": [5]}, "layers has 5, but the backbone's 3 layers are 0 to 2"),
        ({"name": "damp", "layers": "top"}, "layers must be 'deep', 'shallow' or a list"),
        ({"name": "ept", "prompt_length": 0}, "prompt_length must be a whole number of at least 1, got 0"),
        ({"name": "ept", "prompt_layers": [0, -3]}, "prompt_layers names layer 0 twice"),
        ({"name": "ept", "prompt_layers": []}, "prompt_layers is empty"),
        ({"name": "ept", "embed": "cat"}, "embed 'cat' is not known"),
        ({"name": "ept", "start": 1.0, "embed": "add"}, "start is the logsumexp of concat prompts"),
        ({"name": "ept", "prompt_lr_scale": -1}, "prompt_lr_scale must be a number above 0"),
        ({"name": "lora", "rank": 0}, "rank must be a whole number of at least 1, got 0"),
        ({"name": "lora", "alpha": -1}, "alpha must be a number above 0, got -1"),
        ({"name": "lora", "targets": []}, "targets must be a list of 'q', 'k', 'v', 'proj'"),
        ({"name": "lora", "targets": "qv"}, "targets must be a list of 'q', 'k', 'v', 'proj', got 'qv'"),
        ({"name": "lora", "targets": ["q", "out"]}, "targets 'out' is not known"),
        ({"name": "lora", "targets": ["q", "q"]}, "names a projection twice"),
        ({"name": "mlp", "num_layers": 1}, "num_layers must be a whole number of at least 2, got 1"),
        ({"name": "mlp", "hidden_size": 0}, "hidden_size must be a whole number of at least 1, got 0"),
        ({"name": "partial", "num_blocks": 0}, "num_blocks must be a whole number of at least 1, got 0"),
        ({"name": "partial", "num_blocks": 4}, "num_blocks is 4, but the backbone has 3: choose 1 to 3"),
        ({"name": "vp", "on": "pixels"}, "on 'pixels' is not known"),
        ({"name": "vp", "size": 0}, "size must be a whole number of at least 1, got 0"),
        ({"name": "vp", "on": "frame", "size": 33}, "choose 1 to 32"),
        ({"name": "vpt", "num_tokens": 0}, "num_tokens must be a whole number of at least 1, got 0"),
        ({"name": "vpt", "layers": "middle"}, "layers 'middle' is not known"),
        ({"name": "vpt", "dropout": 1.0}, "dropout must be a number at least 0 and below 1, got 1.0"),
        ({"name": "lora", "ranks": 4}, "method 'lora' has no setting 'ranks': did you mean 'rank'?"),
        ("lorra", "method 'lorra' is not registered: did you mean 'lora'?"),
    ],
)
def test_settings_out_of_range_say_what_would_do(backbones, method, says):
    with pytest.raises(ValueError) as raised:
        TunedViT(backbones["class token"], NUM_CLASSES, method=method)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
