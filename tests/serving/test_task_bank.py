# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import random

import pytest
import timm
import torch

from monai_ept import DeltaError, TunedViT, list_methods
from monai_ept.networks.tuner import own_parameters
from monai_ept.serving import TaskBank
from tests.backbones import images_for, monai_vit, shaken, timm_vit
from tests.serving.tuned import ALONE, MIXING, assert_as_alone, at_the_first_block, bank_of, tuned


def without_fused_attention():
    vit = timm_vit()
    for block in vit.blocks:
        block.attn.fused_attn = False
    return vit


def monai_3d_fused():
    vit = monai_vit(3)
    for block in vit.blocks:
        block.attn.use_flash_attention = True
    return vit


BACKBONES = {
    "timm": timm_vit,
    "timm-not-fused": without_fused_attention,
    "no-prefix-token": lambda: timm_vit("vit_base_patch16_siglip_224"),
    "biases-apart": lambda: timm_vit("eva02_tiny_patch14_224"),
    "rotary-and-registers": lambda: timm_vit("vit_small_patch16_dinov3"),
    "monai-2d": monai_vit,
    "monai-3d-fused": monai_3d_fused,
}
KINDS = {**MIXING, **ALONE}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A bank of one backbone with all kinds of tasks, which no test changes."""
    return bank_of(timm_vit(), tmp_path_factory.mktemp("deltas"), KINDS)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_in_any_mix_and_order_each_image_is_answered_as_by_its_task_alone(backbone, tmp_path):
    bank, nets = bank_of(BACKBONES[backbone](), tmp_path, KINDS)
    names = [*KINDS, *MIXING]
    random.Random(0).shuffle(names)
    images = images_for(bank.vit, len(names))
    assert_as_alone(bank, nets, images, names)
    assert_as_alone(bank, nets, images.flip(0)[:5], names[:5])


def test_a_batch_of_one_of_none_and_a_name_for_all(small):
    bank, nets = small
    images = images_for(bank.vit, 2)
    for name in KINDS:
        assert_as_alone(bank, nets, images[:1], [name])
    assert torch.equal(torch.stack(bank(images, tasks="lora")), torch.stack(bank(images, tasks=["lora", "lora"])))
    assert bank(images[:0], tasks=[]) == bank(images[:0], tasks="vpt") == []


@pytest.mark.parametrize("method", [method for method in list_methods() if method != "peft"])
def test_every_method_there_is(method, tmp_path):
    settings = {"size": 3} if method == "vp" else {}
    bank, nets = bank_of(timm_vit(), tmp_path, {"this": {"method": {"name": method, **settings}}, "ept": {}})
    assert_as_alone(bank, nets, images_for(bank.vit, 4), ["this", "ept", "this", "ept"])


@pytest.mark.slow  # PEFT takes seconds to import
def test_lora_of_hugging_face(tmp_path):
    peft = pytest.importorskip("peft")
    kind = {"method": peft.LoraConfig(target_modules=["qkv"], r=2)}
    bank, nets = bank_of(timm_vit(), tmp_path, {"peft": kind, "ept": {}})
    assert bank.groups() == (("ept",), ("peft",))
    assert_as_alone(bank, nets, images_for(bank.vit, 2), ["peft", "ept"])


def test_a_folded_network(tmp_path):
    vit = timm_vit()
    net = tuned(vit)
    net.fold().save_delta(tmp_path / "folded.safetensors")
    bank = TaskBank(vit)
    bank.add("folded", tmp_path / "folded.safetensors")
    assert_as_alone(bank, {"folded": net}, images_for(bank.vit, 2), ["folded", "folded"])


def test_half_precision(small):
    bank, nets = small
    names = [name for name in KINDS if name != "full"]
    images = images_for(bank.vit, len(names))
    with torch.autocast("cpu", torch.bfloat16):
        answers = bank(images, tasks=names)
    for image, name, answer in zip(images, names, answers, strict=True):
        with torch.no_grad():
            exact = nets[name](image[None])[0]
        assert (answer - exact).abs().max() < 0.05 * exact.abs().max()


def test_one_pass_for_all_that_mix(tmp_path):
    vit, passes = timm_vit(), []
    mixing = {name: kind for name, kind in MIXING.items() if kind.get("views", "one") == "one"}
    one_view = {name: kind for name, kind in mixing.items() if "keep_solved" not in kind}
    with at_the_first_block(vit) as called:
        bank, _ = bank_of(vit, tmp_path, {**mixing, **ALONE, "turned": MIXING["both"]})
        images = images_for(bank.vit, len(one_view))
        called.append(lambda: passes.append(1))
        bank(images, tasks=[*one_view])
        assert len(passes) == 1
        assert bank.groups([*one_view]) == (tuple(one_view),)
        bank(images, tasks=["turned", *list(one_view)[1:]])
        assert len(passes) == 1 + 6, "six views of the first image, with which the others share one"
        bank(images[:3], tasks=["ept-kept", "lora", "ept-kept"])
        assert len(passes) == 1 + 6 + 2, "both images of the task that has kept its solved head share one more"


def test_which_tasks_share_a_pass(small):
    bank, _ = small
    assert bank.groups() == (tuple(MIXING), *((name,) for name in ALONE))
    assert bank.groups(["full", "lora", "full", "ept"]) == (("lora", "ept"), ("full",))
    assert bank.groups(["vpt"]) == (("vpt",),)
    assert bank.groups([]) == ()


def test_one_pass_serves_all_heads_of_the_same_images(tmp_path):
    vit, passes = timm_vit(), []
    kinds = {
        "solved": {"method": "linear", "readout": 2, "views": "turned"},
        "linear": {"method": "linear", "views": "upright"},
        "mlp": {"method": "mlp", "classes": 2},
    }
    with at_the_first_block(vit) as called:
        bank, nets = bank_of(vit, tmp_path, kinds)
        images = images_for(bank.vit, 3)
        called.append(lambda: passes.append(1))
        logits = bank.features_once(images, tasks=[*kinds])
        assert len(passes) == 6, "as many as there are views"
    assert list(logits) == [*kinds]
    for name, net in nets.items():
        with torch.no_grad():
            torch.testing.assert_close(logits[name], net(images), rtol=1e-5, atol=1e-5)


def test_what_changes_features_shares_them_with_no_other(small):
    bank, _ = small
    with pytest.raises(ValueError, match="task 'lora' is of method 'lora', which changes the features"):
        bank.features_once(images_for(bank.vit), tasks=["linear", "lora"])


def test_tasks_are_added_replaced_and_removed_by_name(tmp_path):
    vit = timm_vit()
    bank, nets = bank_of(vit, tmp_path, {"a": {}, "b": {"method": "lora"}})
    nets["c"] = tuned(vit, 7, method="damp")
    nets["c"].save_delta(tmp_path / "c.safetensors")
    with pytest.raises(ValueError, match="has a task 'a' already"):
        bank.add("a", tmp_path / "c.safetensors")
    assert bank.task("a").method == "ept"
    assert bank.add("a", tmp_path / "c.safetensors", replace=True) is bank.task("a")
    assert bank.tasks == ("a", "b")
    assert_as_alone(bank, {**nets, "a": nets["c"]}, images_for(bank.vit), ["b", "a"])
    bank.remove("b")
    assert bank.tasks == ("a",)
    for use in (bank.remove, bank.task, lambda name: bank.groups([name])):
        with pytest.raises(ValueError, match="the bank has no task 'b': there is 'a'"):
            use("b")


def test_what_a_task_says_of_itself(tmp_path):
    bank, nets = bank_of(timm_vit(), tmp_path, {"ept-last-layer": MIXING["ept-last-layer"], "both": MIXING["both"]})
    task = bank.task("ept-last-layer")
    assert (task.name, task.method, task.num_classes, task.class_names) == ("ept-last-layer", "ept", 2, ("no", "yes"))
    task = bank.task("both")
    assert (task.method, task.class_names, task.views, task.readout) == ("ept+lora", None, "turned", "pooled")
    assert task.temperature == pytest.approx(1.1)
    assert task.metadata["backbone"]["fingerprint"] == nets["both"].fingerprint() == bank.fingerprint


def test_images_that_the_backbone_does_not_take(small):
    bank, _ = small
    images = images_for(bank.vit)
    with pytest.raises(ValueError, match="2 images and 1 tasks"):
        bank(images, tasks=["ept"])
    with pytest.raises(ValueError, match="no task 'epd': did you mean 'ept'"):
        bank(images, tasks=["epd", "ept"])
    with pytest.raises(ValueError, match="images have shape"):
        bank(images[..., 1:], tasks="ept")
    with pytest.raises(ValueError, match="NaN"):
        bank(images * torch.nan, tasks="ept")


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-9])


def of_another_backbone(path):
    tuned(shaken(timm_vit())).save_delta(path)


def of_another_architecture(path):
    tuned(monai_vit(in_channels=3)).save_delta(path)


def of_another_image_size(path):
    net = tuned(timm_vit(img_size=96), method={"name": "vp", "on": "frame", "size": 40})
    net.save_delta(path)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (cut_short, "cannot be read"),
        (of_another_backbone, "give it the same pretrained weights"),
        (of_another_architecture, "give it the same pretrained weights"),
        (of_another_image_size, "cannot be built: size 40 is too wide"),
        (lambda path: path.unlink(), "does not exist"),
    ],
)
@pytest.mark.parametrize("replace", [False, True])
def test_what_is_damaged_or_foreign_is_refused_and_the_bank_stays_as_it_was(spoil, says, replace, small, tmp_path):
    bank, nets = small
    images, path = images_for(bank.vit, len(KINDS)), tmp_path / "ept.safetensors"
    nets["ept"].save_delta(path)
    before = bank(images, tasks=[*KINDS])
    spoil(path)
    with pytest.raises((DeltaError, FileNotFoundError), match=says):
        bank.add("ept" if replace else "new", path, replace=replace)
    assert bank.tasks == tuple(KINDS)
    assert all(torch.equal(now, then) for now, then in zip(bank(images, tasks=[*KINDS]), before, strict=True))


def test_deltas_of_another_image_size_are_resized(tmp_path):
    small, large = timm_vit(), timm_vit(img_size=96)
    weights = {name: value for name, value in small.state_dict().items() if name != "pos_embed"}
    large.load_state_dict(weights, strict=False)
    bank, nets = TaskBank(large), {}
    for name in ("ept", "lora", "vpt"):
        tuned(small, method=name).save_delta(tmp_path / f"{name}.safetensors")
        bank.add(name, tmp_path / f"{name}.safetensors")
        nets[name] = TunedViT.from_delta(tmp_path / f"{name}.safetensors", backbone=large).eval()
    assert_as_alone(bank, nets, images_for(bank.vit, 3), [*nets])


def test_a_backbone_by_name_and_volumes_that_are_no_cube(tmp_path):
    with pytest.raises(ValueError, match="device 'nowhere' is not known"):
        TaskBank("embedded", img_size=32, device="nowhere")
    bank = TaskBank("embedded", img_size=32, device="cpu")
    net = tuned("embedded", img_size=32, in_channels=3, pretrained=True)
    net.save_delta(tmp_path / "net.safetensors")
    bank.add("net", tmp_path / "net.safetensors")
    assert_as_alone(bank, {"net": net}, images_for(bank.vit), ["net", "net"])
    flat = monai_vit(3, img_size=(32, 32, 16))
    bank, nets = bank_of(flat, tmp_path, {"ept": {}, "ln": ALONE["ln"]}, img_size=(32, 32, 16))
    assert_as_alone(bank, nets, images_for(bank.vit), ["ept", "ln"])


def test_a_module_is_copied(tmp_path):
    vit = timm_vit()
    before = {name: value.clone() for name, value in vit.state_dict().items()}
    bank, nets = bank_of(vit, tmp_path, KINDS)
    assert vit.state_dict().keys() == before.keys()
    with torch.no_grad():
        for param in vit.parameters():
            param.zero_()
    assert_as_alone(bank, nets, images_for(bank.vit, len(KINDS)), [*KINDS])
    with pytest.raises(ValueError, match="pretrained goes with a backbone by name"):
        TaskBank(vit, pretrained="weights.safetensors")


def test_a_network_of_its_own_shares_all_that_its_method_leaves_frozen(small):
    bank, _ = small
    shared = {param.data_ptr() for param in bank.vit.module.parameters()}
    for name, own in (
        ("adapter", 0),
        ("vpt", 0),
        ("ln", 2 * (2 * 2 + 1)),
    ):  # two norms in each of two blocks, one after
        params = [param for _, param in own_parameters(bank.task(name).network.backbone)]
        assert sum(param.data_ptr() not in shared for param in params) == own, name


def test_an_attention_that_no_prompt_works_in(tmp_path):
    torch.manual_seed(0)
    vit = shaken(timm.create_model("beit_base_patch16_224", img_size=64, depth=2, embed_dim=48, num_heads=3)).eval()
    bank, nets = bank_of(vit, tmp_path, {"linear": {"method": "linear"}, "ln": {"method": "ln"}})
    assert_as_alone(bank, nets, images_for(bank.vit), ["linear", "ln"])
