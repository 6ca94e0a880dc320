# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from tests.tools.pretrain.scenes import SMALL, SMALL_PAIRS
from tools.pretrain import PairsRecipe, Recipe, run_pretraining
from tools.pretrain.command import FIRST_FILE

PAIRS = PairsRecipe(**{**vars(SMALL_PAIRS), "img_size": SMALL.img_size})  # both parts see pictures of one size


@pytest.mark.slow  # test_training.py interrupts one in its own process
def test_killed_among_its_steps_and_run_again(pool, tmp_path):
    longer = Recipe(**{**vars(SMALL), "steps": 500})
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pool").symlink_to(pool)
    code = (
        "import sys; from tools.pretrain import Recipe, run_pretraining; from tests.tools.pretrain.scenes import "
        "SMALL; from tests.tools.pretrain.test_command import PAIRS; "
        "run_pretraining(sys.argv[1], Recipe(**{**vars(SMALL), 'steps': 500}), PAIRS, chunk=60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "killed")]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[3], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    lines = iter(process.stderr.readline, "")
    assert any("step 200/500" in line for line in lines)
    process.send_signal(signal.SIGKILL)
    process.wait()
    said: list[str] = []
    killed = run_pretraining(tmp_path / "killed", longer, PAIRS, chunk=60, say=said.append)
    assert "step 200/500" not in "".join(said)  # it did go on
    assert killed.read_bytes() == run_pretraining(tmp_path / "whole", longer, PAIRS, chunk=60).read_bytes()


@pytest.mark.slow  # its process takes half a minute to start
def test_the_weights_say_what_made_them(pool, tmp_path):
    (tmp_path / "pool").symlink_to(pool)
    lines: list[str] = []
    path = run_pretraining(tmp_path, SMALL, PAIRS, chunk=60, workers=1, say=lines.append)
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["about"])
        assert file.get_tensor("cls_token").dtype == torch.float16
    assert about["recipe"]["embed_dim"] == 32 and about["license"] == "Apache-2.0"
    assert about["pairs"]["things"] == PAIRS.things
    assert sum("step 12/12" in line and "validation described" in line for line in lines) == 2
    # Another's first part may be gone on from: the same bytes, and its pictures are not made.
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "pool").symlink_to(pool)
    again = run_pretraining(tmp_path / "second", SMALL, PAIRS, first=tmp_path / FIRST_FILE, chunk=60, workers=1)
    assert again.read_bytes() == path.read_bytes()


def test_weights_that_are_not_there_are_refused_before_anything_is_drawn(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        run_pretraining(tmp_path / "out", SMALL, SMALL_PAIRS, first=tmp_path / "mistyped.safetensors")
    assert not list(tmp_path.iterdir())
