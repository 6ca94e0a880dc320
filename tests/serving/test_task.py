# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import dataclasses

import pytest
import torch

from monai_ept.serving.task import task_of
from tests.backbones import timm_vit
from tests.serving.tuned import ALONE, MIXING, tuned


def task(**settings):
    net = tuned(timm_vit(), **settings)
    return task_of("this", net, net.delta_metadata()), net


def test_a_prompt_is_one_number_for_each_token_of_a_layer():
    held, net = task(prompt_length=100)
    assert {layer: tuple(sink.shape) for layer, sink in held.sinks.items()} == {0: (1, 17), 1: (1, 17)}
    logits = net.vit.block(1).attn.prompt.logits.double()
    torch.testing.assert_close(held.sinks[1][0], logits.exp().sum(-1).log().float())
    assert held.mixes and not held.head_only and not held.low_rank


def test_an_update_is_two_matrices_for_each_projection():
    held, net = task(method={"name": "lora", "rank": 4, "alpha": 8, "targets": ["q", "v"]})
    places = {place: (tuple(update.down.shape), tuple(update.up.shape)) for place, update in held.low_rank.items()}
    shapes = ((48, 4), (4, 48))
    assert places == {(0, "q"): shapes, (0, "v"): shapes, (1, "q"): shapes, (1, "v"): shapes}
    qkv = net.vit.block(1).attn.qkv
    change = qkv.folded().weight - qkv.inner.weight  # what the fold adds to rows of q, k and v
    q, k, v = (held.low_rank.get((1, part)) for part in "qkv")
    torch.testing.assert_close((q.down @ q.up).T, change[:48])
    assert k is None and not change[48:96].any()
    torch.testing.assert_close((v.down @ v.up).T, change[96:])


@pytest.mark.parametrize("name", {**MIXING, **ALONE})
def test_which_tasks_mix_and_which_are_a_head_alone(name):
    held, net = task(**{**MIXING, **ALONE}[name])
    assert held.mixes is (name in MIXING)
    assert held.head_only is (name in ("linear", "linear-turned", "mlp"))
    assert held.network is (None if held.mixes else net)


def test_it_does_not_change():
    held, _ = task()
    with pytest.raises(dataclasses.FrozenInstanceError):
        held.temperature = 2.0
    for mapping in (held.sinks, held.low_rank, held.metadata):
        with pytest.raises(TypeError):
            mapping["new"] = 1
