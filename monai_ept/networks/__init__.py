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

from __future__ import annotations

from .attention import EMBEDDINGS, attention_kept, attention_weights, prompted_attention, sink_attention
from .convert import monai_vit_from_timm
from .create import create_backbone
from .heads import linear_head, mlp_head
from .opened import OpenAttention
from .projections import AttentionHalves, Heads, attention_halves, register_attention, supported_attention
from .prompt import PROMPT_INITS, EmbeddedPrompt, resize_tokens
from .prompted import PromptedAttention
from .tuner import Tuner, innermost, tuners, tuners_disabled
from .vit import ViTFace, vit_face
