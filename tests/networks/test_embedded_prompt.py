# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_ept.networks import EmbeddedPrompt, resize_tokens
from tests.rounding import assert_same


@pytest.mark.parametrize(
    ("init", "low", "high"), [("normal", -0.1, 0.1), ("uniform", -0.08, 0.08), ("zero", 0, 0), ("kaiming", -1, 1)]
)
def test_inits(init, low, high):
    torch.manual_seed(0)
    logits = EmbeddedPrompt(197, 100, init=init).logits
    assert logits.shape == (197, 100)
    assert low <= logits.min()
    assert logits.max() <= high
    if init == "normal":
        assert abs(logits.std().item() - 0.02) < 1e-3
    if init == "kaiming":
        assert abs(logits.std().item() - math.sqrt(2 / 100)) < 5e-3


@pytest.mark.parametrize("embed", ["concat", "scaled_concat", "add", "multiply"])
def test_identity_init_leaves_the_attention_as_it_was(embed):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 3, 17, 16)
    prompt = EmbeddedPrompt(17, 10, embed=embed, init="identity")
    plain = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    assert_same(prompt(q, k, v, 0.25), plain)


def test_start_sets_the_logsumexp_of_every_row():
    prompt = EmbeddedPrompt(17, 10, start=-2.5)
    torch.testing.assert_close(prompt.sink, torch.full((17,), -2.5))
    with pytest.raises(ValueError, match="start sets the logsumexp of concat prompts"):
        EmbeddedPrompt(17, 10, embed="add", start=1.0)


def test_zero_prompts_start_at_the_log_of_their_number():
    torch.testing.assert_close(EmbeddedPrompt(17, 100, init="zero").sink, torch.full((17,), math.log(100)))


def test_what_zero_prompts_keep_of_flat_attention():
    # shared by all who read the paper: with 197 tokens of equal scores, 0.995, 0.66 and 0.25 of the output remain
    q = k = torch.zeros(1, 1, 197, 8)
    v = torch.ones(1, 1, 197, 8)
    for length, kept in [(1, 0.995), (100, 0.663), (600, 0.247)]:
        out = EmbeddedPrompt(197, length, init="zero")(q, k, v, 1.0)
        torch.testing.assert_close(out, torch.full_like(out, kept), rtol=0, atol=1e-3)


def test_folding_keeps_the_output():
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 3, 17, 16)
    prompt = EmbeddedPrompt(17, 10, init="kaiming")
    folded = prompt.folded()
    assert folded.logits.shape == (17, 1)
    assert_same(folded(q, k, v, 0.25), prompt(q, k, v, 0.25))


def test_what_depends_on_the_image_cannot_be_folded():
    with pytest.raises(ValueError, match="'scaled_concat' cannot be folded: its effect depends on the image"):
        EmbeddedPrompt(17, 10, embed="scaled_concat").folded()


def test_half_precision_rows_are_summed_in_float32():
    prompt = EmbeddedPrompt(17, 100, init="zero").half()
    torch.testing.assert_close(prompt.sink, torch.full((17,), math.log(100)))


def test_another_number_of_tokens_is_refused():
    with pytest.raises(ValueError, match="made for 17 tokens and met 26: build the network with the img_size"):
        EmbeddedPrompt(17, 10)(*torch.zeros(3, 1, 1, 26, 8), 1.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prompt_length": 0}, "prompt_length must be a whole number of at least 1, got 0"),
        ({"embed": "cat"}, "embed 'cat' is not known: did you mean 'concat'"),
        ({"init": "ones"}, "init 'ones' is not known"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        EmbeddedPrompt(17, **settings)


@pytest.mark.parametrize(("old", "new"), [((14, 14), (24, 24)), ((24, 24), (14, 14)), ((4, 4, 4), (6, 6, 3))])
def test_concat_prompts_are_resized_through_their_logsumexp(old, new):
    torch.manual_seed(0)
    tokens = 2 + math.prod(old)
    logits = torch.randn(tokens, 10) + torch.linspace(-2, 2, tokens)[:, None]
    prompt = EmbeddedPrompt(2 + math.prod(new), 10)
    resized = prompt.resized("logits", logits, 2, old, new)
    assert resized.shape == (2 + math.prod(new), 10)
    torch.testing.assert_close(resized[:2], logits[:2])
    expected = resize_tokens(logits.logsumexp(-1, keepdim=True), 2, old, new)[:, 0]
    torch.testing.assert_close(resized.logsumexp(-1), expected)


def test_resizing_a_constant_gives_the_constant():
    logits = torch.full((1 + 14 * 14, 5), 0.3)
    torch.testing.assert_close(
        EmbeddedPrompt(1 + 24 * 24, 5).resized("logits", logits, 1, (14, 14), (24, 24)), torch.full((577, 5), 0.3)
    )


def test_resizing_follows_timms_position_embeddings():
    from timm.layers import resample_abs_pos_embed

    values = torch.randn(1 + 14 * 14, 8)
    theirs = resample_abs_pos_embed(values[None], new_size=[24, 24], num_prefix_tokens=1)[0]
    torch.testing.assert_close(resize_tokens(values, 1, (14, 14), (24, 24)), theirs)


def test_resizing_keeps_the_place_of_a_patch():
    # one loud patch in the corner stays in its corner
    grid = torch.zeros(4, 4)
    grid[0, 3] = 1
    resized = resize_tokens(grid.reshape(-1, 1), 0, (4, 4), (8, 8)).reshape(8, 8)
    assert resized.argmax().item() in (6, 7, 14, 15)
    volume = torch.zeros(4, 4, 4)
    volume[3, 0, 3] = 1
    resized = resize_tokens(volume.reshape(-1, 1), 0, (4, 4, 4), (8, 8, 8)).reshape(8, 8, 8)
    assert tuple(torch.unravel_index(resized.argmax(), (8, 8, 8))) >= (6, 0, 6)


@pytest.mark.parametrize("embed", ["add", "multiply"])
def test_square_prompts_are_resized_on_both_sides(embed):
    logits = torch.randn(1 + 16, 1 + 16)
    resized = EmbeddedPrompt(1 + 36, embed=embed).resized("logits", logits, 1, (4, 4), (6, 6))
    assert resized.shape == (37, 37)
    torch.testing.assert_close(resized[0, 0], logits[0, 0])


def test_logits_per_head_are_shared_by_all_tokens():
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 3, 17, 16)
    prompt = EmbeddedPrompt(17, 10, init="kaiming", num_heads=3)
    assert prompt.logits.shape == (3, 1, 10)
    apart = [EmbeddedPrompt(17, 10) for _ in range(3)]
    for head, one in enumerate(apart):
        one.logits.data = prompt.logits[head].detach().expand(17, 10).clone()
    expected = torch.cat([one(*(t[:, h : h + 1] for t in (q, k, v)), 0.25) for h, one in enumerate(apart)], dim=1)
    assert_same(prompt(q, k, v, 0.25), expected)
    folded = prompt.folded()
    assert folded.logits.shape == (3, 1, 1)
    assert_same(folded(q, k, v, 0.25), expected)
    prompt(q, k, v, 0.25).square().sum().backward()
    assert prompt.logits.grad.abs().min() > 0
    with pytest.raises(ValueError, match="'add' has a logit for each pair of tokens"):
        EmbeddedPrompt(17, 10, embed="add", num_heads=3)


def test_shapes_are_enough_to_build_one():
    with torch.device("meta"):
        prompt = EmbeddedPrompt(17, 10, start=0.0)
    assert prompt.logits.is_meta
    assert not prompt.as_drawn
