# SPDX-License-Identifier: Apache-2.0
# Longer than our files are: one network is asked for everything it can do, and the helpers stand once.

from __future__ import annotations

import copy
import io
from concurrent.futures import as_completed

import pytest
import timm
import torch
import torch.distributed as dist
from monai.data import MetaTensor
from monai.networks.nets import ViT
from torch.nn.parallel import DistributedDataParallel

from monai_ept import EPTWrapper, ParameterCount, TunedViT
from monai_ept.methods import Ept
from tests.backbones import TIMM_FAMILIES, images_for, monai_vit, timm_vit
from tests.fresh_process import fresh_processes
from tests.rounding import NETWORK, assert_same


@pytest.fixture
def net() -> TunedViT:
    torch.manual_seed(0)
    return EPTWrapper(timm_vit(), 3, prompt_length=7, prompt_init="kaiming").eval()


@pytest.fixture
def x(net) -> torch.Tensor:
    return images_for(net.vit)


def gradients(net, x):
    net.zero_grad()
    net(x).square().sum().backward()
    return {name: param.grad.clone() for name, param in net.named_parameters() if param.grad is not None}


def test_by_name_it_is_the_size_of_the_paper():
    net = EPTWrapper("vit_base_patch16_224.augreg_in21k", 7)
    assert net.count() == ParameterCount(backbone=85_798_656, delta=236_400, head=5_383)
    assert net.fold().count().delta == 2_364
    assert (net.vit.mean, net.vit.std, net.vit.interpolation) == ((0.5,) * 3, (0.5,) * 3, "bicubic")


def test_only_prompts_and_head_train(net, x):
    grads = gradients(net, x)
    trained = {name for name, param in net.named_parameters() if param.requires_grad}
    assert grads.keys() == trained
    assert all(name.startswith("head.") or name.endswith("prompt.logits") for name in trained)
    assert all(grad.abs().max() > 0 for grad in grads.values())


def test_the_optimizer_takes_the_groups(net, x):
    before = copy.deepcopy(net.state_dict())
    optimizer = torch.optim.SGD(net.trainable_parameters(), lr=0.1)
    gradients(net, x)
    optimizer.step()
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == set(net.delta_tensors())


def test_prompts_may_have_their_own_learning_rate():
    net = TunedViT(timm_vit(), 3, method="ept", prompt_lr_scale=100.0)
    groups = net.trainable_parameters(lr=0.01)
    assert [group["lr"] for group in groups] == [1.0, 0.01]
    assert sum(param.numel() for param in groups[0]["params"]) == net.count().delta
    with pytest.raises(ValueError, match=r"call trainable_parameters\(lr=…\)"):
        net.trainable_parameters()


@pytest.mark.parametrize(
    ("layers", "prompted"),
    [("deep", [0, 1, 2, 3]), ("shallow", [0]), ([-1, 0], [0, 3]), ((2,), [2]), ([3, 1], [1, 3])],
)
def test_prompt_layers(layers, prompted):
    net = EPTWrapper(timm_vit(depth=4), 3, prompt_layers=layers)
    assert [i for i, block in enumerate(net.vit.blocks) if hasattr(block.attn, "prompt")] == prompted


def test_disabled_is_bit_equal_and_comes_back(net, x):
    backbone = timm_vit()
    tuned = net(x)
    with net.disabled() as plain:
        assert torch.equal(plain.features(x), backbone.forward_head(backbone.forward_features(x), pre_logits=True))
    assert torch.equal(net(x), tuned)
    with pytest.raises(RuntimeError, match="inside"), net.disabled():
        raise RuntimeError("inside")
    assert torch.equal(net(x), tuned)


def test_the_backbone_given_stays_as_it_was(x):
    backbone = timm.create_model("vit_tiny_patch16_224", **TIMM_FAMILIES["vit_tiny_patch16_224"])
    before = copy.deepcopy(backbone.state_dict())
    EPTWrapper(backbone, 3)
    assert backbone.state_dict().keys() == before.keys()
    assert all(param.requires_grad for param in backbone.parameters())
    assert backbone(x).shape == (2, 1000)


def test_identity_init_starts_as_the_unchanged_backbone(x):
    for embed in ("concat", "scaled_concat", "add", "multiply"):
        net = EPTWrapper(timm_vit(), 3, prompt_init="identity", embed=embed).eval()
        with net.disabled():
            plain = net.features(x)
        assert_same(net.features(x), plain)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "eva02_tiny_patch14_224", "vit_little_patch16_reg4_gap_256"])
def test_folding(name):
    net = EPTWrapper(timm_vit(name), 3, prompt_length=7, prompt_init="kaiming").eval()
    x = images_for(net.vit)
    folded = net.fold()
    assert_same(folded(x), net(x), NETWORK)
    assert folded.count().delta == 2 * net.vit.num_tokens
    assert net.count().delta == 7 * 2 * net.vit.num_tokens, "the network itself must stay as it is"
    assert folded.fold().count() == folded.count()
    assert folded.fingerprint() == net.fingerprint()


def test_what_cannot_be_folded_says_so():
    with pytest.raises(ValueError, match="cannot be folded: its effect depends on the image"):
        EPTWrapper(timm_vit(), 3, embed="multiply").fold()
    with pytest.raises(ValueError, match="method linear has nothing to fold"):
        TunedViT(timm_vit(), 3, method="linear").fold()


def test_copies_are_independent(net, x):
    twin = copy.deepcopy(net)
    assert torch.equal(twin(x), net(x))
    with torch.no_grad():
        for tensor in twin.delta_tensors().values():
            tensor.add_(1)
    assert not torch.allclose(twin(x), net(x))
    with twin.disabled(), net.disabled():
        assert torch.equal(twin.features(x), net.features(x))


def test_state_dict_round_trip(net, x):
    other = EPTWrapper(timm_vit(), 3, prompt_length=7)
    other.load_state_dict(net.state_dict())
    assert torch.equal(other.eval()(x), net(x))


def test_metatensors_go_in_and_plain_tensors_come_out(net, x):
    out = net(MetaTensor(x))
    assert type(out) is torch.Tensor
    assert torch.equal(out, net(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(net, x, dtype):
    with torch.autocast("cpu", dtype):
        logits = net(x)
        logits.float().square().sum().backward()
    assert all(param.grad.dtype == torch.float32 for param in net.parameters() if param.requires_grad)
    assert (logits.float() - net(x)).abs().max() < 0.05


def test_double_precision(net, x):
    single = net(x)
    assert_same(net.double()(x.double()).float(), single, NETWORK)


def test_gradient_checkpointing_changes_nothing(net, x):
    net.train()
    plain = gradients(net, x)
    net.backbone.set_grad_checkpointing()
    for name, grad in gradients(net, x).items():
        assert_same(grad, plain[name], NETWORK)


def test_checkpointing_the_blocks_of_a_monai_vit():
    from torch.utils.checkpoint import checkpoint

    net = EPTWrapper(monai_vit(3), 3, prompt_length=7)
    x = images_for(net.vit)
    plain = gradients(net, x)
    for block in net.vit.blocks:
        forward = block.forward
        block.forward = lambda tokens, forward=forward: checkpoint(forward, tokens, use_reentrant=False)
    for name, grad in gradients(net, x).items():
        assert_same(grad, plain[name], NETWORK)


def test_compile_in_one_graph(net, x):
    torch._dynamo.reset()
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    assert_same(compiled(x), net(x), NETWORK)
    plain = gradients(net, x)
    net.zero_grad()
    compiled(x).square().sum().backward()
    for name, param in net.named_parameters():
        if param.requires_grad:
            assert_same(param.grad, plain[name], NETWORK)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("kind", ["timm", "monai"])
def test_trace_and_reload(kind, tmp_path):
    net = EPTWrapper(timm_vit() if kind == "timm" else monai_vit(3), 3, prompt_length=7).eval()
    x = images_for(net.vit)
    torch.jit.save(torch.jit.trace(net, x), tmp_path / "net.ts")
    x5 = torch.cat([x, x, x[:1]])
    assert_same(torch.jit.load(tmp_path / "net.ts")(x5), net(x5))


def test_export(net, x):
    program = torch.export.export(net, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    x5 = torch.cat([x, x, x[:1]])
    assert_same(program.module()(x5), net(x5))


@pytest.mark.parametrize("kind", ["timm", "monai"])
def test_onnx(kind, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the onnx extra")
    pytest.importorskip("onnxscript", reason="needs the onnx extra")
    net = EPTWrapper(timm_vit() if kind == "timm" else monai_vit(3), 3, prompt_length=7).eval().fold()
    x = images_for(net.vit)
    program = torch.onnx.export(net, (x,), dynamo=True, verbose=False, dynamic_shapes=({0: torch.export.Dim("batch")},))
    program.save(str(tmp_path / "net.onnx"))
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    x5 = torch.cat([x, x, x[:1]])
    (answer,) = session.run(None, {session.get_inputs()[0].name: x5.numpy()})
    torch.testing.assert_close(torch.from_numpy(answer), net(x5).detach(), rtol=1e-4, atol=1e-5)


def gradients_of_both(rank: int, meeting: str) -> None:
    """One of two processes, each with half of a batch: what both find together is what one finds alone."""
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    torch.manual_seed(0)
    net = EPTWrapper(timm_vit(), 3, prompt_length=7)
    x = images_for(net.vit, batch=4)
    net(x).square().mean().backward()
    expected = [param.grad.clone() for param in net.parameters() if param.requires_grad]
    net.zero_grad()
    ddp = DistributedDataParallel(net)
    ddp(x[2 * rank : 2 * rank + 2]).square().mean().backward()
    for param, grad in zip((p for p in net.parameters() if p.requires_grad), expected, strict=True):
        assert_same(param.grad, grad, NETWORK)
    dist.destroy_process_group()


def test_two_processes_train_as_one_with_twice_the_batch(tmp_path):
    with fresh_processes(2) as pool:
        both = [pool.submit(gradients_of_both, rank, str(tmp_path / "meeting")) for rank in (0, 1)]
        for one in as_completed(both):
            one.result()


@pytest.mark.parametrize("size", [(64, 64), (64, 32)])
def test_images_need_not_be_square(size):
    net = EPTWrapper(timm_vit(img_size=size), 3)
    assert net.vit.img_size == size
    assert net(images_for(net.vit)).shape == (2, 3)


def test_volumes_need_not_be_cubes():
    vit = monai_vit(3, img_size=(32, 16, 24))
    with pytest.raises(ValueError, match="24 patches of .* not a cube: pass img_size"):
        EPTWrapper(vit, 3)
    net = EPTWrapper(vit, 3, img_size=(32, 16, 24))
    assert net.vit.grid_size == (4, 2, 3)
    assert net(images_for(net.vit)).shape == (2, 3)


def test_perceptron_patch_embedding_of_monai():
    net = EPTWrapper(monai_vit(3, proj_type="perceptron", in_channels=2), 3)
    assert (net.vit.patch_size, net.vit.in_channels) == ((8, 8, 8), 2)
    assert net(images_for(net.vit)).shape == (2, 3)


def test_grey_images_take_the_average_of_the_colours():
    net = EPTWrapper("vit_tiny_patch16_224.augreg_in21k", 2, in_channels=1)
    assert net.vit.mean == (0.5,)
    assert EPTWrapper("deit_tiny_patch16_224", 2, in_channels=1).vit.mean == pytest.approx((0.449,), abs=1e-3)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"num_classes": 0}, ValueError, "num_classes must be a whole number of at least 1, got 0"),
        ({"num_classes": 2.0}, ValueError, "num_classes must be a whole number"),
        ({"dropout": 1.0}, ValueError, "dropout must be a number at least 0 and below 1, got 1.0"),
        ({"dropout": -0.1}, ValueError, "dropout must be"),
        ({"prompt_length": 0}, ValueError, "prompt_length must be a whole number of at least 1, got 0"),
        ({"prompt_length": 2.5}, ValueError, "prompt_length must be"),
        ({"prompt_layers": [2]}, ValueError, r"prompt_layers has 2, but the backbone's 2 layers are 0 to 1"),
        ({"prompt_layers": [-3]}, ValueError, "prompt_layers has -3"),
        ({"prompt_layers": [1, -1]}, ValueError, "prompt_layers names layer 1 twice"),
        ({"prompt_layers": []}, ValueError, "prompt_layers is empty"),
        ({"prompt_layers": "all"}, ValueError, "prompt_layers must be 'deep', 'shallow' or a list"),
        ({"prompt_layers": ["first"]}, ValueError, "prompt_layers must hold whole numbers, got 'first'"),
        ({"prompt_init": "ones"}, ValueError, "prompt_init 'ones' is not known"),
        ({"embed": "concatenate"}, ValueError, "embed 'concatenate' is not known: did you mean 'concat'"),
        ({"backbone": 3}, TypeError, "backbone must be a timm model name or a module, got 3"),
        ({"backbone": "vit_tini_patch16_224"}, ValueError, "is not a timm model: did you mean vit_tiny_patch16_224"),
        ({"pretrained": True}, ValueError, "pretrained goes with a backbone by name"),
        ({"in_channels": 4}, ValueError, "in_channels is 4 but the given backbone takes 3"),
        ({"img_size": 96}, ValueError, r"img_size is 96 but the given backbone was built for \(64, 64\)"),
        ({"class_names": ["a", "b"]}, ValueError, "class_names must be 3 different names"),
        ({"class_names": ["a", "b", "b"]}, ValueError, "class_names must be 3 different names"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_bad_arguments(settings, error, message):
    with pytest.raises(error, match=message) as caught:
        EPTWrapper(**{"backbone": timm_vit(), "num_classes": 3, **settings})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"img_size": 8},
            "img_size 8 is not a multiple of the patch size 16 of vit_tiny_patch16_224: 16 or 32 would do",
        ),
        ({"img_size": 230}, "224 or 240 would do"),
        ({"img_size": (224, 224, 224)}, "img_size must be one number or two for a 2-D backbone"),
        ({"in_channels": 0}, "in_channels must be a whole number of at least 1, got 0"),
    ],
)
def test_bad_sizes_of_a_backbone_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        EPTWrapper("vit_tiny_patch16_224", 3, **settings)


def test_settings_of_methods_are_checked():
    with pytest.raises(ValueError, match="method 'ept' has no setting 'prompt_lenght': did you mean 'prompt_length'"):
        TunedViT(timm_vit(), 3, method="ept", prompt_lenght=5)
    with pytest.raises(ValueError, match="method 'etp' is not registered: did you mean 'ept'"):
        TunedViT(timm_vit(), 3, method="etp")
    with pytest.raises(ValueError, match="settings prompt_length were given beside ept"):
        TunedViT(timm_vit(), 3, method=Ept(), prompt_length=3)
    with pytest.raises(TypeError, match="method must be a name, a Method, a mapping or a list"):
        TunedViT(timm_vit(), 3, method=3)


def test_wrapping_twice_is_refused():
    net = EPTWrapper(timm_vit(), 3)
    for adapted in (net, net.backbone):
        with pytest.raises(ValueError, match="backbone is adapted already"):
            EPTWrapper(adapted, 3)


def test_backbones_that_drop_patches_are_refused():
    with pytest.raises(ValueError, match="build it with patch_drop_rate=0"):
        EPTWrapper(timm_vit(patch_drop_rate=0.2), 3)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: x[:, :, :48], r"images have shape \(2, 3, 48, 64\), the network takes \(batch, 3, 64, 64\)"),
        (lambda x: x[:, :1], r"images have shape \(2, 1, 64, 64\)"),
        (lambda x: x[0], r"images have shape \(3, 64, 64\)"),
        (lambda x: (x * 255).to(torch.uint8), "images have dtype torch.uint8: scale and normalise"),
        (lambda x: x.clone().index_fill_(0, torch.tensor([1]), float("nan")), "images hold NaN or infinite values"),
        (lambda x: x.clone().index_fill_(2, torch.tensor([5]), float("inf")), "images hold NaN or infinite values"),
    ],
    ids=["size", "channels", "no batch", "integers", "nan", "inf"],
)
def test_bad_images(net, x, spoil, message):
    with pytest.raises(ValueError, match=message):
        net(spoil(x))


def test_a_monai_vit_keeps_its_head(x):
    vit = ViT(in_channels=1, img_size=32, patch_size=8, hidden_size=48, mlp_dim=96, num_layers=2, num_heads=3,
              classification=True)  # fmt: skip
    EPTWrapper(vit, 3)
    assert vit(torch.zeros(1, 1, 32, 32, 32))[0].shape == (1, 2)


@torch.no_grad()
def test_logits_are_divided_by_the_temperature(net):
    x = images_for(net.vit)
    plain = net(x)
    assert net.temperature == 1 and torch.equal(net.head(net.features(x)), plain)
    net.temperature = 2
    assert torch.equal(net(x), plain / 2)
    assert torch.equal(net.features(x), net.features(x)) and torch.equal(net.fold()(x).argmax(1), plain.argmax(1))
    assert net.fold().temperature == 2 and "temperature=2" in repr(net)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "2"])
def test_what_is_no_temperature_is_refused(net, value):
    with pytest.raises(ValueError, match="temperature must be a number above 0"):
        net.temperature = value


@torch.no_grad()
def test_saved_weights_and_traced_networks_keep_the_temperature(net):
    x = images_for(net.vit)
    old = copy.deepcopy(net.state_dict())
    net.temperature = 3.0
    logits = net(x)
    other = TunedViT(timm_vit(), 3, prompt_length=7).eval()
    other.load_state_dict(net.state_dict())
    assert other.temperature == 3 and torch.equal(other(x), logits)
    traced = torch.jit.trace(net, x)
    torch.testing.assert_close(traced(x), logits)
    # Weights from before there was a temperature load as ever.
    del old["_temperature"]
    other.load_state_dict(old)
    assert other.temperature == 1 and "temperature" not in repr(other)


def test_a_network_without_memory_can_be_shown():
    with torch.device("meta"):
        assert "temperature" not in repr(TunedViT(timm_vit(), 3))


@pytest.mark.parametrize("settings", [{"prompt_length": 7}, {"per": "head", "start": 1.0, "prompt_lr_scale": 5.0}])
def test_the_wrapper_takes_any_setting_of_ept(settings):
    net = EPTWrapper(timm_vit(), 3, dropout=0.1, **settings)
    assert net.methods == (Ept(**settings),)
    assert net.dropout == 0.1


def test_the_wrapper_knows_what_is_no_setting():
    with pytest.raises(ValueError, match="method 'ept' has no setting 'promt_length': did you mean 'prompt_length'"):
        EPTWrapper(timm_vit(), 3, promt_length=7)


def test_a_module_may_have_a_name(tmp_path):
    net = TunedViT(timm_vit(), 3, backbone_name="our hospital's")
    assert net.delta_metadata()["backbone"]["name"] == "our hospital's"
    net.save_delta(tmp_path / "delta")
    again = TunedViT.from_delta(tmp_path / "delta", backbone=timm_vit())
    assert again.delta_metadata() == net.delta_metadata()
    with pytest.raises(ValueError, match="backbone_name is 'other' but the backbone is 'test_vit': leave it out"):
        TunedViT("test_vit", 3, backbone_name="other")


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:You are using the legacy TorchScript")
@pytest.mark.parametrize("backbone", [timm_vit, lambda: monai_vit(2)], ids=["timm", "monai"])
@pytest.mark.parametrize("method", ["ept", "damp", {"name": "ept", "embed": "scaled_concat"}, ["vpt", "ept"]], ids=str)
def test_the_old_onnx_exporter_leaves_the_batch_open(method, backbone):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the onnx extra")
    net = TunedViT(backbone(), 3, method=method).eval()
    x = images_for(net.vit)
    file = io.BytesIO()
    torch.onnx.export(net, (x,), file, dynamo=False, input_names=["image"], dynamic_axes={"image": {0: "batch"}})
    x5 = torch.cat([x, x, x[:1]])
    (answer,) = onnxruntime.InferenceSession(file.getvalue()).run(None, {"image": x5.numpy()})
    torch.testing.assert_close(torch.from_numpy(answer), net(x5).detach(), rtol=1e-4, atol=1e-5)
