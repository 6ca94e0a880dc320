# SPDX-License-Identifier: Apache-2.0

"""Small models of other projects with random weights, saved as those projects share theirs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from torch import nn

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
WIDE = {**SMALL, "intermediate_size": 48}


def drawn(model: nn.Module) -> nn.Module:
    """The model with weights of which none is hidden behind a zero or a one."""
    torch.manual_seed(0)
    with torch.no_grad():
        for param in model.parameters():
            param.normal_(0, 0.2)
    return model.eval()


def save_for_transformers(model, folder: Path, **processor) -> Path:
    """What ``save_pretrained`` writes of a model and of its image processor."""
    model.save_pretrained(folder)
    if processor:
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def save_for_timm(model, folder: Path, **args) -> Path:
    """What timm pushes to the hub, in the two formats that are about."""
    from timm.models import save_for_hf

    save_for_hf(model, folder, model_args=args or None, safe_serialization=False)
    return folder


def into_hub_cache(folder: Path, cache: Path, name: str) -> None:
    """Lay the files of a model where huggingface_hub keeps what it has downloaded."""
    place = cache / f"models--{name.replace('/', '--')}"
    commit = "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(folder, place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)


class ClipTower(nn.Module):
    """The image tower of CLIP under the names that OpenAI and open_clip gave its parts."""

    def __init__(self, width=32, layers=2, heads=2, patch=16, size=32, mlp=4.0, embed=24, quick=False):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width))
        self.positional_embedding = nn.Parameter(torch.randn((size // patch) ** 2 + 1, width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(_Block(width, heads, mlp, quick) for _ in range(layers))
        self.proj = nn.Parameter(torch.randn(width, embed))

    def forward(self, x):
        x = self.conv1(x).flatten(2).transpose(1, 2)
        token = self.class_embedding.expand(len(x), 1, -1)
        x = self.ln_pre(torch.cat([token, x], dim=1) + self.positional_embedding)
        for block in self.transformer.resblocks:
            x = block(x)
        return self.ln_post(x[:, 0])


class _Block(nn.Module):
    def __init__(self, width, heads, mlp, quick):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Module()
        self.mlp.c_fc, self.mlp.c_proj = nn.Linear(width, int(width * mlp)), nn.Linear(int(width * mlp), width)
        self.quick = quick

    def forward(self, x):
        inner = self.ln_1(x)
        x = x + self.attn(inner, inner, inner, need_weights=False)[0]
        hidden = self.mlp.c_fc(self.ln_2(x))
        hidden = hidden * torch.sigmoid(1.702 * hidden) if self.quick else nn.functional.gelu(hidden)
        return x + self.mlp.c_proj(hidden)


def save_for_open_clip(tower, folder: Path, vision, prefix="visual.", **model) -> Path:
    """What open_clip pushes to the hub: a configuration, and the weights of both towers in one file."""
    about = {
        "model_cfg": {"embed_dim": 24, "vision_cfg": vision, "text_cfg": {"width": 8}, **model},
        "preprocess_cfg": {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(about))
    state = {prefix + key: value for key, value in tower.state_dict().items()}
    text = {"text.transformer.embeddings.word_embeddings.weight": torch.ones(4, 8), "logit_scale": torch.ones(())}
    torch.save({**state, **text}, folder / "open_clip_pytorch_model.bin")
    return folder
