# SPDX-License-Identifier: Apache-2.0

"""The measurements of a card, rehearsed without one: what has no card must not be found out on it."""

from __future__ import annotations

import sys

import pytest
import torch

from tools.measure import gpu_check


@pytest.mark.slow
def test_every_part_runs_without_a_card_and_without_mlflow(capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)  # importing it is an error now
    torch._dynamo.reset()
    status = gpu_check.main(["--rehearse", "--only", *gpu_check.PARTS])
    said, wrong = capfd.readouterr()
    assert status == 0, f"{said}\n{wrong}"
    assert [line.split(":")[0] for line in said.splitlines() if line.startswith("## ")] == [
        f"## {name}" for name in gpu_check.PARTS
    ]
    assert (
        "::test_fused_form_on_cuda" in said and "::test_launches_on_cuda" in said and "::test_mixed_precision" in said
    )
    for row in (
        "test_vit, 64 px, batch 2 ",
        "test_vit, 64 px, batch 3 ",
        "test_vit, 64 px, batch 2, compiled",
        "2 × 2 × 17",
    ):
        assert f"| timm's {row}" in said or f"| {row}" in said
    assert said.count("4 graphs for 4 networks and 2 sizes of a batch.") == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_without_a_card_it_says_so(capsys):
    assert gpu_check.main([]) == 2
    assert "needs a CUDA card and torch sees none here: --rehearse" in capsys.readouterr().out
