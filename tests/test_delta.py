# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from monai_ept import DeltaError, EPTWrapper, TunedViT
from monai_ept.delta import fingerprint, read_delta, store_prediction_sets, store_temperature, write_delta
from monai_ept.metrics.conformal import PredictionSets
from tests.backbones import images_for, monai_vit, timm_vit
from tests.fresh_process import fresh_processes


def small_net(seed: int = 0, **settings) -> TunedViT:
    torch.manual_seed(seed)
    settings = {"backbone": timm_vit(), "num_classes": 3, "prompt_length": 7, **settings}
    net = EPTWrapper(**settings).eval()
    torch.manual_seed(seed)
    with torch.no_grad():
        for tensor in net.delta_tensors().values():
            tensor.add_(torch.randn_like(tensor))
    return net


@pytest.fixture
def saved(tmp_path):
    net = small_net(class_names=["benign", "malignant", "unsure"])
    net.save_delta(tmp_path / "net.safetensors", epoch=20)
    return net, tmp_path / "net.safetensors"


def test_round_trip_is_bit_equal(saved):
    net, path = saved
    other = small_net(seed=1)
    other.load_delta(path)
    x = images_for(net.vit)
    assert torch.equal(other(x), net(x))
    assert other.class_names == ["benign", "malignant", "unsure"]


def test_it_holds_what_was_trained_and_says_what_it_is(saved):
    net, path = saved
    tensors, about = read_delta(path)
    assert set(tensors) == {
        "backbone.blocks.0.attn.prompt.logits",
        "backbone.blocks.1.attn.prompt.logits",
        "head.fc.weight",
        "head.fc.bias",
    }
    assert about["methods"][0]["name"] == "ept"
    assert about["methods"][0]["prompt_length"] == 7
    assert about["backbone"]["fingerprint"] == net.fingerprint()
    assert about["img_size"] == [64, 64]
    assert about["class_names"] == ["benign", "malignant", "unsure"]
    assert about["extra"] == {"epoch": 20}
    assert set(about["packages"]) == {"monai_ept", "monai", "timm", "torch"}


def test_any_safetensors_reader_can_open_it(saved):
    with safe_open(str(saved[1]), framework="numpy") as file:
        assert json.loads(file.metadata()["monai_ept.delta"])["num_classes"] == 3


def test_same_network_same_bytes(saved, tmp_path):
    net, path = saved
    net.save_delta(tmp_path / "again.safetensors", epoch=20)
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_sizes_at_the_papers_setting(tmp_path):
    net = EPTWrapper("vit_base_patch16_224", 7, prompt_length=100)
    net.save_delta(tmp_path / "deep.safetensors")
    assert (tmp_path / "deep.safetensors").stat().st_size < 1_000_000
    net.fold().save_delta(tmp_path / "folded.safetensors")
    assert (tmp_path / "folded.safetensors").stat().st_size < 40_000


def test_folded_networks_have_deltas_too(saved, tmp_path):
    net, _ = saved
    folded = net.fold()
    folded.save_delta(tmp_path / "folded.safetensors")
    back = TunedViT.from_delta(tmp_path / "folded.safetensors", backbone=timm_vit()).eval()
    x = images_for(net.vit)
    assert torch.equal(back(x), folded(x))


def test_from_delta_by_name_in_a_fresh_process(tmp_path):
    weights = tmp_path / "tiny.safetensors"
    torch.manual_seed(3)
    import timm

    save_file(timm.create_model("vit_tiny_patch16_224").state_dict(), weights)
    net = EPTWrapper("vit_tiny_patch16_224", 3, prompt_length=7, pretrained=weights, img_size=64, in_channels=1).eval()
    net.save_delta(tmp_path / "net.safetensors")
    x = images_for(net.vit)
    save_file({"x": x, "logits": net(x).detach()}, tmp_path / "answer.safetensors")
    with fresh_processes() as pool:
        assert pool.submit(answers_as_before, tmp_path).result()


def answers_as_before(folder: Path) -> bool:
    net = TunedViT.from_delta(folder / "net.safetensors", pretrained=folder / "tiny.safetensors").eval()
    known = load_file(folder / "answer.safetensors")
    return torch.equal(net(known["x"]), known["logits"])


def with_weights_of(other: torch.nn.Module, backbone: torch.nn.Module) -> torch.nn.Module:
    """A backbone for images of another size: the same weights, but for its position embeddings."""
    ours, theirs = backbone.state_dict(), other.state_dict()
    backbone.load_state_dict(
        {name: theirs[name] if theirs[name].shape == ours[name].shape else ours[name] for name in ours}
    )
    return backbone


@pytest.mark.parametrize("sizes", [(224, 384), (384, 224)])
def test_another_image_size(sizes, tmp_path):
    old, new = sizes
    backbone = timm_vit(img_size=old)
    net = small_net(backbone=backbone)
    net.save_delta(tmp_path / "net.safetensors")
    larger = with_weights_of(backbone, timm_vit(img_size=new))
    resized = TunedViT.from_delta(tmp_path / "net.safetensors", backbone=larger).eval()
    for before, after in zip(net.vit.blocks, resized.vit.blocks, strict=True):
        sink, resized_sink = before.attn.prompt.sink, after.attn.prompt.sink
        assert resized_sink.shape == (1 + (new // 16) ** 2,)
        torch.testing.assert_close(resized_sink[0], sink[0])
        assert abs(resized_sink[1:].mean() - sink[1:].mean()) < 0.05
    assert resized(images_for(resized.vit)).shape == (2, 3)


def test_prompts_per_head_fit_any_image_size(tmp_path):
    backbone = timm_vit(img_size=64)
    net = TunedViT(backbone, 3, prompt_length=7, per="head")
    net.save_delta(tmp_path / "net.safetensors")
    larger = with_weights_of(backbone, timm_vit(img_size=96))
    loaded = TunedViT.from_delta(tmp_path / "net.safetensors", backbone=larger)
    for before, after in zip(net.vit.blocks, loaded.vit.blocks, strict=True):
        assert torch.equal(after.attn.prompt.logits, before.attn.prompt.logits)


def test_another_volume_size(tmp_path):
    backbone = monai_vit(3)
    net = small_net(backbone=backbone)
    net.save_delta(tmp_path / "net.safetensors")
    larger = with_weights_of(backbone, monai_vit(3, img_size=(48, 32, 64)))
    larger = EPTWrapper(larger, 3, prompt_length=7, img_size=(48, 32, 64))
    larger.load_delta(tmp_path / "net.safetensors")
    for before, after in zip(net.vit.blocks, larger.vit.blocks, strict=True):
        assert after.attn.prompt.sink.shape == (1 + 6 * 4 * 8,)
        torch.testing.assert_close(after.attn.prompt.sink[0], before.attn.prompt.sink[0])


def refused(net, path, message, error=DeltaError):
    """Loading fails with one sentence, and the network is as before to the last bit."""
    before = {name: value.clone() for name, value in net.state_dict().items()}
    names = net.class_names
    with pytest.raises(error, match=message) as caught:
        net.load_delta(path)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net.class_names == names


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_classes": 4}, "is for 3 classes, this network has 4"),
        ({"class_names": ["a", "b", "c"]}, "is for classes benign, malignant, unsure, this network has a, b, c"),
        ({"prompt_length": 8}, "is of method .*'prompt_length': 7.*, this network has .*'prompt_length': 8"),
        ({"prompt_layers": "shallow"}, "is of method .*deep.*, this network has .*shallow"),
        (
            {"backbone": timm_vit("deit3_small_patch16_224")},
            "was trained on backbone .* with weights .*…, this network",
        ),
        ({"backbone": timm_vit(depth=3)}, "give it the same pretrained weights"),
    ],
)
def test_deltas_of_other_networks(saved, settings, message):
    refused(small_net(seed=1, **settings), saved[1], message)


def test_one_changed_weight_of_the_backbone_is_noticed(saved):
    net = small_net(seed=1)
    with torch.no_grad():
        net.backbone.norm.bias[0] += 1e-6
    refused(net, saved[1], "give it the same pretrained weights")


@pytest.mark.parametrize("keep", [0, 4, 100, 700, -1])
def test_truncated_files(saved, keep):
    path = saved[1]
    path.write_bytes(path.read_bytes()[:keep])
    refused(small_net(seed=1), path, "cannot be read .* cut short or no safetensors file")


def test_foreign_files(saved, tmp_path):
    net = small_net(seed=1)
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    refused(net, tmp_path / "other.safetensors", "is a safetensors file but not a delta")
    (tmp_path / "notes.txt").write_text("these are my notes, and they are long enough to look like a header")
    refused(net, tmp_path / "notes.txt", "cannot be read")
    refused(net, tmp_path / "nowhere.safetensors", "does not exist", FileNotFoundError)
    refused(net, tmp_path, "does not exist", FileNotFoundError)


def test_nothing_is_ever_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trapped"),)

    (tmp_path / "trap.safetensors").write_bytes(pickle.dumps(Trap()))
    torch.save(Trap(), tmp_path / "trap.pth")
    for name in ("trap.safetensors", "trap.pth"):
        refused(small_net(), tmp_path / name, "cannot be read")
        with pytest.raises(ValueError, match="cannot be read as weights"):
            TunedViT("vit_tiny_patch16_224", 3, pretrained=tmp_path / name)
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t, about: t["head.fc.bias"].fill_(float("nan")), "holds NaN or infinite values in 'head.fc.bias'"),
        (lambda t, about: t.pop("head.fc.bias"), "'head.fc.bias' is on one side only"),
        (lambda t, about: t.update({"head.extra": torch.zeros(1)}), "'head.extra' is on one side only"),
        (
            lambda t, about: t.update({"head.fc.bias": torch.zeros(4)}),
            r"has 'head.fc.bias' of shape \(4,\), this network",
        ),
        (lambda t, about: about.pop("methods"), "damaged metadata"),
        (lambda t, about: about.update(img_size="large"), "damaged metadata"),
        (lambda t, about: about.update(backbone=None), "damaged metadata"),
    ],
    ids=["nan", "missing", "more", "shape", "no method", "img_size", "backbone"],
)
def test_spoilt_contents(saved, spoil, message):
    path = saved[1]
    tensors, about = read_delta(path)
    spoil(tensors, about)
    write_delta(path, tensors, about)
    refused(small_net(seed=1), path, message)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"version": "one"}'])
def test_damaged_headers(text, tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "net.safetensors", metadata={"monai_ept.delta": text})
    refused(small_net(), tmp_path / "net.safetensors", "damaged metadata")


def test_a_format_of_the_future(saved):
    tensors, about = read_delta(saved[1])
    write_delta(saved[1], tensors, {**about, "version": 99})
    refused(small_net(), saved[1], "has format version 99, this release reads 1")


def test_a_backbone_given_as_a_module_must_be_given_again(saved):
    with pytest.raises(DeltaError, match=r"given as a module: pass backbone=…"):
        TunedViT.from_delta(saved[1])


def test_writing_needs_a_folder(saved, tmp_path):
    with pytest.raises(FileNotFoundError, match="folder .*nowhere does not exist, create it first"):
        saved[0].save_delta(tmp_path / "nowhere" / "net.safetensors")


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(saved, monkeypatch):
    net, path = saved
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        net.save_delta(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def write_for_ever(path: Path) -> None:
    torch.set_num_threads(1)  # the parent's threads do not exist after a fork
    tensors = {"a": torch.zeros(4_000_000)}
    backbone = {"name": "mine", "by_name": False, "fingerprint": "0"}
    about = {"methods": [], "backbone": backbone, "num_classes": 1, "in_channels": 1}
    about.update({"img_size": [32, 32], "patch_size": [16, 16]})
    while True:
        tensors["a"] = tensors["a"] + 1
        write_delta(path, tensors, {**about, "n": float(tensors["a"][0])})


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_a_writer_killed_at_any_moment_leaves_a_whole_file(tmp_path):
    path = tmp_path / "net.safetensors"
    for wait in (0.05, 0.11, 0.23, 0.31):
        writer = multiprocessing.get_context("fork").Process(target=write_for_ever, args=(path,))
        writer.start()
        while not path.exists() and writer.is_alive():
            time.sleep(0.01)
        time.sleep(wait)
        writer.kill()
        writer.join()
        tensors, about = read_delta(path)
        assert (tensors["a"] == about["n"]).all()


def test_fingerprints():
    one = {"a": torch.arange(3.0), "b": torch.ones(2, 2)}
    assert fingerprint(one) == fingerprint(dict(reversed(one.items())))
    assert fingerprint(one) == fingerprint({name: tensor.double() for name, tensor in one.items()})
    assert fingerprint(one) != fingerprint({"a": torch.arange(3.0), "c": torch.ones(2, 2)})
    assert fingerprint(one) != fingerprint({"a": torch.arange(3.0), "b": torch.ones(4)})
    assert len(fingerprint(one)) == 32


def test_every_method_sees_the_same_backbone():
    linear = TunedViT(timm_vit(), 3, method="linear")
    assert linear.fingerprint() == small_net().fingerprint()


@pytest.mark.skipif("MONAI_EPT_DATA" not in os.environ, reason="set MONAI_EPT_DATA to the folder of real weights")
def test_real_weights(tmp_path):
    weights = Path(os.environ["MONAI_EPT_DATA"]) / "weights/vit_tiny_patch16_224.augreg_in21k_ft_in1k.safetensors"
    net = EPTWrapper("vit_tiny_patch16_224", 7, pretrained=weights).eval()
    net.save_delta(tmp_path / "net.safetensors")
    larger = TunedViT.from_delta(tmp_path / "net.safetensors", pretrained=weights, img_size=384)
    assert larger.vit.num_tokens == 577
    assert larger.fingerprint() == net.fingerprint(), "position embeddings of another size are the same backbone"


@torch.no_grad()
def test_the_file_keeps_the_temperature(tmp_path):
    net = small_net()
    path, x = tmp_path / "delta.safetensors", images_for(net.vit)
    net.save_delta(path, note="first")
    before, plain = path.read_bytes(), net(x)
    assert "temperature" not in read_delta(path).metadata
    store_temperature(path, 1.75)
    assert read_delta(path).metadata["extra"] == {"note": "first"}
    other = TunedViT.from_delta(path, backbone=timm_vit()).eval()
    assert other.temperature == 1.75 and torch.equal(other(x), plain / 1.75)
    # What is saved again has it too, and a delta without one sets it back.
    other.save_delta(tmp_path / "again.safetensors", note="first")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    store_temperature(path, 1)
    assert path.read_bytes() == before
    other.load_delta(path)
    assert other.temperature == 1


def test_the_file_keeps_what_makes_prediction_sets(tmp_path):
    net = small_net()
    path, again = tmp_path / "delta.safetensors", tmp_path / "again.safetensors"
    net.save_delta(path)
    plain = path.read_bytes()
    for threshold in (0.75, (0.5,) * net.num_classes, None):
        sets = PredictionSets(0.9, threshold, groups=12, images=20, source="validation")
        store_prediction_sets(path, sets)
        other = TunedViT.from_delta(path, backbone=timm_vit())
        assert other.prediction_sets == sets
        other.save_delta(again)
        assert again.read_bytes() == path.read_bytes()
    # They are those of one temperature, and of one head.
    other.temperature = 2
    assert other.prediction_sets is None
    store_temperature(path, 2)
    assert "prediction_sets" not in read_delta(path).metadata
    store_temperature(path, 1)
    store_prediction_sets(path, sets)
    store_prediction_sets(path, None)
    assert path.read_bytes() == plain


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"threshold": 1.5}, "threshold must be a number at least 0 and at most 1"),
        ({"threshold": [0.5]}, "must have 3 thresholds"),
        ({"source": "test"}, "source 'test' is not known"),
        ({"groups": 0}, "groups must be a whole number of at least 1"),
        ({"more": 1}, "prediction_sets must have coverage, threshold"),
    ],
)
def test_bad_prediction_sets_in_a_file_are_an_error(tmp_path, change, says):
    net, path = small_net(), tmp_path / "delta.safetensors"
    net.prediction_sets = PredictionSets(0.9, 0.75, groups=12, images=20, source="validation")
    net.save_delta(path)
    delta = read_delta(path)
    about = {key: value for key, value in delta.metadata.items() if key != "version"}
    write_delta(path, delta.tensors, {**about, "prediction_sets": {**about["prediction_sets"], **change}})
    with pytest.raises(DeltaError, match=says):
        net.load_delta(path)


def test_a_bad_temperature_in_a_file_is_an_error(tmp_path):
    net = small_net()
    path = tmp_path / "delta.safetensors"
    with pytest.raises(ValueError, match="above 0"):
        net.save_delta(path)
        store_temperature(path, -1)
    delta = read_delta(path)
    about = {key: value for key, value in delta.metadata.items() if key != "version"}
    write_delta(path, delta.tensors, {**about, "temperature": 0})
    with pytest.raises(DeltaError, match="temperature must be a number above 0"):
        net.load_delta(path)
