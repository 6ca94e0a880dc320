# Copyright (c) The monai_ept developers
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#     http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The network behind whatever stands around it for several processes or for a compiler."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["unwrap"]


def unwrap(network: nn.Module) -> Any:
    """The network inside ``DistributedDataParallel``, ``DataParallel`` or ``torch.compile``, or the network itself."""
    while True:
        inside = getattr(network, "_orig_mod", None)
        if inside is None and type(network).__name__ in ("DistributedDataParallel", "DataParallel"):
            inside = network.module
        if inside is None:
            return network
        network = inside
