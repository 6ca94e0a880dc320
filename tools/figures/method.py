# SPDX-License-Identifier: Apache-2.0

"""Draws the figures of docs/method.md: python -m tools.figures.method"""

from __future__ import annotations

import math

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import FancyArrowPatch

from monai_ept.networks import EmbeddedPrompt, attention_weights
from tools.figures import IMAGES

PROMPT, TOKEN, INK = "#d1495b", "#30638e", "#222222"


def panel(ax, values, prompts: int, title: str, note: str, dropped: bool = False) -> None:
    """A small matrix as coloured cells; prompt columns in their own colour."""
    rows, columns = values.shape
    for i in range(rows):
        for j in range(columns):
            colour = PROMPT if j < prompts else TOKEN
            if j < prompts and dropped:
                ax.add_patch(plt.Rectangle((j, rows - 1 - i), 0.92, 0.92, fill=False, ec=PROMPT, ls=":", lw=1))
                continue
            ax.add_patch(
                plt.Rectangle((j, rows - 1 - i), 0.92, 0.92, fc=colour, alpha=0.12 + 0.88 * float(values[i, j]), lw=0)
            )
    ax.set_xlim(-0.2, columns + 0.1)
    ax.set_ylim(-0.2, rows + 0.1)
    ax.set_aspect("equal")
    ax.axis("off")
    ax.set_title(title, fontsize=11, color=INK)
    ax.text(columns / 2, -0.55, note, ha="center", va="top", fontsize=9, color="#555555")


def draw_columns() -> None:
    torch.manual_seed(4)
    tokens, prompts = 6, 3
    q, k = torch.randn(2, 1, 1, tokens, 4) * 1.2
    prompt = torch.randn(tokens, prompts) * 0.4 + torch.linspace(-1.5, 1.5, tokens)[:, None]
    scores = (q @ k.transpose(-2, -1) / 2)[0, 0]
    joined = torch.cat([prompt, scores], 1)
    soft = joined.softmax(-1)
    kept = attention_weights(q, k, prompt)[0, 0]
    assert torch.allclose(soft[:, prompts:], kept)

    fig, axes = plt.subplots(1, 4, figsize=(11.5, 3.2), gridspec_kw={"width_ratios": [9.3, 9.3, 9.3, 4.3]})
    span = joined.max() - joined.min()
    panel(axes[0], (joined - joined.min()) / span, prompts, "scores with prompts", "[ P | q kᵀ · scale ]")
    shade = (soft / soft.max()).sqrt()  # so that small weights can be seen
    panel(axes[1], shade, prompts, "softmax over each row", "a row sums to 1")
    panel(axes[2], shade, prompts, "prompt columns dropped", "a row sums to less than 1", dropped=True)
    gate = kept.sum(-1)
    ax = axes[3]
    middles = [tokens - 1 - i + 0.46 for i in range(tokens)]
    ax.barh(middles, gate * 4, color=TOKEN, height=0.92)
    ax.barh(middles, (1 - gate) * 4, left=gate * 4, color=PROMPT, alpha=0.25, height=0.92)
    for middle, value in zip(middles, gate, strict=True):
        ax.text(0.15, middle, f"{value:.2f}", va="center", fontsize=9, color="white")
    ax.set_xlim(-0.2, 4.1)
    ax.set_ylim(-0.2, tokens + 0.1)
    ax.set_aspect("equal")
    ax.axis("off")
    ax.text(2, -0.55, "sum of the row", ha="center", va="top", fontsize=9, color="#555555")
    ax.set_title("kept: g", fontsize=11, color=INK)
    fig.subplots_adjust(left=0.02, right=0.98, top=0.86, bottom=0.08, wspace=0.12)
    fig.canvas.draw()  # so that the axes know where they are
    for left, right in ((0, 1), (1, 2), (2, 3)):
        a, b = axes[left].get_position(), axes[right].get_position()
        y = (a.y0 + a.y1) / 2
        fig.add_artist(
            FancyArrowPatch((a.x1 + 0.002, y), (b.x0 - 0.002, y), arrowstyle="->", mutation_scale=14, color=INK)
        )
    fig.text(0.03, 0.99, "■ prompts (learned)", color=PROMPT, fontsize=10, va="top")
    fig.text(0.19, 0.99, "■ tokens (frozen)", color=TOKEN, fontsize=10, va="top")
    save(fig, "ept_columns.png")


def draw_kept() -> None:
    """How much of flat attention stays, by the formula and by the code."""
    fig, ax = plt.subplots(figsize=(6.4, 3.6))
    c = np.linspace(-4, 12, 200)
    for tokens, style in ((197, "-"), (577, "--"), (4096, ":")):
        ax.plot(c, 1 / (1 + np.exp(c - math.log(tokens))), style, color=TOKEN, label=f"{tokens:,} tokens")
    q = torch.zeros(1, 1, 197, 4)
    for length in (1, 10, 100, 600):
        prompt = EmbeddedPrompt(197, length, init="zero")
        kept = attention_weights(q, q, prompt.logits).sum(-1).mean().item()
        ax.plot(math.log(length), kept, "o", color=PROMPT)
        ax.annotate(
            f"$d_p$ = {length}",
            (math.log(length), kept),
            textcoords="offset points",
            xytext=(-8, -13),
            ha="right",
            fontsize=9,
            color=PROMPT,
        )
    ax.set_xlabel("c = logsumexp of a token's prompts")
    ax.set_ylabel("attention kept, g")
    ax.set_ylim(0, 1.05)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=9)
    ax.set_title("Where zero prompts start, with flat scores", fontsize=11)
    fig.tight_layout()
    save(fig, "ept_kept.png")


def save(fig, name: str) -> None:
    IMAGES.mkdir(exist_ok=True)
    fig.savefig(IMAGES / name, dpi=130, metadata={"Software": None})
    plt.close(fig)


if __name__ == "__main__":
    draw_columns()
    draw_kept()
