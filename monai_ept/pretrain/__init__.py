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
"""Pretraining without images of anything: the embedded backbone learns from pictures that formulas make."""

from __future__ import annotations

from monai_ept.pretrain.command import run_pretraining
from monai_ept.pretrain.pictures import Picture, make_picture
from monai_ept.pretrain.recipe import Recipe

__all__ = ["Picture", "Recipe", "make_picture", "run_pretraining"]
