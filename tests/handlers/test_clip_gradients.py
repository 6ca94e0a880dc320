# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
from monai.engines.utils import IterationEvents

from monai_ept.handlers import ClipGradients
from tests.handlers.scenes import linear_trainer


def norms_with(handlers):
    """Norms of all gradients together, as the optimizer sees them."""
    norms = []
    trainer = linear_trainer(train_handlers=handlers)

    @trainer.on(IterationEvents.BACKWARD_COMPLETED)
    def look(engine):
        norms.append(sum(p.grad.square().sum().item() for p in engine.network.parameters()) ** 0.5)

    trainer.run()
    return norms


def test_norms_stay_at_the_limit_and_smaller_ones_as_they_are():
    plain = norms_with([])
    assert min(plain) < 0.1 < max(plain)
    clipped = norms_with([ClipGradients(0.1)])
    assert clipped[0] == pytest.approx(0.1, rel=1e-4) and max(clipped) <= 0.1 * (1 + 1e-4)
    assert norms_with([ClipGradients(2 * max(plain))]) == plain


def test_a_limit_must_be_above_zero():
    with pytest.raises(ValueError, match="max_norm must be a number above 0, got 0"):
        ClipGradients(0)
