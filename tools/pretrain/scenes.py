# SPDX-License-Identifier: Apache-2.0
"""
Pairs of pictures of one thing: turned, scaled, lit otherwise, on another ground, with other hairs.

``plan_scenes`` decides everything by chance and takes the parts from a bank; ``draw_scenes`` paints them, on a CPU or a
CUDA card. One step of the training is planned from seed and step alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from tools.pretrain.bank import EDGE, Bank
from tools.pretrain.fields import FIELDS
from tools.pretrain.pictures import CHOICES, CONTOURS, VALUES, palette, shifted
from tools.pretrain.tissue import stain

__all__ = ["AT_ONCE", "draw_patches", "draw_scenes", "plan_scenes"]

AT_ONCE = 4
"""Views painted together on a CPU, so that they stay in its cache."""

NO_CONTOUR = 9.0
"""What fills the whole view is so far inside its line everywhere."""

STAINED = 0.15
"""Share of the palettes that are those of stained sections."""

Plan = dict[str, torch.Tensor]


def plan_scenes(bank: Bank, rng: np.random.Generator, things: int) -> Plan:
    """
    Decide what is on both views of so many things.

    Views are in order: the first views of all things, then their second ones.

    Args:
        bank: whose parts are used.
        rng: of everything.
        things: how many.

    Returns:
        numbers for each view; ``choices`` and ``values`` tell how it is made, as with other pictures.
    """
    views = 2 * things
    whole = rng.random(things) < 0.25  # what fills the view is a thing too
    shape, filling = rng.integers(len(bank.shapes), size=things), rng.integers(len(bank.fields), size=things)
    aspect = np.where(whole, 1, rng.uniform(0.5, 1, things))
    shells = rng.random(things) < 0.35
    # Every second thing shares its colours with others, so that colour alone does not tell which is which.
    own = [_colours(rng) for _ in range(things)]
    own = [own[index % max(things // 8, 1)] if index % 2 else colours for index, colours in enumerate(own)]
    tone = np.stack([colours[rng.integers(len(colours))] for colours in own]) * rng.uniform(0.5, 1.2, (things, 1))
    inset, softness = rng.uniform(0.2, 0.75, things), np.exp(rng.uniform(math.log(0.015), math.log(0.5), things))

    def twice(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values, values])

    radius = np.exp(rng.uniform(math.log(0.4), math.log(1.05), views))
    turn, mirrored = rng.uniform(0, 2 * math.pi, views), rng.choice([-1.0, 1.0], views)
    place = rng.uniform(-0.35, 0.35, (views, 2))
    thing_pose = _poses(1 / (radius * EDGE), turn, mirrored, place, twice(aspect))
    # The filling turns and grows with the thing; half of the second views show another part of it.
    zoom = twice(np.exp(rng.uniform(math.log(0.45), math.log(1.0), things))) * np.where(
        twice(whole), np.exp(rng.normal(0, 0.25, views)), 0.6 / radius
    )
    part = rng.uniform(-0.5, 0.5, (things, 2))
    other = np.where(rng.random((things, 1)) < 0.5, rng.uniform(-0.5, 0.5, (things, 2)), part)
    filling_pose = _poses(np.clip(zoom, 0.3, 1.4), turn, mirrored, place, np.ones(views))
    filling_pose[:, :, 2] += np.concatenate([part, other])
    ground = rng.integers(len(bank.fields), size=views)
    ground_pose = _poses(
        np.exp(rng.uniform(math.log(0.4), math.log(1.2), views)),
        rng.uniform(0, 2 * math.pi, views),
        rng.choice([-1.0, 1.0], views),
        rng.uniform(-0.4, 0.4, (views, 2)),
        np.ones(views),
    )
    colours, grounds = [], []
    for view in range(views):
        mine = own[view % things]
        # Light and skin change the colours of a thing somewhat, and now and then it has others altogether.
        mine = _colours(rng) if rng.random() < 0.1 else np.clip(mine + rng.normal(0, 0.04, 3), 0, 1)
        colours.append(_curve(mine))
        grounds.append(_curve(shifted(rng, mine, 1.6) if rng.random() < 0.5 else _colours(rng)))
    lit, strength = rng.random(views) < 0.5, rng.uniform(0.05, 0.4, views)
    slope, corners = rng.normal(0, 0.7, (views, 2)), rng.choice([0.0, -0.6, 0.5], views)
    hairy, blurred, noisy = rng.random(views) < 0.25, rng.random(views) < 0.3, rng.random(views) < 0.3
    opacity = np.where(twice(whole), 1, rng.uniform(0.5, 1, views))
    contour, rough = bank.contours.numpy()[shape], bank.roughness.numpy()[shape]
    choices = {
        "ground": bank.families.numpy()[ground],
        "filling": twice(bank.families.numpy()[filling]),
        "contour": twice(np.where(whole, len(CONTOURS), contour)),
        "things": np.where(twice(whole), 0, 1),
        "shells": twice(shells & ~whole),
        "hairs": hairy,
        "blurred": blurred,
    }
    # What the thing covers cannot be told.
    choices["ground"] = np.where(twice(whole), choices["filling"], choices["ground"])
    choices["filling"] = np.where(twice(whole), len(FIELDS), choices["filling"])
    values = {
        "area": radius**2 * twice(aspect) * 4 - 1,
        "elongation": twice(3 - 4 * aspect),
        "irregularity": twice(rough * 3 - 0.8),
        "softness": twice(np.log(softness) / 2 + 1),
        "opacity": opacity * 4 - 3,
        "blur": np.full(views, math.nan),
        "light": np.where(lit, strength * 5 - 1, math.nan),
    }
    for name in ("area", "elongation", "irregularity", "softness", "opacity"):
        values[name] = np.where(twice(whole), math.nan, values[name])
    numbers: dict[str, Any] = {
        "thing_pose": thing_pose,
        "filling_pose": filling_pose,
        "ground_pose": ground_pose,
        "colours": np.stack(colours),
        "grounds": np.stack(grounds),
        "tone": twice(tone),
        "inset": twice(inset),
        "shell": twice(shells & ~whole) * twice(rng.uniform(0.3, 0.9, things)),
        "softness": twice(softness),
        "opacity": opacity,
        "gain": np.exp(rng.normal(0, 0.06, (views, 3)) + rng.normal(0, 0.12, (views, 1))),
        "light": np.stack([slope[:, 0], slope[:, 1], corners], axis=1) * (strength * lit)[:, None],
        "hair": rng.random((views, 3)) * rng.choice([0.3, 1.0], (views, 1)),
        "noise": noisy * np.exp(rng.uniform(math.log(0.01), math.log(0.08), views)),
        "values": np.stack([values[name] for name in VALUES], axis=1),
    }
    plan = {name: torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)) for name, array in numbers.items()}
    plan["choices"] = torch.from_numpy(np.stack([np.asarray(choices[name], np.int64) for name in CHOICES], axis=1))
    plan["shrunk"] = torch.from_numpy(np.where(blurred, rng.choice([2, 4], views), 1))
    plan["ground"], plan["filling"] = bank.fields[ground], bank.fields[filling]
    shapes = bank.shapes[shape]
    shapes[torch.from_numpy(whole)] = NO_CONTOUR
    plan["shape"] = shapes
    masks = bank.hairs[rng.integers(len(bank.hairs), size=views)]
    masks[torch.from_numpy(~hairy)] = 0
    plan["hairs"] = masks
    plan["seed"] = torch.tensor(int(rng.integers(2**31)))
    return plan


def draw_scenes(plan: Plan, at_once: int = AT_ONCE, views: int | None = None) -> torch.Tensor:
    """
    Paint what was planned.

    Args:
        plan: of ``plan_scenes``, on any device.
        at_once: views painted together.
        views: how many of them, from the first; all by default.

    Returns:
        uint8 of shape (views, size, size, 3).
    """
    size, device = plan["hairs"].shape[-1], plan["hairs"].device
    line = (torch.arange(size, device=device) + 0.5) / size * 2 - 1
    everywhere = torch.stack([line[None, :].expand(size, size), line[:, None].expand(size, size)], dim=-1)
    number = len(plan["colours"]) if views is None else views
    return _paint_all(plan, range(number), everywhere.expand(number, -1, -1, -1), at_once)


def draw_patches(plan: Plan, kept: torch.Tensor, side: int, at_once: int = AT_ONCE, first: int = 0) -> torch.Tensor:
    """
    Paint only those patches that are looked at.

    Args:
        plan: of ``plan_scenes``, on any device.
        kept: (views, patches), which of the patches, counted by rows.
        side: of a patch in pixels.
        at_once: views painted together.
        first: which view ``kept`` begins with.

    Returns:
        uint8 of shape (views, patches, side * side * 3).
    """
    size = plan["hairs"].shape[-1]
    inner = torch.arange(side, device=kept.device)
    rows, columns = kept // (size // side) * side, kept % (size // side) * side
    x = columns[:, :, None, None] + inner[None, None, None, :] + 0 * inner[None, None, :, None]
    y = rows[:, :, None, None] + inner[None, None, :, None] + 0 * inner[None, None, None, :]
    # Patches lie below each other, as one high and narrow picture.
    places = (torch.stack([x, y], dim=-1).flatten(1, 2) + 0.5) / size * 2 - 1
    painted = _paint_all(plan, range(first, first + len(kept)), places, at_once)
    return painted.view(*kept.shape, -1)


def _paint_all(plan: Plan, views: range, places: torch.Tensor, at_once: int) -> torch.Tensor:
    everything, things = len(plan["colours"]), len(plan["filling"])
    device = plan["hairs"].device
    draw = torch.Generator(device).manual_seed(int(plan["seed"]) + views.start)
    parts = []
    for start in range(0, len(views), at_once):
        some = views[start : start + at_once]
        at = slice(some.start, some.stop)
        one = {name: tensor[at] for name, tensor in plan.items() if tensor.ndim and len(tensor) == everything}
        owner = torch.arange(some.start, some.stop, device=device) % things
        one["shape"], one["filling"] = plan["shape"][owner], plan["filling"][owner]
        parts.append(_paint(one, places[start : start + len(some)], draw))
    return torch.cat(parts)


def _paint(one: Plan, places: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    number, rows, columns, _ = places.shape
    x, y = places[:, None, :, :, 0], places[:, None, :, :, 1]
    flat = torch.cat([places.reshape(number, -1, 2), torch.ones_like(places[..., :1]).reshape(number, -1, 1)], dim=2)

    def sample(image: torch.Tensor, pose: torch.Tensor, padding: str) -> torch.Tensor:
        grid = (flat @ pose.transpose(1, 2)).view(number, rows, columns, 2)
        return F.grid_sample(image.unsqueeze(1).float(), grid, padding_mode=padding, align_corners=False)

    canvas = _coloured(sample(one["ground"], one["ground_pose"], "reflection"), one["grounds"])
    filling = _coloured(sample(one["filling"], one["filling_pose"], "reflection"), one["colours"])
    level = sample(one["shape"], one["thing_pose"], "border")
    softness = _wide(one["softness"])
    canvas.lerp_(filling, _cover(level, softness) * _wide(one["opacity"]))
    shelled = one["shell"].nonzero().flatten()
    if len(shelled):
        cover = _cover(level[shelled] - _wide(one["inset"][shelled]), softness[shelled])
        tone = one["tone"][shelled, :, None, None]
        canvas[shelled] = canvas[shelled].lerp(tone, cover * _wide(one["shell"][shelled]))
    hairy = one["hairs"].flatten(1).any(1).nonzero().flatten()
    if len(hairy):
        masks = one["hairs"][hairy, None].float() / 255
        mask = F.grid_sample(masks, places[hairy], mode="nearest", align_corners=False)
        canvas[hairy] = canvas[hairy].lerp(one["hair"][hairy, :, None, None], mask)
    right, down, corners = (_wide(number) for number in one["light"].unbind(1))
    shade = (x * right).add_(y * down).add_((x * x + y * y) * corners).add_(1).clamp_(min=0)
    canvas.mul_(shade).mul_(one["gain"][:, :, None, None])
    for factor in (2, 4):
        blurred = (one["shrunk"] == factor).nonzero().flatten()
        if len(blurred):
            canvas[blurred] = _blurred(canvas[blurred], factor)
    noisy = one["noise"].nonzero().flatten()
    if len(noisy):
        grain = torch.randn((len(noisy), 1, rows, columns), generator=draw, device=draw.device)
        canvas[noisy] += grain * _wide(one["noise"][noisy])
    return canvas.mul_(255).add_(0.5).clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _blurred(canvas: torch.Tensor, factor: int) -> torch.Tensor:
    """Shrunk and enlarged again; patches that lie below each other, each for itself."""
    number, channels, _, columns = canvas.shape
    pieces = canvas.view(number, channels, -1, columns, columns).transpose(1, 2).flatten(0, 1)
    pieces = F.interpolate(F.avg_pool2d(pieces, factor), size=(columns, columns), mode="bilinear", align_corners=False)
    return pieces.view(number, -1, channels, columns, columns).transpose(1, 2).reshape(canvas.shape)


def _wide(numbers: torch.Tensor) -> torch.Tensor:
    return numbers[:, None, None, None]


def _cover(level: torch.Tensor, softness: torch.Tensor) -> torch.Tensor:
    part = (level / softness + 0.5).clamp_(0, 1)
    return part * part * (3 - 2 * part)


def _coloured(field: torch.Tensor, curve: torch.Tensor) -> torch.Tensor:
    """Colours along a cubic curve through the colours of a palette."""
    field = field / 255
    colour = curve[:, 3, :, None, None] * field
    for power in (2, 1):
        colour.add_(curve[:, power, :, None, None]).mul_(field)
    return colour.add_(curve[:, 0, :, None, None]).clamp_(0, 1)


def _colours(rng: np.random.Generator) -> np.ndarray:
    return stain(rng) if rng.random() < STAINED else palette(rng)


_CUBIC = np.linalg.inv(np.vander(np.linspace(0, 1, 4), increasing=True))


def _curve(colours: np.ndarray) -> np.ndarray:
    """Coefficients (4, 3) of the cubic curve through four places of a palette."""
    at, steps = np.linspace(0, 1, 4), np.linspace(0, 1, len(colours))
    return _CUBIC @ np.stack([np.interp(at, steps, colours[:, channel]) for channel in range(3)], axis=1)


def _poses(
    zoom: np.ndarray, turn: np.ndarray, mirrored: np.ndarray, place: np.ndarray, aspect: np.ndarray
) -> np.ndarray:
    """Affine maps (number, 2, 3) from the view to a part: shifted, turned, mirrored, and scaled."""
    cos, sin = np.cos(turn), np.sin(turn)
    turned = np.stack([np.stack([cos, sin], axis=1), np.stack([-sin, cos], axis=1) / aspect[:, None]], axis=1)
    turned[:, 1] *= mirrored[:, None]
    turned *= zoom[:, None, None]
    return np.concatenate([turned, -(turned @ place[:, :, None])], axis=2)
