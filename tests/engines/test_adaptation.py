# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from monai_ept import DeltaError, TunedViT, adapt
from monai_ept.data import few_shot_split
from monai_ept.delta import read_delta
from monai_ept.engines import Training, Unlabelled
from monai_ept.handlers.delta_checkpoint import CheckpointError
from monai_ept.runs.training_record import read_choice
from monai_ept.start import put_state, start_hash, state_of, write_start
from tests.backbones import monai_vit, timm_vit
from tests.engines.interrupted import at_step, run
from tests.engines.scenes import CLASSES, pictures, small_split
from tests.fresh_process import fresh_processes

QUICK = {"steps": 6, "batch_size": 8}


def plain_net(method, **settings):
    torch.manual_seed(7)
    return TunedViT(timm_vit(), 3, method=method, class_names=CLASSES, **settings)


def adapted(folder, net=None, data=None, **options):
    net = net or plain_net("ln")
    settings = {"settings": QUICK, "progress": False, **options}
    return net, adapt(net, data or pictures(), out_dir=folder, **settings)


def values(net):
    return {name: one.detach().clone() for name, one in net.delta_tensors().items()}


@pytest.mark.parametrize("method", ["ln", "lora", "ept", "full", ["ln", "bias"]], ids=str)
def test_what_a_method_trains_moves_and_the_head_does_not(tmp_path, method):
    net = plain_net(method)
    net.begin()
    before = values(net)
    _, result = adapted(tmp_path / "it", net)
    after = values(net)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all(name.startswith("backbone.") for name in moved)
    assert result.images == 24
    assert [row["epoch"] for row in result.history] == [1, 2]
    file = read_delta(result.path, head=False)
    assert file.tensors.keys() == {name for name in before if not name.startswith("head.")}
    assert all(torch.equal(after[name], tensor) for name, tensor in file.tensors.items())
    assert file.metadata["extra"]["identity"]["images"] == 24


class Sealed(dict):
    """A record that does not let its label be read."""

    def __getitem__(self, key):
        assert key != "label", "the label was read"
        return super().__getitem__(key)

    def get(self, key, default=None):
        assert key != "label", "the label was read"
        return super().get(key, default)

    def items(self):
        raise AssertionError("everything was read")

    values = items


def test_the_same_seed_gives_the_same_bytes_and_no_label_is_read(tmp_path):
    data = pictures()
    pool = [record for record in data.records if record["split"] == "train"]
    _, one = adapted(tmp_path / "one", data=data)
    _, two = adapted(tmp_path / "two", data=[Sealed(record) for record in pool], num_workers=1)
    _, other = adapted(tmp_path / "other", data=data, seed=1)
    assert one.path.read_bytes() == two.path.read_bytes() != other.path.read_bytes()


def killed_and_resumed(folder):
    """Of an adaptation that dies in its fourth step of six, and of one that does not."""
    torch.set_num_threads(1)
    pool = [record for record in pictures().records if record["split"] == "train"]

    def go(name, before=None, **options):
        adapted(folder / name, data=pool, handlers=before() if before else (), **options)

    ends = [
        run(lambda: go("whole")),
        run(lambda: go("killed", at_step(4))),
        run(lambda: go("killed", resume=True)),
    ]
    return [(end["status"], end["signal"]) for end in ends]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, which this system has not")
def test_killed_and_resumed_it_gives_the_same_bytes(tmp_path):
    with fresh_processes() as pool:
        ends = pool.submit(killed_and_resumed, tmp_path).result()
    assert ends == [(0, 0), (-9, 9), (0, 0)]
    whole, killed = ((tmp_path / name / "adapted.safetensors").read_bytes() for name in ("whole", "killed"))
    assert whole == killed


def test_it_goes_on_only_as_it_began(tmp_path):
    _, result = adapted(tmp_path / "it")
    written = result.path.stat().st_mtime_ns
    again, same = adapted(tmp_path / "it", resume=True)
    assert same.path.stat().st_mtime_ns == written  # nothing was done again
    assert again.start.about["hash"]
    with pytest.raises(FileExistsError, match="holds an adaptation already"):
        adapted(tmp_path / "it")
    result.path.unlink()
    with pytest.raises(CheckpointError, match="its lr is 0.001 and here it is 0.01"):
        adapted(tmp_path / "it", resume=True, settings={**QUICK, "lr": 0.01})
    adapted(tmp_path / "it", overwrite=True)


def test_what_it_refuses(tmp_path):
    data = pictures()
    for method in ("linear", "mlp", "damp"):
        with pytest.raises(ValueError, match=f"method {method} trains nothing but the head"):
            adapted(tmp_path / "it", plain_net(method))
    split = small_split(data)
    with pytest.raises(ValueError, match="of the 36 images to adapt to are test images"):
        adapted(tmp_path / "it", data=data.records, split=split)
    with pytest.raises(ValueError, match="an adaptation has no 'step': did you mean 'steps'"):
        adapted(tmp_path / "it", settings={"step": 3})
    net, _ = adapted(tmp_path / "it")
    with pytest.raises(ValueError, match="starts from an adaptation already"):
        Training(net, split, data=data, unlabelled=Unlabelled(data), folder=tmp_path / "fit")
    assert not (tmp_path / "fit").exists()


def test_a_delta_without_a_head_is_a_start_and_no_network(tmp_path):
    net, result = adapted(tmp_path / "it")
    for use in (net.load_delta, lambda path: TunedViT.from_delta(path, backbone=net.backbone)):
        with pytest.raises(DeltaError, match="has no head: it is what adapt has learnt, a start for a training"):
            use(result.path)
    net.save_delta(tmp_path / "trained.safetensors")
    with pytest.raises(DeltaError, match="has a head, so that it is a trained network and no start"):
        net.start_from(tmp_path / "trained.safetensors")
    with pytest.raises(DeltaError, match="is of method"):
        plain_net("lora").start_from(result.path)
    fresh = plain_net("ln")
    before = values(fresh)
    fresh.start_from(result.path)
    assert {name for name, one in values(fresh).items() if not torch.equal(one, before[name])} == set(
        read_delta(result.path, head=False).tensors
    )
    back = plain_net("ln")
    back.load_delta(tmp_path / "trained.safetensors")
    assert back.start.about == net.start.about  # where it comes from stays known


# ------------------------------------------------------------------------------------------------------- the guard


def scrambled(net, path):
    """An adaptation that does harm: the network as if its norms had been drawn at random."""
    before = state_of(net)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        for name, tensor in net.delta_tensors().items():
            if name.startswith("backbone."):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 20)
    write_start(net, path)
    put_state(net, before)
    return path


def solved(net, shots=2, **recipe):
    data = pictures()
    split = small_split(data, val="none") if shots == 2 else few_shot_split(data, 1, by="image")
    training = Training(net, split, {"name": "solve", "readout": 1, **recipe}, progress=False)
    training.train()
    return training.solution


def test_a_harmful_adaptation_is_not_used(tmp_path):
    plain = plain_net("ln")
    expected = solved(plain)
    assert expected.adapted is None
    net = plain_net("ln")
    net.start_from(scrambled(net, tmp_path / "bad.safetensors"))
    solution = solved(net)
    assert solution.adapted is False
    assert solution.other_likelihood < solution.likelihood == expected.likelihood
    assert solution.about_adapted.startswith("the adaptation is not used: mean log likelihood")
    assert all(torch.equal(one, values(net)[name]) for name, one in values(plain).items())
    assert net.start is net.solved is None
    assert not {"start", "keep_solved"} & net.delta_metadata().keys()


def test_one_that_does_no_harm_is_kept(tmp_path):
    net = plain_net("ln")
    write_start(net, tmp_path / "same.safetensors")  # no worse: the network itself
    net.start_from(tmp_path / "same.safetensors")
    solution = solved(net)
    assert solution.adapted is True
    assert solution.other_likelihood == solution.likelihood
    assert net.delta_metadata()["start"]["hash"] == net.start.about["hash"]
    # The head of the network without it is kept beside: here it is the same one.
    assert all(torch.equal(values(net)[f"solved.{key}"], values(net)[f"head.fc.{key}"]) for key in ("weight", "bias"))
    plain = plain_net("ln")
    assert torch.equal(solution.left_out, solved(plain).left_out)
    assert solved(net, keep_solved=False).adapted is True and net.solved is None


def test_an_adapted_network_and_the_one_without_answer_together(tmp_path):
    net, _ = adapted(tmp_path / "it")
    net.start_from(tmp_path / "it" / "adapted.safetensors", check=False)
    alone, plain = plain_net("ln"), plain_net("ln")
    alone.start_from(tmp_path / "it" / "adapted.safetensors", check=False)
    both = solved(net)
    one, other = solved(alone, keep_solved=False), solved(plain)
    images = torch.rand(4, 3, 64, 64)
    with torch.no_grad():
        answers = [each.eval()(images) for each in (net, alone, plain)]
    assert not torch.allclose(answers[1], answers[2])
    torch.testing.assert_close(answers[0], (answers[1] + answers[2]) / 2, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(both.left_out, (one.left_out + other.left_out) / 2)


def test_one_image_per_class_confirms_nothing_and_may_be_overruled(tmp_path):
    net = plain_net("ln")
    path = scrambled(net, tmp_path / "bad.safetensors")
    net.start_from(path)
    solution = solved(net, shots=1)
    assert (solution.adapted, solution.folds) == (False, 0)
    assert "one image per class leaves none to confirm it with" in solution.about_adapted
    forced = plain_net("ln")
    forced.start_from(path, check=False)
    assert solved(forced, shots=1).adapted is None
    assert all(torch.equal(one, values(forced)[name]) for name, one in read_delta(path, head=False).tensors.items())


# -------------------------------------------------------------------------------------------------- before a training


def test_a_training_adapts_first_and_says_what_it_chose(tmp_path, capsys):
    data = pictures()
    split = small_split(data, val="none")
    recipe = {"name": "solve", "readout": 1, "num_resamples": 0}
    net = plain_net("ln")
    unlabelled = Unlabelled(data, QUICK, split)
    result = Training(net, split, recipe, data=data, unlabelled=unlabelled, folder=tmp_path / "it").run()
    said = capsys.readouterr().err
    assert "adapting to 24 images without labels" in said
    assert "the adaptation is" in said
    choice = read_choice(result.folder)
    assert choice["because"] in said
    assert choice["adapted"] == ("start" in read_delta(result.delta_path).metadata)
    assert result.record["params"]["adapt.images"] == 24
    assert (tmp_path / "it" / "adapted" / "adapted.safetensors").is_file()
    # The same in two steps.
    apart, done = adapted(tmp_path / "apart", plain_net("ln"), data, split=split)
    assert done.path.read_bytes() == (tmp_path / "it" / "adapted" / "adapted.safetensors").read_bytes()
    second = Training(apart, split, recipe, data=data, progress=False)
    second.train()
    assert second.params["start"] == start_hash(done.path)
    assert all(torch.equal(one, values(net)[name]) for name, one in values(apart).items())


def test_a_recipe_without_a_solved_head_uses_it_as_it_is(tmp_path):
    net = plain_net("ln")
    path = scrambled(net, tmp_path / "bad.safetensors")
    net.start_from(path)
    training = Training(net, small_split(pictures()), {"name": "train", "epochs": 1, "lr": 1e-6}, progress=False)
    training.train()
    start = read_delta(path, head=False).tensors
    assert all(torch.allclose(values(net)[name], one, atol=1e-4) for name, one in start.items())
    assert net.delta_metadata()["start"]["hash"] == net.start.about["hash"]


def test_volumes_and_half_precision(tmp_path):
    rng = np.random.default_rng(0)
    records = [{"image": rng.random((1, 16, 16, 16), dtype=np.float32), "id": f"v{n}"} for n in range(4)]
    torch.manual_seed(0)
    net = TunedViT(monai_vit(spatial_dims=3, img_size=16, patch_size=8, in_channels=1), 2, method="ln")
    _, result = adapted(tmp_path / "it", net, records, settings={**QUICK, "amp": "bfloat16", "steps": 2})
    assert np.isfinite([row["loss"] for row in result.history]).all()
