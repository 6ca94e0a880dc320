# SPDX-License-Identifier: Apache-2.0

"""What is refused is in ``tests/bad_inputs/test_settings.py``; here is what must not be."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from monai_ept import list_methods
from monai_ept.engines import Training
from monai_ept.engines.setting_checks import check_settings
from tests.bundles.cases import ROOT
from tests.engines.scenes import pictures, small_net, small_split


@pytest.mark.parametrize("method", [*list_methods(), ["ept", {"name": "lora", "rank": 2}]], ids=str)
def test_good_settings_pass(method):
    check_settings(
        data={"source": "folder", "dataset_dir": "images", "options": {"seed": 1}, "class_names": ["a", "b"]},
        network={"backbone": "vit_tiny_patch16_224", "pretrained": "true", "img_size": [32, 48], "method": method},
        recipe={"name": "paper", "epochs": 3, "lr": None, "amp": False},
        shots=1,
        seed=2**63 - 1,
        device="cpu",
        track={"experiment": None, "tags": {"a": 1}},
    )


@pytest.mark.parametrize("amp", ["auto", "off", "bfloat16"])
def test_a_cpu_computes_in_bfloat16_too(amp):
    check_settings(recipe={"amp": amp}, device="cpu")


def test_a_seed_may_be_a_number_of_numpys():
    check_settings(seed=np.int64(3))
    assert Training(small_net(), small_split(pictures()), seed=np.int64(3)).settings["seed"] == 3


def test_what_it_does_not_know_is_passed_over():
    check_settings(handlers=[], network={"anything": object()})


@pytest.mark.parametrize("file", ["train.yaml", "evaluate.yaml", "inference.yaml"])
def test_no_setting_of_a_bundle_is_left_out(file):
    """But for names of folders, which are tried where they are used."""
    text = Path(ROOT / "ept_volume" / "configs" / file).read_text()
    settings = list(yaml.safe_load(text))
    end = settings.index("data_settings" if file == "train.yaml" else "training")
    checked = block(text, "monai_ept.bundle.check_settings")
    checked += "".join(block(text, f"\n{group}:") for group in re.findall(r"@(\w+_settings)", checked))
    left_out = set(settings[settings.index("bundle_root") + 1 : end]) - set(re.findall(r"@(\w+)", checked))
    assert left_out <= {"run_dir", "runs", "output_dir", "export_dir", "dataset_dir", "run_name"}


def block(text, start):
    """The indented lines after the one that something stands in."""
    lines = text.partition(start)[2].splitlines()[1:]
    return "\n".join(itertools.takewhile(lambda line: line.startswith("  "), lines))
