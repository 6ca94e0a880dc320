# SPDX-License-Identifier: Apache-2.0

"""Lemma 1 and Proposition 1 of the paper, as far as they hold, on random data.

The paper reads prompts as a calibration of features: what they damp lies closer together. Both statements are tested
as properties here, with the conditions that they need, and so is what fails without them.

**Lemma 1 (scaling shrinks classes).** Let features x of N images in K classes have the within-class covariance
Σ_W = 1/N Σ_k Σ_i (x_ki − x̄_k)(x_ki − x̄_k)ᵀ, and let every column j (a token's feature, say) be multiplied by a factor
g_j in (0, 1] that is the same for all images of a class. Then trace Σ_W does not grow; it is at most max g² and at
least min g² times what it was; and it is strictly less if a factor below one meets a column that varies within a class.
(Each column adds g_j² times its own within-class variance.)

The condition matters: factors that differ between images of a class, as g = sigmoid(lse − c) does through lse, can
make the trace grow. And what a common factor does to trace Σ_W it does to the spread between classes too, so that
trace Σ_W / trace Σ_T stays as it is: the trace alone says nothing about how well classes can be told apart.

**Proposition 1 (prompts damp the larger column more), n = 2 tokens, d_p = 1 prompt.** Let A be the 2 × 2 attention
matrix, rows summing to one, with columns of different norm. If its rows differ, there is a prompt (one number for
each token) after which the column of the larger norm has lost the larger share of its norm. If both rows are equal,
every prompt shrinks both columns by the same share.

Proof, which the test follows: a prompt scales row i by a factor g_i, any number in (0, 1). A column (x_1, x_2) keeps
w g_1² + (1 − w) g_2² of its squared norm, with w = x_1² / (x_1² + x_2²). With A = [[a, 1 − a], [b, 1 − b]], w is larger
for the first column if a > b, smaller if a < b, equal if a = b. So damp the row that weighs more in the larger column.
"""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from monai_ept.analysis import class_distances
from monai_ept.networks.attention import attention_kept, attention_weights


def data(seed: int, images: int, width: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Features whose columns and classes differ in size, and a class for each image."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, images - classes)])
    centres = rng.normal(size=(classes, width)) * rng.exponential(2, size=width)
    return centres[labels] + rng.normal(size=(images, width)) * rng.exponential(1, size=width), labels


sizes = st.tuples(st.integers(0, 2**32 - 1), st.integers(6, 40), st.integers(1, 12), st.integers(1, 5))


@given(sizes, st.lists(st.floats(1e-3, 1), min_size=12, max_size=12))
@settings(max_examples=150, deadline=None)
def test_lemma_1_common_factors_do_not_widen_classes(size, factors):
    features, labels = data(*size)
    g = np.asarray(factors[: features.shape[1]])
    before = class_distances(features, labels, size[3])
    after = class_distances(features * g, labels, size[3])
    close = 1 + 1e-9
    assert after.within <= before.within * close
    assert before.within * g.min() ** 2 / close <= after.within <= before.within * g.max() ** 2 * close
    varying = [features[labels == k].std(axis=0) for k in range(size[3])]
    share = sum((labels == k).mean() * varying[k] ** 2 for k in range(size[3]))
    np.testing.assert_allclose(before.within - after.within, ((1 - g**2) * share).sum(), rtol=1e-6, atol=1e-9)
    if g.max() < 0.99:
        assert after.within < before.within  # data are continuous: every column varies within a class


@given(sizes, st.data())
@settings(max_examples=80, deadline=None)
def test_lemma_1_holds_class_by_class(size, draw):
    """Factors may differ between classes, as long as the images of one class share them."""
    features, labels = data(*size)
    shape = (size[3], features.shape[1])
    g = np.random.default_rng(draw.draw(st.integers(0, 2**32 - 1))).uniform(1e-3, 1, shape)
    before, after = (class_distances(x, labels, size[3]) for x in (features, features * g[labels]))
    assert (after.per_class <= before.per_class * (1 + 1e-9)).all()
    assert after.within <= before.within * (1 + 1e-9)


@given(sizes, st.floats(1e-2, 1))
@settings(max_examples=60, deadline=None)
def test_one_factor_for_all_changes_the_trace_and_nothing_that_matters(size, factor):
    features, labels = data(*size)
    before, after = (class_distances(x, labels, size[3]) for x in (features, features * factor))
    np.testing.assert_allclose(after.within, before.within * factor**2, rtol=1e-9)
    np.testing.assert_allclose(after.within_share, before.within_share, rtol=1e-9)


@given(st.floats(0.01, 0.99), st.floats(0.5, 100))
def test_the_lemma_fails_for_factors_that_differ_between_images(factor, length):
    """Two equal images of one class, one of them damped: they were one point and are two."""
    features = np.array([[length], [length]])
    labels = np.zeros(2, dtype=int)
    assert class_distances(features, labels, 1).within == 0
    assert class_distances(features * [[1], [factor]], labels, 1).within > 0


number = st.floats(-6, 6)


def attention(scores: list[list[float]], prompt: list[float] | None = None) -> torch.Tensor:
    """The 2 × 2 attention matrix of given scores by the package's own definition, with one prompt for each token."""
    # Keys that are unit vectors make the queries the scores.
    q, k = torch.tensor(scores, dtype=torch.float64)[None, None], torch.eye(2, dtype=torch.float64)[None, None]
    column = torch.tensor(prompt if prompt is not None else [-1e30, -1e30], dtype=torch.float64)[:, None]
    return attention_weights(q, k, column, 1.0)[0, 0]


@given(st.lists(st.lists(number, min_size=2, max_size=2), min_size=2, max_size=2), st.floats(-1, 6))
@settings(max_examples=200, deadline=None)
def test_proposition_1_a_prompt_damps_the_larger_column_more(scores, strength):
    plain = attention(scores)
    norms = plain.norm(dim=0)
    assume(abs(norms[0] - norms[1]) > 1e-3 and abs(plain[0, 0] - plain[1, 0]) > 1e-3)
    large = int(norms.argmax())
    weights = plain[0] ** 2 / (plain**2).sum(dim=0)  # of the first row in each column
    damped = 0 if weights[large] > weights[1 - large] else 1
    prompt = [-30.0, -30.0]
    prompt[damped] = strength
    kept = attention(scores, prompt).norm(dim=0) / norms
    assert kept[large] < kept[1 - large] < 1


@given(st.lists(number, min_size=2, max_size=2), st.lists(number, min_size=2, max_size=2))
@settings(max_examples=100, deadline=None)
def test_proposition_1_needs_rows_that_differ(row, prompt):
    kept = attention([row, row], prompt).norm(dim=0) / attention([row, row]).norm(dim=0)
    torch.testing.assert_close(kept[0], kept[1])


@given(st.integers(0, 2**32 - 1), st.floats(-8, 8))
@settings(max_examples=60, deadline=None)
def test_prompts_scale_rows_by_any_factor_between_none_and_all(seed, c):
    """What the proof uses: attention with prompts is plain attention with each row times g, and c chooses g freely."""
    generator = torch.Generator().manual_seed(seed)
    q, k = torch.randn(2, 1, 2, 5, 3, generator=generator, dtype=torch.float64)
    prompt = torch.full((5, 1), c, dtype=torch.float64)
    kept = attention_kept(q, k, prompt)
    plain = attention_weights(q, k, torch.full((5, 1), -1e30, dtype=torch.float64))
    torch.testing.assert_close(attention_weights(q, k, prompt), plain * kept[..., None])
    assert ((kept > 0) & (kept < 1)).all()
    wanted = torch.rand(2, 2, 5, generator=generator, dtype=torch.float64)[0, 0] * 0.98 + 0.01
    lse = (q[:1, :1] @ k[:1, :1].transpose(-2, -1) * 3**-0.5).logsumexp(-1)[0, 0]
    chosen = lse - torch.logit(wanted)
    torch.testing.assert_close(attention_kept(q[:1, :1], k[:1, :1], chosen[:, None])[0, 0], wanted)
