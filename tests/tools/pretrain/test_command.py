# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from tools.pretrain import Recipe, run_pretraining
from tools.pretrain.pool import Pool, make_pool
from tools.pretrain.training import pretrain

SMALL = Recipe(
    pictures=580, steps=12, batch_size=16, embed_dim=32, depth=2, num_heads=2, img_size=32, whole=0.25, amp=False
)


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretraining") / "pool"
    told = list(make_pool(folder, SMALL.pictures, size=32, workers=2, chunk=60))
    assert told == [(what, done, 10) for what in ("drawn", "described") for done in range(1, 11)]
    return folder


def test_a_pool_holds_what_was_made(pool):
    read = Pool(pool, 580).read([0, 101, 579])
    assert read["image"].shape == (3, 32, 32, 3) and read["image"].dtype == torch.uint8
    from tools.pretrain import make_picture

    picture = make_picture(0, 101, 32)
    assert torch.equal(read["image"][1], torch.from_numpy(picture.image))
    assert torch.equal(read["choices"][1], torch.from_numpy(picture.choices))
    assert read["described"].isfinite().all()
    assert list(make_pool(pool, 580, size=32, chunk=60)) == []  # nothing is lacking
    with pytest.raises(ValueError, match="holds a pool of .* use another folder"):
        list(make_pool(pool, 580, size=48, chunk=60))
    with pytest.raises(FileNotFoundError, match="make the pool of 900 pictures first"):
        Pool(pool, 900)
    with pytest.raises(FileNotFoundError, match="is no pool of pictures"):
        Pool(pool.parent, 580)


def test_an_interrupted_training_ends_as_one_that_was_not(pool, tmp_path):
    pretrain(pool, SMALL, tmp_path / "whole", save_every=4)
    pretrain(pool, SMALL, tmp_path / "parts", save_every=4, stop_after=5)
    pretrain(pool, SMALL, tmp_path / "parts", save_every=4)
    whole, parts = (load_file(tmp_path / name / "step-00012.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], tensor) for name, tensor in parts.items())
    history = json.loads((tmp_path / "whole" / "history.json").read_text())
    assert [entry["step"] for entry in history] == [4, 8, 12]
    other = Recipe(**{**vars(SMALL), "lr": 1e-4})
    with pytest.raises(ValueError, match="belongs to a training with other settings"):
        pretrain(pool, other, tmp_path / "whole")


def test_it_learns(pool, tmp_path):
    recipe = Recipe(**{**vars(SMALL), "steps": 120, "drop": 0.25, "lr": 2e-3})
    pretrain(pool, recipe, tmp_path, save_every=60)
    first, last = json.loads((tmp_path / "history.json").read_text())
    assert last["described"] < first["described"] - 0.01 and last["choices"] < first["choices"] - 0.01


def test_killed_among_its_steps_and_run_again(pool, tmp_path):
    longer = Recipe(**{**vars(SMALL), "steps": 500})
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pool").symlink_to(pool)
    code = (
        "import sys; from tools.pretrain import Recipe, run_pretraining; from tests.tools.pretrain.test_command import "
        "SMALL; run_pretraining(sys.argv[1], Recipe(**{**vars(SMALL), 'steps': 500}), chunk=60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "killed")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    lines = iter(process.stderr.readline, "")
    assert any("step 200/500" in line for line in lines)
    process.send_signal(signal.SIGKILL)
    process.wait()
    said: list[str] = []
    killed = run_pretraining(tmp_path / "killed", longer, chunk=60, say=said.append)
    assert "step 200/500" not in "".join(said)  # it did go on
    assert killed.read_bytes() == run_pretraining(tmp_path / "whole", longer, chunk=60).read_bytes()


def test_the_weights_say_what_made_them(pool, tmp_path):
    (tmp_path / "pool").symlink_to(pool)
    lines: list[str] = []
    path = run_pretraining(tmp_path, SMALL, chunk=60, say=lines.append)
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["about"])
        assert file.get_tensor("cls_token").dtype == torch.float16
    assert about["recipe"]["embed_dim"] == 32 and about["license"] == "Apache-2.0"
    assert any("step 12/12" in line and "of the description" in line for line in lines)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pictures": 500}, "pictures is 500: 564 are needed"),
        ({"steps": 0}, "steps must be a whole number of at least 1"),
        ({"drop": 1.0}, "drop must be"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**settings)
