# SPDX-License-Identifier: Apache-2.0

"""Draws docs/images/synthetic_*.png, samples of the synthetic data sets.

Run from the repository root: python -m tools.figures.synthetic
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from monai_ept.data.sources.synthetic import (
    CHEST_CLASSES,
    DERM_CLASSES,
    VOLUME_CLASSES,
    chest_findings,
    render_chest,
    render_derm,
    render_volume,
)
from tools.figures import IMAGES

LINE = 14  # pixels for a line of text


def sheet(rows: list[list[tuple[str, np.ndarray]]], edge: int, left: list[str] | None = None) -> Image.Image:
    """Pictures in rows, each under its caption; ``left`` names the rows."""
    margin = 46 if left else 2
    above = LINE if any(text for row in rows for text, _ in row) else 0
    canvas = Image.new("RGB", (margin + len(rows[0]) * (edge + 2), len(rows) * (edge + 2 + above)), "white")
    pen = ImageDraw.Draw(canvas)
    for r, row in enumerate(rows):
        top = r * (edge + 2 + above)
        if left:
            pen.text((4, top + edge // 2), left[r], fill="black")
        for c, (text, array) in enumerate(row):
            x = margin + c * (edge + 2)
            if text:
                pen.text((x + 2, top + 1), text, fill="black")
            canvas.paste(
                Image.fromarray(array).convert("RGB").resize((edge, edge), Image.Resampling.LANCZOS), (x, top + above)
            )
    return canvas


def save(canvas: Image.Image, name: str, levels: int) -> None:
    """Fewer levels per channel keep the files small; a palette would lose the rare colours."""
    IMAGES.mkdir(exist_ok=True)
    path = IMAGES / name
    array = np.asarray(canvas.convert("L") if "derm" not in name else canvas).astype(np.uint16)
    coarse = (array * (levels - 1) + 127) // 255 * 255 // (levels - 1)
    Image.fromarray(coarse.astype(np.uint8)).save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB, {canvas.width} x {canvas.height}")


def volume_views(class_name: str, gland: int) -> list[tuple[str, np.ndarray]]:
    """The middle slice, and the brightest voxel along the third axis."""
    volume = render_volume(class_name, seed=0, gland=gland, scan=0)
    views = []
    for flat in (volume[:, :, volume.shape[2] // 2], volume.max(axis=2)):
        grey = np.clip((flat.T[::-1].astype(np.float32) + 180) / 320 * 255, 0, 255).astype(np.uint8)
        views.append(("", np.kron(grey, np.ones((4, 4), np.uint8))))
    return views


def main() -> None:
    lesions = [[("", render_derm(name, seed=0, lesion=n, view=0)) for n in range(6)] for name in DERM_CLASSES]
    save(sheet(lesions, 126, list(DERM_CLASSES)), "synthetic_derm.png", 48)

    chests: list[tuple[str, np.ndarray]] = [("healthy", render_chest((), seed=0, patient=0, view=0))]
    chests += [
        (name.replace("_", " "), render_chest((name,), seed=0, patient=n, view=0))
        for n, name in enumerate(CHEST_CLASSES, start=1)
    ]
    together = [n for n in range(100) if len(chest_findings(0, n)) >= 3][:5]
    for n in together:
        text = ", ".join(chest_findings(0, n)).replace("_", " ")
        chests.append(
            (text if len(text) < 27 else text[:25] + "…", render_chest(chest_findings(0, n), seed=0, patient=n, view=0))
        )
    save(sheet([chests[n : n + 5] for n in range(0, len(chests), 5)], 168), "synthetic_chest.png", 128)

    glands = [[view for gland in range(4) for view in volume_views(name, gland)] for name in VOLUME_CLASSES]
    save(sheet(glands, 96, ["normal", "mass", "hyper-\nplasia"]), "synthetic_volume.png", 64)


if __name__ == "__main__":
    main()
