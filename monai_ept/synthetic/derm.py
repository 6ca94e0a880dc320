# SPDX-License-Identifier: Apache-2.0

"""Dermoscopy-like pictures of the seven ISIC 2018 classes.

A *lesion* has a class, a shape, pigments and structures; a *view* puts it under a lens: rotation, scale, light, hairs.
Several views of one lesion make a group. What tells the classes apart is structure together with colour: brown, pink
and grey palettes are shared between classes, so that neither alone is enough.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from monai_ept.synthetic.lesion_structures import clusters, fade, nests, network, scatter, streaks, vessel_tree
from monai_ept.synthetic.paint import Cells, Dice, Noise, curve, smooth, to_bytes
from monai_ept.synthetic.skin import YELLOW_BROWN, Scene, Shape, paint_hairs, paint_skin, through_lens

__all__ = ["DERM_CLASSES", "render_derm"]

DERM_CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
_LESION, _VIEW = 11, 12  # streams of random numbers

# What a pigment lets through, in red, green and blue. Light passes twice through a dense one: transmissions multiply.
_BROWN = (0.66, 0.46, 0.30)
_RED_BROWN = (0.72, 0.44, 0.34)
_GREY_BROWN = (0.66, 0.56, 0.48)
_BLACK = (0.24, 0.20, 0.20)
_BLUE_GREY = (0.48, 0.52, 0.62)
_PINK = (0.94, 0.66, 0.66)
_RED = (0.86, 0.34, 0.36)
_PURPLE = (0.62, 0.28, 0.46)


def _nv(dice: Dice, scene: Scene) -> np.ndarray:
    """Naevus: symmetric, fading edge, one or two browns; a regular network or even globules."""
    kind = dice.pick(("network", "globules"), (0.66, 0.34))
    shape = Shape(dice, dice.between(0.8, 1.25), dice.between(0.03, 0.08), 0.12, dice.between(0.2, 0.45))
    palette = dice.pick((_BROWN, _RED_BROWN, YELLOW_BROWN, _GREY_BROWN, _PINK), (3.5, 3, 2, 2, 2))
    mottle, grain = Noise(dice, 0.5, 3), Noise(dice, 0.09, 2, 0.7)
    cells = Cells(dice, dice.between(0.13, 0.18), 0.6)
    warp = Noise(dice, 0.45, 2)
    darker_center = dice.between(-0.2, 0.55)
    strength, density = dice.between(0.35, 1.0), dice.between(0.6, 1.5)

    depth = shape.depth(scene)
    body = shape.inside(depth)
    texture = 0.14 * mottle(scene.u, scene.v) + 0.1 * grain(scene.u, scene.v)
    scene.filter(palette, body * (0.62 + texture) * density)
    scene.filter(palette, body * smooth(depth, 0.1, 0.9) * darker_center * density)
    if kind == "network":
        lines = network(scene, cells, warp, 0.14, 0.07) * smooth(depth, -0.1, 0.35)
        scene.filter(_BROWN, lines * strength * 0.85)
    else:
        bend = warp(scene.u, scene.v) * 0.04
        from_center, _, tone = cells(scene.u + bend, scene.v - bend)
        globules = (1 - smooth(from_center - 0.1 * tone, 0.2, 0.46)) * smooth(depth, -0.02, 0.2)
        scene.filter(_BROWN, globules * (0.45 + 0.5 * tone) * strength)
    return depth


def _mel(dice: Dice, scene: Scene) -> np.ndarray:
    """Melanoma: lopsided, ragged, several colours; broken network, uneven globules, streaks, veil, regression."""
    shape = Shape(dice, dice.between(0.75, 1.3), dice.between(0.08, 0.18), 0.2, dice.between(0.08, 0.22))
    lump, lumpy = Noise(dice, 0.85, 2), dice.between(0.12, 0.26)
    palette = dice.pick((_BROWN, _RED_BROWN, _GREY_BROWN, YELLOW_BROWN, _PINK), (3.5, 3, 2, 2, 2))
    patches, second, grain = Noise(dice, 0.6, 4, 0.6), Noise(dice, 0.7, 3), Noise(dice, 0.09, 2, 0.7)
    cells, warp = Cells(dice, dice.between(0.15, 0.22), 0.95), Noise(dice, 0.4, 3)
    globule_u, globule_v = scatter(dice, dice.whole(18, 36), 0.2, 1.05)
    globule_radius = 0.018 + 0.06 * dice.array(len(globule_u)) * dice.array(len(globule_u))
    veil_at, veil_size = dice.in_disc(0.45), dice.between(0.4, 0.7)
    has_veil, has_scar = dice.chance(0.55), dice.chance(0.45)
    strength, density = dice.between(0.4, 1.0), dice.between(0.6, 1.1)
    scar_at = dice.in_disc(0.55)
    streak_side = dice.direction()
    fringe = streaks(dice, shape, streak_side) if dice.chance(0.5) else None

    depth = shape.depth(scene) + lumpy * lump(scene.u, scene.v)
    body = shape.inside(depth)
    field, other = patches(scene.u, scene.v), second(scene.u, scene.v)
    scene.filter(palette, body * (0.75 + 0.28 * field + 0.12 * grain(scene.u, scene.v)) * density)
    scene.filter(_BROWN, body * smooth(field, -0.15, 0.55) * strength)
    scene.filter(_RED_BROWN, body * smooth(other, 0.05, 0.6) * 0.55)
    patchy = smooth(other, -0.4, 0.2)
    scene.filter(_BROWN, network(scene, cells, warp, 0.2, 0.13) * body * patchy * strength)
    if has_scar:
        away = scene.away(scar_at) + 0.25 * field
        scene.cover((0.85, 0.72, 0.69), (1 - smooth(away, 0.05, 0.42)) * body * 0.6)
    if has_veil:
        away = scene.away(veil_at) + 0.3 * field
        veil = (1 - smooth(away, veil_size * 0.1, veil_size)) * smooth(depth, 0.0, 0.3)
        scene.cover((0.33, 0.34, 0.42), veil * 0.72)
    if fringe is not None:
        scene.filter(_BLACK, fade(scene, scene.dots(*fringe)) * smooth(depth, -0.28, -0.1) * 0.7)
    dots = fade(scene, scene.dots(globule_u, globule_v, globule_radius)) * smooth(depth, -0.06, 0.05)
    scene.filter(_BLACK, dots * (0.2 + 0.6 * strength))
    return depth


def _bkl(dice: Dice, scene: Scene) -> np.ndarray:
    """Benign keratosis: stuck on, sharp moth-eaten edge, dull; white cysts, dark plugs, ridges like a brain's."""
    ridged = dice.chance(0.5)
    shape = Shape(dice, dice.between(0.78, 1.28), dice.between(0.05, 0.1), 0.13, dice.between(0.04, 0.09), fine=0.1)
    palette = dice.pick((_BROWN, YELLOW_BROWN, _GREY_BROWN, _RED_BROWN, _PINK), (2.5, 2.5, 2.5, 2, 2))
    grain, patches = Noise(dice, 0.09, 2, 0.7), Noise(dice, 0.4, 3, 0.6)
    folds = Noise(dice, dice.between(0.2, 0.26), 2, 0.35)
    bites = [dice.direction() for _ in range(dice.whole(2, 4))]
    bite_radius = [dice.between(0.12, 0.24) for _ in bites]
    cyst_u, cyst_v = scatter(dice, dice.whole(5, 18), 0.0, 0.85)
    cyst_radius = 0.022 + 0.03 * dice.array(len(cyst_u))
    plug_u, plug_v = scatter(dice, dice.whole(3, 12), 0.0, 0.85)
    plug_radius = 0.035 + 0.045 * dice.array(len(plug_u))
    strength, marked = dice.between(0.5, 1.25), dice.between(0.45, 1.0)

    depth = shape.depth(scene)
    for (cos, sin), radius in zip(bites, bite_radius, strict=True):
        center = (cos * 1.02 / shape.stretch, sin * 1.02 * shape.stretch)
        away = scene.away(center)
        depth = np.minimum(depth, away - radius)
    body = shape.inside(depth)
    surface = 0.72 + 0.25 * patches(scene.u, scene.v) + 0.22 * grain(scene.u, scene.v)
    scene.filter(palette, body * surface * strength)
    scene.filter(_GREY_BROWN, body * (1 - smooth(depth, 0.0, 0.1)) * 0.45)
    if ridged:
        ridge = np.abs(folds(scene.u, scene.v))
        scene.filter(_BROWN, (1 - smooth(ridge, 0.0, 0.16)) * smooth(depth, 0.0, 0.1) * 0.9 * marked)
    plugs = scene.dots(plug_u, plug_v, plug_radius) * smooth(depth, 0.02, 0.1)
    scene.filter(_BLACK, fade(scene, plugs) * 0.8 * marked)
    cysts = scene.dots(cyst_u, cyst_v, cyst_radius) * smooth(depth, 0.04, 0.12)
    scene.cover((0.95, 0.91, 0.82), fade(scene, cysts) * 0.78 * marked)
    return depth


def _bcc(dice: Dice, scene: Scene) -> np.ndarray:
    """Basal cell carcinoma: translucent pink, branching vessels in focus, blue-grey nests, sometimes an ulcer."""
    shape = Shape(dice, dice.between(0.8, 1.25), 0.08, 0.15, dice.between(0.2, 0.4))
    palette = dice.pick((_PINK, _RED_BROWN, _GREY_BROWN, YELLOW_BROWN, _BROWN), (3.5, 2.5, 2, 2, 2))
    mottle, grain = Noise(dice, 0.4, 3), Noise(dice, 0.09, 2, 0.7)
    clumps = nests(dice, dice.whole(5, 11)) if dice.chance(0.72) else None
    ulcer_at, ulcer_size = dice.in_disc(0.35), dice.between(0.16, 0.3)
    has_ulcer, trunks = dice.chance(0.35), dice.whole(1, 4)
    strength, density = dice.between(0.4, 1.0), dice.between(0.7, 1.3)
    shine = [(dice.in_disc(0.7), dice.direction()) for _ in range(dice.whole(0, 6))]

    depth = shape.depth(scene)
    body = shape.inside(depth)
    field = mottle(scene.u, scene.v)
    scene.filter(palette, body * (0.62 + 0.3 * field + 0.1 * grain(scene.u, scene.v)) * density)
    scene.cover((0.92, 0.79, 0.77), body * smooth(field, -0.1, 0.7) * 0.45)
    if clumps is not None:
        cover = fade(scene, scene.dots(*clumps), 8)
        scene.filter(_BLUE_GREY, cover * (0.9 * strength + 0.35 * grain(scene.u, scene.v)))
    if has_ulcer:
        away = scene.away(ulcer_at) + 0.22 * field
        scene.filter(_RED, (1 - smooth(away, ulcer_size * 0.6, ulcer_size)) * 0.85)
        scene.filter(_RED_BROWN, (1 - smooth(away, ulcer_size * 0.3, ulcer_size * 0.8)) * 0.7)
    for (u, v), (cos, sin) in shine:
        line_u, line_v = curve((u, v), (u + 0.22 * cos, v + 0.22 * sin), 0.0, 0.0, dice, 24)
        scene.cover((0.97, 0.94, 0.93), scene.dots(line_u, line_v, 0.014) * 0.6)
    tree = vessel_tree(dice, scene, trunks, dice.between(0.02, 0.032), 0.95)
    scene.filter(_RED, tree * smooth(depth, -0.3, 0.1) * (0.3 + 0.5 * strength))
    scene.filter(_RED, fade(scene, tree, 3) * smooth(depth, -0.3, 0.1) * 0.3)
    return depth


def _akiec(dice: Dice, scene: Scene) -> np.ndarray:
    """Actinic keratosis and Bowen's disease: red between pale follicles, scales, dotted vessels, no clear edge."""
    kind = dice.pick(("strawberry", "bowen"), (0.6, 0.4))
    shape = Shape(dice, dice.between(0.75, 1.3), 0.1, 0.3, dice.between(0.4, 0.7), fine=0.2)
    palette = dice.pick((_PINK, _RED_BROWN, YELLOW_BROWN, _BROWN, _GREY_BROWN), (3.5, 3, 2, 2.5, 1.5))
    mottle, grain = Noise(dice, 0.35, 3, 0.6), Noise(dice, 0.09, 2, 0.7)
    follicles, warp = Cells(dice, dice.between(0.2, 0.28), 0.7), Noise(dice, 0.3, 2)
    vessel_u, vessel_v = clusters(dice, dice.whole(4, 6), dice.whole(14, 22))
    flake, crack = Noise(dice, 0.3, 4, 0.7), Noise(dice, 0.1, 3)
    scaly = dice.between(-0.25, 0.15) if kind == "strawberry" else dice.between(0.0, 0.25)
    strength = dice.between(0.35, 1.0)

    depth = shape.depth(scene)
    body = shape.inside(depth)
    field, fine = mottle(scene.u, scene.v), grain(scene.u, scene.v)
    scene.filter(palette, body * (0.62 + 0.3 * field + 0.12 * fine))
    scene.filter(_PINK, body * (0.4 + 0.2 * field))
    if kind == "strawberry":
        shift = warp(scene.u, scene.v) * 0.07
        from_center, _, tone = follicles(scene.u + shift, scene.v - shift)
        here = smooth(depth, -0.1, 0.4)
        scene.filter(_RED, smooth(from_center, 0.1, 0.6) * here * (0.5 + 0.3 * field) * strength)
        halo = (1 - smooth(from_center, 0.08, 0.12 + 0.24 * strength)) * here
        scene.cover((0.94, 0.84, 0.74), halo * (0.3 + 0.4 * tone) * (0.4 + 0.6 * strength))
        scene.filter(YELLOW_BROWN, (1 - smooth(from_center, 0.03, 0.15)) * here * tone)
    else:
        dots = scene.dots(vessel_u, vessel_v, 0.023) * smooth(depth, -0.05, 0.1)
        scene.filter(_RED, fade(scene, dots) * (0.4 + 0.7 * strength))
    plates = smooth(flake(scene.u, scene.v) + 0.25 * fine, 0.4 - scaly, 0.75 - scaly) * smooth(depth, 0.0, 0.3)
    cracks = 1 - 0.5 * (1 - smooth(np.abs(crack(scene.u, scene.v)), 0.0, 0.2))
    scene.cover((0.95, 0.90, 0.82), plates * cracks * (0.35 + 0.4 * strength))
    return depth


def _df(dice: Dice, scene: Scene) -> np.ndarray:
    """Dermatofibroma: round, a pale scar in the middle, a delicate network around it that fades into the skin."""
    shape = Shape(dice, dice.between(0.88, 1.14), 0.05, 0.1, dice.between(0.35, 0.5))
    palette = dice.pick((_BROWN, _RED_BROWN, _PINK, YELLOW_BROWN, _GREY_BROWN), (3, 3, 2, 2, 2))
    mottle, grain = Noise(dice, 0.45, 3), Noise(dice, 0.09, 2, 0.7)
    cells, warp = Cells(dice, dice.between(0.11, 0.15), 0.6), Noise(dice, 0.4, 2)
    scar_size, scar_at = dice.between(0.35, 0.58), dice.in_disc(0.12)
    scar_noise = Noise(dice, 0.35, 3, 0.6)
    strength, density = dice.between(0.35, 1.0), dice.between(0.6, 1.4)
    fibers = [(dice.in_disc(scar_size * 0.8), dice.direction()) for _ in range(dice.whole(5, 10))]

    depth = shape.depth(scene)
    body = shape.inside(depth)
    texture = 0.15 * mottle(scene.u, scene.v) + 0.1 * grain(scene.u, scene.v)
    scene.filter(palette, body * (0.65 + texture) * density)
    ring = smooth(depth, -0.05, 0.35) * (1 - smooth(depth, 0.4, 0.75))
    scene.filter(_BROWN, network(scene, cells, warp, 0.12, 0.06) * ring * strength * 0.8)
    away = scene.away(scar_at) + 0.16 * scar_noise(scene.u, scene.v)
    scar = 1 - smooth(away, scar_size * 0.25, scar_size * 1.2)
    scene.cover((0.92, 0.80, 0.77), scar * (0.3 + 0.45 * strength))
    for (u, v), (cos, sin) in fibers:
        line_u, line_v = curve((u, v), (u + 0.2 * cos, v + 0.2 * sin), 0.1, 0.0, dice, 22)
        scene.cover((0.98, 0.95, 0.93), scene.dots(line_u, line_v, 0.013) * scar * 0.6)
    return depth


def _vasc(dice: Dice, scene: Scene) -> np.ndarray:
    """Vascular lesion: red, purple or black lagoons, rounded, between pale walls."""
    shape = Shape(dice, dice.between(0.8, 1.25), dice.between(0.05, 0.12), 0.09, dice.between(0.06, 0.16))
    colors = dice.pick(
        ((_RED, _RED), (_RED, _PURPLE), (_PURPLE, _PURPLE), (_PURPLE, _BLACK), (_RED_BROWN, _PURPLE)),
        (3, 3, 2.5, 2, 2),
    )
    base = dice.pick((_PINK, _RED_BROWN, _GREY_BROWN), (5, 1.5, 1))
    cells, warp = Cells(dice, dice.between(0.26, 0.48), 0.85), Noise(dice, 0.45, 2)
    shade, grain = Noise(dice, 0.35, 3), Noise(dice, 0.09, 2, 0.7)
    wall_width, strength = dice.between(0.02, 0.08), dice.between(0.45, 1.0)

    depth = shape.depth(scene)
    body = shape.inside(depth)
    texture = 0.2 * shade(scene.u, scene.v) + 0.08 * grain(scene.u, scene.v)
    scene.filter(base, shape.inside(depth + 0.12) * (0.65 + texture))
    scene.filter(colors[0], body * (0.3 + texture))
    shift = warp(scene.u, scene.v) * 0.13
    from_center, wall, tone = cells(scene.u + shift, scene.v - shift)
    # walls meet in corners; the distance to the centre rounds these off
    room = np.minimum(np.minimum(wall, 0.62 - from_center), np.maximum(depth, 0.0) * 1.3)
    lagoon = fade(scene, smooth(room, wall_width, wall_width + 0.12)) * strength
    scene.filter(colors[0], lagoon * (0.5 + 0.4 * tone + texture))
    scene.filter(colors[1], lagoon * smooth(room, 0.06, 0.4) * (0.25 + 0.55 * tone + texture))
    return depth


def _borrowed(dice: Dice, scene: Scene, depth: np.ndarray) -> None:
    """Findings that any lesion may have, weakly: no single one of them gives a class away."""
    for _ in range(dice.pick((0, 1, 2), (3, 4, 3))):
        kind = dice.pick(("dark dots", "pale dots", "red dots", "vessels", "network", "scale", "pale", "grey"))
        amount = dice.between(0.3, 0.75)
        count = dice.whole(3, 9)
        u, v = scatter(dice, count, 0.0, 0.85)
        patch = Noise(dice, 0.6, 3, 0.6)
        here = smooth(depth, 0.0, 0.2)
        if kind == "dark dots":
            scene.filter(_BLACK, fade(scene, scene.dots(u, v, 0.02 + 0.035 * dice.array(count))) * here * amount)
        elif kind == "pale dots":
            scene.cover((0.95, 0.91, 0.82), fade(scene, scene.dots(u, v, 0.03)) * here * amount)
        elif kind == "red dots":
            scene.filter(_RED, fade(scene, scene.dots(u, v, 0.026)) * here * amount)
        elif kind == "vessels":
            scene.filter(_RED, vessel_tree(dice, scene, 1, 0.018, 0.8) * here * amount)
        elif kind == "network":
            lines = network(scene, Cells(dice, 0.15, 0.8), patch, 0.15, 0.1)
            scene.filter(_BROWN, lines * smooth(patch(scene.u, scene.v), 0.0, 0.5) * here * amount)
        elif kind == "scale":
            scene.cover((0.95, 0.90, 0.82), smooth(patch(scene.u, scene.v), 0.2, 1.2) * here * amount)
        elif kind == "pale":
            away = scene.away((u[0], v[0])) + 0.2 * patch(scene.u, scene.v)
            scene.cover((0.92, 0.80, 0.77), (1 - smooth(away, 0.05, 0.4)) * here * amount)
        else:
            scene.filter(_BLUE_GREY, smooth(patch(scene.u, scene.v), 0.0, 0.7) * here * amount)


_PAINTERS: dict[str, Callable[[Dice, Scene], np.ndarray]] = dict(
    zip(DERM_CLASSES, (_akiec, _bcc, _bkl, _df, _mel, _nv, _vasc), strict=True)
)


def render_derm(class_name: str, *, seed: int, lesion: int, view: int, img_size: int = 224) -> np.ndarray:
    """One dermoscopy-like picture.

    Args:
        class_name: one of :py:data:`DERM_CLASSES`.
        lesion: number of the lesion; pictures of one lesion share shape, pigments, structures and skin.
        view: number of the picture; it fixes rotation, scale, light, hairs and noise.

    Raises:
        ValueError: when there is no such class.

    Returns:
        bytes of shape (img_size, img_size, 3), the same on every machine.
    """
    if class_name not in DERM_CLASSES:
        raise ValueError(f"there is no class {class_name!r}; choose from {', '.join(DERM_CLASSES)}.")
    number = DERM_CLASSES.index(class_name)
    dice = Dice(_LESION, seed, number, lesion)
    lens = Dice(_VIEW, seed, number, lesion, view)
    scene = Scene(lens, img_size)
    paint_skin(dice, scene)
    depth = _PAINTERS[class_name](dice, scene)
    _borrowed(dice, scene, depth)
    paint_hairs(lens, scene)
    return to_bytes(through_lens(lens, scene))
