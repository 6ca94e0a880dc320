# SPDX-License-Identifier: Apache-2.0
"""The pictures of docs/embedded-backbone.md: what is learnt from, and what it is worth after so many steps.

Run from the repository root:
    python -m tools.figures.embedded PROBE.json     # written by tools.measure.embedded_probe --steps …
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from monai_ept.reporting.statistics import estimate
from tools.figures import IMAGES
from tools.pretrain import PairsRecipe, make_picture
from tools.pretrain.bank import make_bank
from tools.pretrain.pictures import paint
from tools.pretrain.scenes import draw_scenes, plan_scenes
from tools.pretrain.tissue import stain, tissue

matplotlib.use("Agg")
import matplotlib.pyplot as plt

REFERENCES = {"embedded_random": "at random", "vit_tiny_patch16_224": "ViT-Ti, ImageNet-21k"}
PANELS = {
    "isic2018 100": "ISIC 2018, 100 images per class",
    "colon 10": "Colon histology, 10 images per class",
    "synthetic_derm 5": "Synthetic lesions, 5 per class",
}


def draw_pictures(columns: int = 10, rows: int = 4) -> None:
    tiles = [make_picture(0, index).image[::2, ::2] for index in range(columns * rows)]
    _sheet(tiles, columns).save(IMAGES / "embedded_pictures.jpg", quality=85)


def draw_pairs(columns: int = 10, rows: int = 2) -> None:
    """Both views of each thing, one above the other."""
    things = columns * rows
    views = draw_scenes(plan_scenes(make_bank(0, 0), np.random.default_rng(1), things)).numpy()[:, ::2, ::2]
    order = np.arange(2 * things).reshape(2, rows, columns).swapaxes(0, 1).reshape(2 * rows, columns)
    lines = []
    for number, line in enumerate(order):  # wider gaps between pairs than between the views of one
        tiles = [
            np.pad(view, ((12 if number % 2 == 0 else 2, 0), (4, 0), (0, 0)), constant_values=255)
            for view in views[line]
        ]
        lines.append(np.concatenate(tiles, axis=1))
    Image.fromarray(np.concatenate(lines)[12:]).save(IMAGES / "embedded_pairs.jpg", quality=85)


def draw_tissue(columns: int = 8, rows: int = 2) -> None:
    rng = np.random.default_rng(4)
    tiles = [(255 * paint(tissue(rng, 128), stain(rng))).astype(np.uint8) for _ in range(columns * rows)]
    _sheet(tiles, columns).save(IMAGES / "embedded_tissue.jpg", quality=85)


def _sheet(tiles: list[np.ndarray], columns: int, border: int = 4) -> Image.Image:
    tiles = [np.pad(tile, ((border, 0), (border, 0), (0, 0)), constant_values=255) for tile in tiles]
    rows = range(0, len(tiles), columns)
    return Image.fromarray(np.concatenate([np.concatenate(tiles[row:][:columns], axis=1) for row in rows]))


def draw_curve(results: dict[str, dict[str, list[float]]]) -> None:
    """What the second part adds, from the weights that the first one has ended with."""
    recipe = PairsRecipe()
    names = {int(name.split()[1]): name for name in results if name.startswith("step ")}
    names |= {0: "embedded_v1", recipe.steps: "embedded"}
    steps = sorted(names)
    seen = np.array(steps) * 2 * recipe.things / 1000
    figure, axes = plt.subplots(1, len(PANELS), figsize=(13, 4.2), layout="constrained")
    for axis, (key, title) in zip(axes, PANELS.items(), strict=True):
        found = [estimate(results[names[step]][key]) for step in steps]
        mean, half = np.array([one.mean for one in found]), np.array([one.interval.half for one in found])
        axis.fill_between(seen, mean - half, mean + half, color="#0072b2", alpha=0.15, linewidth=0)
        axis.plot(seen, mean, color="#0072b2", linewidth=2, marker="o", markersize=4)
        first, last = 28 if mean[1] < mean[0] else -20, -18 if mean[-1] < mean[-2] else 10  # where the line leaves room
        for at, name, above in ((0, "embedded_v1", first), (-1, "embedded", last)):
            where = {"xytext": (0, above), "textcoords": "offset points", "ha": "left" if at == 0 else "right"}
            axis.annotate(name, (seen[at], mean[at]), color="#0072b2", **where)
        for name, label in REFERENCES.items():
            if key in results.get(name, {}):
                value = float(np.mean(results[name][key]))
                axis.axhline(value, color="#555555", linewidth=1, linestyle="--")
                at = {"xytext": (0, 3), "textcoords": "offset points", "ha": "right", "fontsize": 9}
                axis.annotate(label, (seen[-1] * 1.05, value), color="#555555", **at)
        axis.set(title=title, xlabel="views of the second part, thousands", xlim=(-0.03 * seen[-1], seen[-1] * 1.05))
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("balanced accuracy of a linear probe")
    figure.savefig(IMAGES / "embedded_curve.png", dpi=110)


if __name__ == "__main__":
    draw_pictures()
    draw_pairs()
    draw_tissue()
    draw_curve(json.loads(Path(sys.argv[1]).read_text()))
