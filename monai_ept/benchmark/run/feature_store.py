# SPDX-License-Identifier: Apache-2.0

"""What a network that does not change makes of views of an image, computed once for all cells of a sweep."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from monai_ept.benchmark.run.array_store import ArrayStore
from monai_ept.benchmark.run.image_store import RecordImages
from monai_ept.data.views import View
from monai_ept.engines.solve import image_features
from monai_ept.model import TunedViT

__all__ = ["FeatureStore"]

AT_ONCE = 16  # images between two visits to the index: what a kill may cost


class FeatureStore:
    """
    Features by image, network, views and precision, shared by all workers of a machine.

    A network is known by what it makes of one picture of noise. Whatever changes features changes that: other weights,
    tuners, a readout, another release. What changes none, such as a LoRA before its first step, changes no name.
    All views of one image pass the network together, and no other image with them, so that features are the same to
    the bit whoever computes them, in whatever order.

    Raises:
        WriteError: when the folder cannot be written.
    """

    def __init__(self, folder: str | os.PathLike, device: torch.device) -> None:
        self.store = ArrayStore(folder, "features")
        self.device = device
        # Workers that begin together begin with different images, and find what the others have done.
        self._order = random.Random(os.getpid())

    def features(
        self, net: TunedViT, images: RecordImages, views: Sequence[View], *, amp: str, mean: bool = False, of: str = ""
    ) -> Tensor:
        """
        Features ``(images, views, features)``, or ``(images, features)`` of their mean.

        Args:
            images: transformed without chance.
            of: name of the backbone, by which images are transformed.
        """
        if self.device.type == "cpu" and amp != "bfloat16":
            amp = "off"  # which is what it means there
        was = net.training
        net.eval()
        try:
            about = json.dumps([of, self._name(net, amp), amp, self.device.type, mean, repr(views)])
            name = hashlib.sha256(about.encode()).hexdigest()[:16]
            keys = [f"{name} {key}" for key in images.keys]
            self.store.refresh()
            missing = [at for key, at in {key: at for at, key in enumerate(keys)}.items() if key not in self.store]
            self._order.shuffle(missing)
            for start in range(0, len(missing), AT_ONCE):
                self.store.refresh()
                todo = [at for at in missing[start : start + AT_ONCE] if keys[at] not in self.store]
                made = {keys[at]: self._look(net, images[at]["image"], views, amp) for at in todo}
                self.store.put({key: (seen.mean(dim=0) if mean else seen).numpy() for key, seen in made.items()})
        finally:
            net.train(was)
        return torch.from_numpy(np.stack([self.store[key] for key in keys]))

    def _look(self, net: TunedViT, image: Tensor, views: Sequence[View], amp: str) -> Tensor:
        return image_features(net, image, views, device=self.device, amp=amp)

    def _name(self, net: TunedViT, amp: str) -> str:
        """What the network makes of noise: exactly, since what is rounded may hide a difference, and as it is asked."""
        noise = torch.rand(net.vit.in_channels, *net.vit.img_size, generator=torch.Generator().manual_seed(0))
        seen = [self._look(net, noise, [View()], precision) for precision in dict.fromkeys(("off", amp))]
        return hashlib.sha256(b"".join(one.numpy().tobytes() for one in seen)).hexdigest()
