# SPDX-License-Identifier: Apache-2.0

"""What is refused is in ``tests/bad_inputs/test_deltas.py``."""

from __future__ import annotations

import peft
import pytest

from monai_ept.methods.peft_limits import check_limits
from tests.backbones import timm_vit


@pytest.mark.parametrize(
    "config",
    [
        peft.LoraConfig(target_modules=["qkv"], r=8, lora_alpha=10**9),
        peft.LoraConfig(target_modules="all-linear"),
        peft.LoraConfig(target_modules=r"blocks\.(\d+)\.(attn\.(qkv|proj)|mlp\.fc\d+)"),
        peft.LoraConfig(
            target_modules=r"^(?!.*patch).*(qkv|proj)$", exclude_modules=r".*fc\d", rank_pattern={"qkv": 2}
        ),
        peft.VeraConfig(target_modules=["qkv"], r=64, projection_prng_key=2**40),
    ],
    ids=["names", "all-linear", "pattern", "patterns", "key"],
)
def test_what_people_write_is_let_through(config):
    check_limits(timm_vit(), config.to_dict())


def test_a_rank_is_measured_by_the_backbone():
    config = peft.LoraConfig(target_modules=["qkv"], r=192).to_dict()
    check_limits(timm_vit(num_classes=0), config)
    with pytest.raises(ValueError, match="PEFT .*LORA has r=193, and the backbone's widest layer has 192: choose less"):
        check_limits(timm_vit(num_classes=0), {**config, "r": 193})
