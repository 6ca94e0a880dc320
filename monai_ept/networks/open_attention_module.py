# SPDX-License-Identifier: Apache-2.0

"""An attention module that is run by its halves."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from monai_ept.networks.attention_classes import attention_halves
from monai_ept.networks.tuner import Tuner

__all__ = ["OpenAttention"]


class OpenAttention(Tuner):
    """
    Runs an attention module's own two halves around plain fused attention.

    Some forwards read the weight of a projection instead of calling it, so that nothing wrapped around the projection
    would act; the halves call it. What comes out is what the module itself would say.

    Args:
        inner: an attention module of a supported class, see ``attention_halves``.

    Raises:
        TypeError: when the class of ``inner`` is not supported.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__(inner)
        self._before, self._after = attention_halves(inner)

    def tuned(self, x: Tensor, *args, **kwargs) -> Tensor:
        q, k, v, scale, dropout, mask = self._before(self.inner, x, *args, **kwargs)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, scale=scale)
        return self._after(self.inner, out, x)

    def folded(self) -> nn.Module | None:
        """The module itself, once nothing stands around its projections any more."""
        return None if any(isinstance(child, Tuner) for child in self.inner.children()) else self.inner
