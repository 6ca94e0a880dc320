# SPDX-License-Identifier: Apache-2.0

"""From plans of pictures to records: rendered into memory, or into files that are made once."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from monai.utils import optional_import

from monai_ept.data.read_image import check_file
from monai_ept.data.records import Record
from monai_ept.synthetic.chest import render_chest
from monai_ept.synthetic.derm import render_derm
from monai_ept.synthetic.volume import render_volume

__all__ = ["RENDER_VERSION", "LazyPicture", "Plan", "check_sizes", "make_records"]

RENDER_VERSION = 1
"""Part of the cache folder's name: raised whenever the same seed gives other pixels."""

_RENDERERS = {"derm": render_derm, "chest": render_chest, "volume": render_volume}


@dataclass(frozen=True)
class Plan:
    """A picture that is not drawn yet: what the renderer of its kind takes, and what its record will say."""

    kind: str  # "derm", "chest" or "volume"
    what: Any  # first argument of the renderer: class name or findings
    options: dict[str, int] = field(hash=False)  # its other arguments
    label: int | list[int]
    group: str  # lesion, patient or gland
    view: int  # number within the group
    split: str

    @property
    def id(self) -> str:
        return f"{self.group}_{self.view}"

    def render(self) -> np.ndarray:
        return _RENDERERS[self.kind](self.what, **self.options)  # type: ignore[operator]


class LazyPicture:
    """A picture that ``np.asarray`` draws each time, so that who uses a few of a set does not wait for all."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        edge = plan.options["img_size"]
        self.shape = {"derm": (edge, edge, 3), "chest": (edge, edge), "volume": (edge, edge, edge)}[plan.kind]
        self.dtype = np.dtype(np.int16 if plan.kind == "volume" else np.uint8)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.plan.render().astype(dtype or self.dtype, copy=False)

    def __repr__(self) -> str:
        return f"LazyPicture({self.plan.id!r}, shape={self.shape})"


def check_sizes(seed: int, img_size: int, least: int, most: int, **counts: tuple[int, int]) -> None:
    """Refuse a negative seed, an edge that is not from ``least`` to ``most``, and counts below their least.

    Raises:
        ValueError: naming the argument.
    """
    if seed < 0:
        raise ValueError(f"seed is {seed}, but must be 0 or more.")
    if not least <= img_size <= most:
        raise ValueError(f"img_size is {img_size}, but must lie between {least} and {most}.")
    for name, (value, smallest) in counts.items():
        if value < smallest:
            raise ValueError(f"{name} is {value}, but must be at least {smallest}.")


def make_records(
    plans: Sequence[Plan], cache_dir: str | Path | None, num_workers: int, lazy: bool = False
) -> list[Record]:
    """Draw what is planned.

    Args:
        cache_dir: None keeps arrays in memory; a folder gets a file for every picture, whole or not at all, and only
            missing or broken ones are drawn.
        lazy: draw nothing now, see :py:class:`LazyPicture`; it goes without a folder.

    Raises:
        ValueError: when ``num_workers`` is negative, or ``lazy`` comes with a folder.

    Returns:
        the records, in the order of the plans.
    """
    if num_workers < 0:
        raise ValueError(f"num_workers is {num_workers}, but must be 0 (draw in this process) or more.")
    if lazy and cache_dir is not None:
        raise ValueError("lazy pictures are never written: leave cache_dir out, or lazy.")
    images: Iterable[Any]
    if lazy:
        images = [LazyPicture(plan) for plan in plans]
    elif cache_dir is None:
        images = _map(Plan.render, plans, num_workers)
    else:
        folder = Path(cache_dir).expanduser().resolve()
        images = _map(partial(_draw_file, folder=folder), plans, num_workers)
    return [
        {"image": image, "label": plan.label, "group": plan.group, "id": plan.id, "split": plan.split}
        for plan, image in zip(plans, images, strict=True)
    ]


def _map(work: Any, plans: Sequence[Plan], num_workers: int) -> list[Any]:
    if num_workers == 0 or len(plans) < 2:
        return [work(plan) for plan in plans]
    # A forked worker has everything imported already; a spawned one would first load torch for seconds.
    forks = "fork" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("fork" if forks else None)
    with ProcessPoolExecutor(num_workers, mp_context=context) as pool:
        return list(pool.map(work, plans, chunksize=max(1, min(16, len(plans) // (4 * num_workers)))))


def _draw_file(plan: Plan, folder: Path) -> str:
    folder = folder / f"{plan.kind}_v{RENDER_VERSION}_seed{plan.options['seed']}_{plan.options['img_size']}"
    path = folder / (plan.id + (".nii" if plan.kind == "volume" else ".png"))
    if path.exists() and check_file(path) is None:
        return str(path)
    folder.mkdir(parents=True, exist_ok=True)
    array = plan.render()
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as unfinished:
        drawn = Path(unfinished, path.name)
        if plan.kind == "volume":
            nibabel, _ = optional_import("nibabel")
            nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), drawn)
        else:
            pil_image, _ = optional_import("PIL.Image")
            pil_image.fromarray(array).save(drawn, compress_level=1)
        os.replace(drawn, path)
    return str(path)
