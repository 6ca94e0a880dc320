# SPDX-License-Identifier: Apache-2.0
# Longer than our files are: a dozen configurations of PEFT go through the same questions.

from __future__ import annotations

import copy
import functools
import json
from pathlib import Path

import pytest
import torch
from monai.networks.blocks.selfattention import SABlock
from monai.networks.nets import ViT
from safetensors.torch import load_file, save_file
from timm import create_model
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch.nn.functional import cross_entropy

from monai_ept import DeltaError, TunedViT, list_methods
from monai_ept.delta import read_delta, write_delta
from monai_ept.methods import build_methods
from monai_ept.methods.hf_peft import Peft, PeftLayer
from monai_ept.methods.lora import Lora, LoraLinear
from tests.fresh_process import fresh_processes
from tests.rounding import assert_same

peft = pytest.importorskip("peft", reason="Hugging Face PEFT is an optional extra")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:peft.*")

CLASSES = 3
TIMM = {"img_size": 32, "patch_size": 8, "embed_dim": 64, "depth": 2, "num_heads": 2, "num_classes": 0}
MONAI = {
    "in_channels": 1,
    "img_size": [16, 16, 16],
    "patch_size": 8,
    "hidden_size": 64,
    "mlp_dim": 96,
    "num_layers": 2,
    "num_heads": 2,
    "classification": True,
}

# One configuration per tuner, given the two names that it targets. BOFT is not among them: it compiles a CUDA extension
# where it can.
TUNERS = {
    "lora": lambda a, b: peft.LoraConfig(target_modules=[a, b], r=4, lora_alpha=8, lora_dropout=0.1),
    "lora_bias": lambda a, b: peft.LoraConfig(target_modules=[a, b], r=2, bias="lora_only", use_rslora=True),
    "lora_all": lambda a, b: peft.LoraConfig(target_modules="all-linear", r=1),
    "lora_parameter": lambda a, b: peft.LoraConfig(target_modules=[], target_parameters=[f"{a}.weight"], r=2),
    "dora": lambda a, b: peft.LoraConfig(target_modules=[a, b], r=2, use_dora=True),
    "ia3": lambda a, b: peft.IA3Config(target_modules=[a, b], feedforward_modules=[b]),
    "loha": lambda a, b: peft.LoHaConfig(target_modules=[a, b], r=2),
    "lokr": lambda a, b: peft.LoKrConfig(target_modules=[a, b], r=2),
    "vera": lambda a, b: peft.VeraConfig(target_modules=[a, b], r=8),
    "vera_by_seed": lambda a, b: peft.VeraConfig(target_modules=[a, b], r=8, save_projection=False),
    "oft": lambda a, b: peft.OFTConfig(target_modules=[a, b], oft_block_size=8),
    "c3a": lambda a, b: peft.C3AConfig(target_modules=[a, b], block_size=32),
    "hra": lambda a, b: peft.HRAConfig(target_modules=[a, b], r=2),
    "fourierft": lambda a, b: peft.FourierFTConfig(target_modules=[a, b], n_frequency=50),
    "shira": lambda a, b: peft.ShiraConfig(target_modules=[a, b], r=2),
    "randlora": lambda a, b: peft.RandLoraConfig(target_modules=[a, b], r=8),
    "vblora": lambda a, b: peft.VBLoRAConfig(target_modules=[a, b], r=2, num_vectors=16, vector_length=32, topk=2),
    "norms": lambda a, b: peft.LNTuningConfig(target_modules=["norm1"]),
}
CASES = [
    *(("timm", name) for name in TUNERS),
    *(("monai", name) for name in ("lora", "dora", "vera", "oft")),
]
COMBINED = {
    "ept and lora": lambda: [
        {"name": "ept", "prompt_length": 3},
        peft.LoraConfig(target_modules=["qkv"], r=2),
    ],
    "lora everywhere and ept": lambda: [
        peft.LoraConfig(target_modules="all-linear", r=2),
        {"name": "ept", "prompt_length": 3},
    ],
    "lora and ia3": lambda: [
        peft.LoraConfig(target_modules=["qkv"], r=2),
        peft.IA3Config(target_modules=["fc2"], feedforward_modules=["fc2"]),
    ],
}


def backbone_of(kind: str):
    torch.manual_seed(0)
    return VisionTransformer(**TIMM).eval() if kind == "timm" else ViT(**MONAI).eval()


def config_of(kind: str, name: str):
    return TUNERS[name](*(("qkv", "fc2") if kind == "timm" else ("qkv", "linear2")))


def images_of(kind: str) -> torch.Tensor:
    shape = (2, 3, 32, 32) if kind == "timm" else (2, 1, 16, 16, 16)
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def plain_features(kind: str) -> torch.Tensor:
    backbone, images = backbone_of(kind), images_of(kind)
    if kind == "timm":
        return backbone.forward_head(backbone.forward_features(images), pre_logits=True)
    backbone.classification_head = torch.nn.Identity()
    return backbone(images)[0]


def train(net: TunedViT, images: torch.Tensor) -> TunedViT:
    # Two steps, since a product that starts at zero lets only one of its factors move in the first.
    optimizer = torch.optim.SGD(net.trainable_parameters(), lr=0.5)
    net.train()
    for _ in range(2):
        optimizer.zero_grad()
        cross_entropy(net(images), torch.arange(len(images))).backward()
        optimizer.step()
    return net.eval()


@functools.cache
def tuned(kind: str, name: str) -> tuple[TunedViT, TunedViT]:
    """A network as it starts, and a trained copy."""
    torch.manual_seed(2)
    method = COMBINED[name]() if name in COMBINED else config_of(kind, name)
    net = TunedViT(backbone_of(kind), CLASSES, method=method).eval()
    return net, train(copy.deepcopy(net), images_of(kind))


@torch.no_grad()
def logits(net: TunedViT, images: torch.Tensor) -> torch.Tensor:
    return net(images)


@pytest.mark.parametrize(("kind", "name"), [*CASES, *(("timm", name) for name in COMBINED)])
class TestEachTuner:
    def test_the_tuner_and_the_head_train_and_nothing_else(self, kind: str, name: str) -> None:
        start, net = tuned(kind, name)
        assert logits(net, images_of(kind)).shape == (2, CLASSES)
        before, after = dict(start.named_parameters()), dict(net.named_parameters())
        trained = {key for key, param in net.named_parameters() if param.requires_grad}
        assert {key for key in after if not torch.equal(before[key], after[key])} == trained
        buffers = dict(start.named_buffers())
        assert all(torch.equal(buffers[key], buffer) for key, buffer in net.named_buffers())
        kept = {f"backbone.{key}" for method in net.methods for key in method.kept(net.vit)}
        assert set(net.delta_tensors()) == trained | kept

    def test_disabled_is_the_backbone_itself(self, kind: str, name: str) -> None:
        start, net = tuned(kind, name)
        images, plain = images_of(kind), plain_features(kind)
        grads = {key: param.requires_grad for key, param in net.named_parameters()}
        with torch.no_grad():
            features = net.features(images)
            with net.disabled():
                assert torch.equal(net.features(images), plain)
            assert torch.equal(net.features(images), features)
        assert not torch.equal(features, plain)
        assert grads == {key: param.requires_grad for key, param in net.named_parameters()}
        assert net.fingerprint() == start.fingerprint()
        if name != "lora_bias":  # it trains biases of the backbone, which then are none of its frozen weights
            assert net.fingerprint() == TunedViT(backbone_of(kind), CLASSES, method="linear").fingerprint()

    def test_folds_into_plain_modules(self, kind: str, name: str) -> None:
        _, net = tuned(kind, name)
        before = logits(net, images_of(kind))
        folded = net.fold()
        assert not any(isinstance(module, PeftLayer) for module in folded.modules())
        assert not any("default" in key for key, _ in folded.named_parameters())
        torch.testing.assert_close(logits(folded, images_of(kind)), before, atol=1e-5, rtol=0)
        assert torch.equal(logits(net, images_of(kind)), before)
        with pytest.raises(ValueError, match="merged network has no delta"):
            folded.save_delta("never.safetensors")


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_counts_are_those_of_peft(kind: str, name: str) -> None:
    _, net = tuned(kind, name)
    theirs, _ = peft.get_peft_model(backbone_of(kind), config_of(kind, name)).get_nb_trainable_parameters()
    assert net.count().delta == theirs
    assert net.count().backbone == TunedViT(backbone_of(kind), CLASSES, method="linear").count().backbone


@pytest.mark.parametrize("name", TUNERS)
def test_settings_are_json_that_builds_the_same(name: str) -> None:
    config = config_of("timm", name)
    as_given = copy.deepcopy(config)
    (method,) = build_methods(config)
    spec = json.loads(json.dumps(method.settings()))
    assert spec["name"] == "peft" and spec["config"]["peft_type"] == config.peft_type.value
    assert "peft_version" not in spec["config"]
    assert build_methods(spec) == (method,) == build_methods("peft", config=spec["config"])
    assert build_methods({"name": "peft", "config": config.to_dict()}) == (method,)
    TunedViT(backbone_of("timm"), CLASSES, method=config)
    assert config == as_given, "building a network changed the user's configuration"


def test_the_order_of_target_modules_does_not_matter() -> None:
    one, other = (
        Peft(peft.LoraConfig(target_modules=names)) for names in (["qkv", "fc1", "fc2"], ["fc2", "qkv", "fc1"])
    )
    assert one == other and hash(one) == hash(other)


@pytest.mark.skipif(not hasattr(peft, "LilyConfig"), reason="this release of PEFT has no tuner without a merge")
def test_what_peft_cannot_merge_is_not_folded() -> None:
    net = TunedViT(backbone_of("timm"), CLASSES, method=peft.LilyConfig(target_modules=["qkv"], r=2))
    with pytest.raises(ValueError, match=r"PEFT cannot merge its layer peft\.tuners\.lily.*use the network as it is"):
        net.fold()


# Delta files


@pytest.mark.parametrize(("name", "count"), [("lora", 0), ("vera", 2), ("randlora", 2), ("fourierft", 4), ("shira", 4)])
def test_a_delta_keeps_what_was_drawn_at_random(tmp_path: Path, name: str, count: int) -> None:
    _, net = tuned("timm", name)
    assert len(net.methods[0].kept(net.vit)) == count
    path = tmp_path / "delta.safetensors"
    net.save_delta(path)
    other = TunedViT(backbone_of("timm"), CLASSES, method=config_of("timm", name)).eval()
    with torch.no_grad():
        for tensor in other.methods[0].kept(other.vit).values():
            tensor.copy_(tensor.flip(0))
    other.load_delta(path)
    assert torch.equal(logits(other, images_of("timm")), logits(net, images_of("timm")))


def test_a_delta_checks_what_is_drawn_again(tmp_path: Path) -> None:
    _, net = tuned("timm", "vera_by_seed")
    path = tmp_path / "delta.safetensors"
    net.save_delta(path)
    other = TunedViT(backbone_of("timm"), CLASSES, method=config_of("timm", "vera_by_seed"))
    shared = other.backbone.blocks[0].attn.qkv.layer.vera_A["default"]
    shared[0, 0] += 1
    with pytest.raises(DeltaError, match="other frozen random tensors"):
        other.load_delta(path)
    shared[0, 0] -= 1
    shared.copy_(net.backbone.blocks[0].attn.qkv.layer.vera_A["default"])
    other.load_delta(path)
    assert torch.equal(logits(other.eval(), images_of("timm")), logits(net, images_of("timm")))


def test_a_delta_of_an_older_peft_lacks_newer_settings(tmp_path: Path) -> None:
    _, net = tuned("timm", "dora")
    metadata = json.loads(json.dumps(net.delta_metadata()))
    del metadata["methods"][0]["config"]["use_rslora"]
    path = tmp_path / "delta.safetensors"
    write_delta(path, net.delta_tensors(), metadata)
    again = TunedViT.from_delta(path, backbone=backbone_of("timm")).eval()
    assert torch.equal(logits(again, images_of("timm")), logits(net, images_of("timm")))


def test_a_delta_of_other_settings_is_refused(tmp_path: Path) -> None:
    _, net = tuned("timm", "dora")
    path = tmp_path / "delta.safetensors"
    net.save_delta(path)
    other = TunedViT(backbone_of("timm"), CLASSES, method=peft.LoraConfig(target_modules=["qkv", "fc2"], r=2))
    with pytest.raises(DeltaError, match="is of method"):
        other.load_delta(path)


FRESH = """
import json, sys
from pathlib import Path
import monai_ept
light = "peft" not in sys.modules

class NoPeft:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "peft":
            raise ModuleNotFoundError("No module named 'peft'", name="peft")

import torch
from safetensors.torch import load_file, save_file
from monai.networks.nets import ViT
from timm.models.vision_transformer import VisionTransformer
from monai_ept import TunedViT

folder = Path(FOLDER)
torch.set_num_threads(THREADS)
about = json.loads((folder / "about.json").read_text())
tensors = load_file(folder / "given.safetensors")

def backbone(kind):
    net = VisionTransformer(**about["timm"]) if kind == "timm" else ViT(**about["monai"])
    net.load_state_dict({k.removeprefix(kind + "."): v for k, v in tensors.items() if k.startswith(kind + ".")})
    return net

def error(build):
    try:
        build()
    except Exception as error:
        return [type(error).__name__, str(error)]

sys.meta_path.insert(0, NoPeft())
mapping = {"name": "peft", "config": {"peft_type": "LORA", "target_modules": ["qkv"]}}
without = {
    "listed": monai_ept.list_methods(),
    "mapping": error(lambda: TunedViT(backbone("timm"), 3, method=mapping)),
    "name": error(lambda: TunedViT(backbone("timm"), 3, method="peft", config=mapping["config"])),
    "delta": error(lambda: TunedViT.from_delta(folder / "timm.lora.safetensors", backbone=backbone("timm"))),
    "ept": error(lambda: TunedViT(backbone("timm"), 3, method="ept")),
}
sys.meta_path.pop(0)

answers = {}
with torch.no_grad():
    for kind, name in about["deltas"]:
        net = TunedViT.from_delta(folder / f"{kind}.{name}.safetensors", backbone=backbone(kind)).eval()
        answers[f"{kind}.{name}"] = net(tensors["images_" + kind])
    net = TunedViT.from_delta(folder / "named.safetensors", pretrained=folder / "pretrained.safetensors").eval()
    answers["named"] = net(tensors["images_named"])
save_file(answers, folder / "answers.safetensors")
(folder / "said.json").write_text(json.dumps({"light": light, "without": without}))
"""
ROUND_TRIPS = [*CASES, *(("timm", name) for name in COMBINED)]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What a fresh process says: first without PEFT, then about every delta file."""
    folder = tmp_path_factory.mktemp("deltas")
    given = {"images_timm": images_of("timm"), "images_monai": images_of("monai")}
    for kind in ("timm", "monai"):
        given |= {f"{kind}.{key}": value.clone() for key, value in backbone_of(kind).state_dict().items()}
    expected = {}
    for kind, name in ROUND_TRIPS:
        _, net = tuned(kind, name)
        net.save_delta(folder / f"{kind}.{name}.safetensors")
        expected[f"{kind}.{name}"] = logits(net, images_of(kind))

    pretrained = create_model("vit_tiny_patch16_224", img_size=32, num_classes=0)
    save_file(pretrained.state_dict(), folder / "pretrained.safetensors")
    net = TunedViT(
        "vit_tiny_patch16_224",
        7,
        method=peft.LoraConfig(target_modules=["qkv"], r=8, init_lora_weights=False),
        img_size=32,
        pretrained=folder / "pretrained.safetensors",
    ).eval()
    assert net.count().delta == 12 * 8 * (192 + 3 * 192)
    net.save_delta(folder / "named.safetensors")
    given["images_named"] = images_of("timm")
    expected["named"] = logits(net, images_of("timm"))

    save_file(given, folder / "given.safetensors")
    about = {"timm": TIMM, "monai": MONAI, "deltas": ROUND_TRIPS}
    (folder / "about.json").write_text(json.dumps(about))
    with fresh_processes() as pool:
        pool.submit(exec, FRESH, {"FOLDER": str(folder), "THREADS": torch.get_num_threads()}).result()
    said = json.loads((folder / "said.json").read_text())
    return {**said, "expected": expected, "answers": load_file(folder / "answers.safetensors")}


@pytest.mark.parametrize("name", [*(f"{kind}.{name}" for kind, name in ROUND_TRIPS), "named"])
def test_a_fresh_process_answers_the_same_from_the_delta(fresh: dict, name: str) -> None:
    assert torch.equal(fresh["answers"][name], fresh["expected"][name])


def test_importing_monai_ept_does_not_import_peft(fresh: dict) -> None:
    assert fresh["light"]


@pytest.mark.parametrize("asked", ["mapping", "name", "delta"])
def test_without_peft_the_error_says_how_to_install_it(fresh: dict, asked: str) -> None:
    kind, text = fresh["without"][asked]
    assert kind == "ImportError"
    assert 'pip install "monai_ept[peft]"' in text and "\n" not in text


def test_without_peft_everything_else_works(fresh: dict) -> None:
    assert fresh["without"]["ept"] is None
    assert fresh["without"]["listed"] == list_methods()


# Beside our own LoRA


def separate_monai_vit() -> ViT:
    """A MONAI ViT with q, k and v in modules of their own, which both methods then wrap whole."""
    torch.manual_seed(0)
    net = ViT(**MONAI).eval()
    for block in net.blocks:
        block.attn = SABlock(64, 2, use_combined_linear=False).eval()
    return net


@pytest.mark.parametrize(
    ("backbone", "kind", "ours", "theirs"),
    [
        (separate_monai_vit, "monai", ("q", "v"), ["to_q", "to_v"]),
        (functools.partial(backbone_of, "timm"), "timm", ("proj",), ["attn.proj"]),
    ],
    ids=["q and v", "proj"],
)
def test_our_lora_and_that_of_peft_agree_after_a_step(backbone, kind: str, ours: tuple, theirs: list) -> None:
    rank, alpha, images = 4, 12.0, images_of(kind)
    one = TunedViT(backbone(), CLASSES, method=Lora(rank=rank, alpha=alpha, targets=ours))
    config = peft.LoraConfig(target_modules=theirs, r=rank, lora_alpha=alpha, init_lora_weights=False)
    two = TunedViT(backbone(), CLASSES, method=config)
    two.head.load_state_dict(one.head.state_dict())
    layers = {name: layer.layer for name, layer in two.backbone.named_modules() if isinstance(layer, PeftLayer)}
    pairs = []
    for name, layer in one.backbone.named_modules():
        if isinstance(layer, LoraLinear):
            (up,) = layer.up.values()
            pairs += [(layer.down, layers[name].lora_A["default"].weight)]
            pairs += [(up, layers[name].lora_B["default"].weight)]
    assert len(pairs) == 2 * len(layers) == 2 * MONAI["num_layers"] * len(theirs)
    with torch.no_grad():
        for mine, other in pairs:
            mine.copy_(other)
    assert one.count() == two.count()

    starts = logits(one, images), logits(two, images)
    assert_same(*starts)
    before = [mine.detach().clone() for mine, _ in pairs]
    for net in (one, two):
        optimizer = torch.optim.SGD(net.trainable_parameters(), lr=0.1)
        cross_entropy(net(images), torch.arange(len(images))).backward()
        optimizer.step()
    for start, (mine, other) in zip(before, pairs, strict=True):
        assert not torch.equal(start, mine)
        assert_same(mine, other)
    ends = logits(one, images), logits(two, images)
    assert_same(*ends)
    assert (ends[0] - starts[0]).abs().max() > 1e-3


# Among other methods


@pytest.mark.parametrize("other", list_methods())
@pytest.mark.parametrize("first", [True, False], ids=["peft first", "peft last"])
def test_peft_goes_with_every_other_method(other: str, first: bool) -> None:
    config = peft.LoraConfig(target_modules=["qkv", "proj", "fc1"], r=2)
    pair = [config, other] if first else [other, config]
    torch.manual_seed(2)
    net = TunedViT(backbone_of("timm"), CLASSES, method=pair)
    counts = [TunedViT(backbone_of("timm"), CLASSES, method=one).count().delta for one in pair]
    assert net.count().delta == sum(counts)
    before = {key: param.detach().clone() for key, param in net.named_parameters()}
    train(net, images_of("timm"))
    moved = {key for key, param in net.named_parameters() if not torch.equal(before[key], param)}
    assert moved and moved <= {key for key, param in net.named_parameters() if param.requires_grad}
    assert any(".layer.lora_B" in key for key in moved)
    with torch.no_grad(), net.disabled():
        assert torch.equal(net.features(images_of("timm")), plain_features("timm"))


def test_peft_sees_the_backbone_alone() -> None:
    """Names and patterns mean the same with other methods around; what those bring along is left to them."""
    both = TunedViT(backbone_of("timm"), CLASSES, method=["ept", peft.LoraConfig(target_modules="all-linear", r=2)])
    alone = TunedViT(backbone_of("timm"), CLASSES, method=peft.LoraConfig(target_modules="all-linear", r=2))
    ept = TunedViT(backbone_of("timm"), CLASSES, method="ept")
    assert both.count().delta == alone.count().delta + ept.count().delta
    pattern = peft.LoraConfig(target_modules=r"blocks\.1\.attn\.(qkv|proj)", r=2)
    both = TunedViT(backbone_of("timm"), CLASSES, method=["ept", pattern])
    assert both.count().delta == ept.count().delta + 2 * (64 + 192) + 2 * (64 + 64)


def test_two_configurations_on_one_module_are_refused() -> None:
    twice = [peft.LoraConfig(target_modules=["qkv"]), peft.OFTConfig(target_modules=["qkv"])]
    with pytest.raises(ValueError, match="two PEFT configurations target the same module 'qkv'"):
        TunedViT(backbone_of("timm"), CLASSES, method=twice)


def test_attention_that_reads_its_weight_is_opened_first() -> None:
    """EVA's attention, with biases apart, never calls its fused projection."""
    torch.manual_seed(0)
    settings = {**TIMM, "qkv_fused": True}
    backbone = Eva(**settings).eval()
    images = images_of("timm")
    net = TunedViT(backbone, CLASSES, method=peft.LoraConfig(target_modules=["qkv"], init_lora_weights=False)).eval()
    with torch.no_grad():
        plain = backbone.forward_head(backbone.forward_features(images), pre_logits=True)
        assert (net.features(images) - plain).abs().max() > 0.01
        with net.disabled():
            assert torch.equal(net.features(images), plain)
    torch.testing.assert_close(logits(net.fold(), images), logits(net, images), atol=1e-5, rtol=0)


def test_autocast() -> None:
    _, net = tuned("timm", "lora")
    with torch.autocast("cpu", torch.bfloat16):
        low = logits(net, images_of("timm"))
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), logits(net, images_of("timm")), atol=0.1, rtol=0.1)
    assert all(tensor.dtype == torch.float32 for tensor in net.delta_tensors().values())


# Errors


def refused(config, error: type[Exception] = ValueError) -> str:
    with pytest.raises(error) as caught:
        TunedViT(backbone_of("timm"), CLASSES, method=config)
    text = str(caught.value)
    assert "\n" not in text and text.endswith((".", "?")), text
    return text


@pytest.mark.parametrize("targets", [["to_q"], r"blocks\.7\..*", None], ids=["names", "pattern", "none"])
def test_no_target_is_an_error_with_the_candidates(targets) -> None:
    text = refused(peft.LoraConfig(target_modules=targets))
    assert "'qkv'" in text and "'fc1'" in text and "'norm1'" in text
    assert "blocks" not in text or targets == r"blocks\.7\..*"


def test_layers_are_named_by_a_pattern() -> None:
    # PEFT looks for layer numbers below two more names, and a ViT's blocks have none above them.
    text = refused(peft.LoraConfig(target_modules=["qkv"], layers_to_transform=[1]))
    assert "in layers_to_transform=[1]" in text and r"target_modules=r'blocks\.(0|1)\.attn\.qkv'" in text
    config = peft.LoraConfig(target_modules=r"blocks\.(0|1)\.attn\.qkv", r=2)
    assert TunedViT(backbone_of("timm"), CLASSES, method=config).count().delta == 2 * 2 * (64 + 192)


@pytest.mark.parametrize(
    "config",
    [
        lambda: peft.PromptTuningConfig(num_virtual_tokens=4),
        lambda: peft.PrefixTuningConfig(num_virtual_tokens=4),
        lambda: peft.PromptEncoderConfig(num_virtual_tokens=4),
        lambda: peft.AdaptionPromptConfig(adapter_len=4, adapter_layers=2),
    ],
)
def test_prompts_of_language_models_are_refused(config) -> None:
    assert "use method 'vpt'" in refused(config())


@pytest.mark.parametrize(
    "config",
    [
        lambda: peft.AdaLoraConfig(target_modules=["qkv"], total_step=10),
        lambda: peft.PolyConfig(target_modules=["qkv"]),
        lambda: peft.XLoraConfig(hidden_size=64, adapters={"a": "b"}),
    ],
)
def test_tuners_that_need_their_own_model_are_refused(config) -> None:
    assert "of its own" in refused(config())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"modules_to_save": ["head"]}, "leave modules_to_save out"),
        ({"task_type": "SEQ_CLS"}, "task_type='SEQ_CLS'"),
        ({"inference_mode": True}, "leave inference_mode out"),
        ({"trainable_token_indices": [1]}, "embeds no vocabulary"),
        ({"init_lora_weights": "pissa"}, "rewrites the backbone's own 'blocks.0.attn.qkv.weight'"),
        ({"init_lora_weights": "olora"}, "rewrites the backbone's own"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict, said: str) -> None:
    assert said in refused(peft.LoraConfig(target_modules=["qkv"], **settings))


def test_a_task_type_that_changes_nothing_is_taken() -> None:
    config = peft.LoraConfig(target_modules=["qkv"], task_type="FEATURE_EXTRACTION")
    assert TunedViT(backbone_of("timm"), CLASSES, method=config).methods[0].config["task_type"] == "FEATURE_EXTRACTION"


def test_modules_that_peft_cannot_wrap_are_an_error() -> None:
    assert "cannot adapt a VisionTransformer" in refused(peft.VeraConfig(target_modules=["patch_embed.proj"]))
    assert "cannot adapt a VisionTransformer" in refused(peft.C3AConfig(target_modules=["qkv"], block_size=7))


def test_mappings_that_are_no_configuration_are_errors() -> None:
    assert "did you mean 'LORA'" in refused({"name": "peft", "config": {"peft_type": "LORAX"}})
    wrong = {"name": "peft", "config": {"peft_type": "LORA", "target_modules": ["qkv"], "rank": 4}}
    assert "rank" in refused(wrong)
    assert "has no setting 'r'" in refused({"name": "peft", "r": 4})
    assert "takes a PEFT configuration" in refused("peft", TypeError)
    with pytest.raises(ValueError, match="settings r were given beside LoraConfig"):
        TunedViT(backbone_of("timm"), CLASSES, method=peft.LoraConfig(target_modules=["qkv"]), r=4)


def test_settings_that_json_cannot_say_are_refused() -> None:
    config = peft.LoraConfig(target_modules=["qkv"], lora_alpha=float("nan"))
    assert "JSON cannot say" in refused(config)


def test_the_name_is_known_but_not_listed() -> None:
    assert "peft" not in list_methods()
    (method,) = build_methods({"name": "peft", "config": {"peft_type": "LORA", "target_modules": ["qkv"]}})
    assert isinstance(method, Peft) and method.config["r"] == 8


def test_the_delta_says_which_method_it_is_of(tmp_path: Path) -> None:
    _, net = tuned("timm", "ept and lora")
    net.save_delta(tmp_path / "delta.safetensors")
    metadata = read_delta(tmp_path / "delta.safetensors").metadata
    assert metadata["packages"]["peft"] == peft.__version__
    ept, lora = metadata["methods"]
    assert ept["name"] == "ept" and lora["name"] == "peft" and lora["config"]["target_modules"] == ["qkv"]
