# SPDX-License-Identifier: Apache-2.0

"""What ``train.yaml`` of a bundle puts together, of settings alone: the training of ``monai-ept train``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.utils import set_determinism

from monai_ept.bundle.images_to_adapt_to import unlabelled_images
from monai_ept.checks import check_whole
from monai_ept.data import RecordSet, few_shot_split
from monai_ept.data.sources.recognise import recognise
from monai_ept.engines.recipe import recipe_of
from monai_ept.engines.training import Training
from monai_ept.metrics.positive_class import PositiveClass
from monai_ept.runs.build_network import make_network
from monai_ept.runs.data_loading import load_data

__all__ = ["find_data", "make_training", "read_seeds"]

VOLUME = {"spatial_dims": 3, "img_size": 32, "patch_size": 8, "in_channels": 1}
"""The network of volumes where nobody says another, as ``ept_volume`` has it."""


def find_data(
    images: str | Path | None, source: str | None = None, options: Mapping[str, Any] | None = None
) -> RecordSet:
    """
    Labelled images, read by the source that recognises them where none is named.

    Args:
        images: the folder, or a file that is a data set; None with a source that paints its own.

    Raises:
        ValueError: when there is nothing to read, or no such source or option.
        DataError: listing every problem of the data.
    """
    given = dict(options or {})
    if images is None and not (source or "").startswith("synthetic"):
        raise ValueError(
            "name a folder of labelled images ('monai-ept check FOLDER' says what is in one), or try it out with "
            "--source synthetic_derm."
        )
    if source is None:
        assert images is not None
        found = recognise(images)
        source, images, given = found.source, found.dataset_dir, {**found.options, **given}
    try:
        return load_data(source, images, options=given)
    except TypeError as error:
        raise ValueError(str(error)) from None


def make_training(
    data: RecordSet,
    *,
    network: Mapping[str, Any],
    recipe: Mapping[str, Any],
    shots: int = 5,
    test_fraction: float | None = None,
    seed: int = 0,
    positive: PositiveClass | None = None,
    unlabelled: str | None = None,
    adapted: Any = None,
    transforms: Mapping[str, Any] | None = None,
    **more: Any,
) -> Training:
    """
    Split, network and recipe of a training, ready to run.

    Args:
        network: arguments of ``make_network``; None is its default.
        adapted: what ``adapt`` wrote, instead.
        transforms: arguments of ``network_transforms`` that the network does not know.
        more: of ``Training``.

    Raises:
        ValueError: when things do not go together.
    """
    set_determinism(seed=seed)
    how = recipe_of(recipe)
    looked_for = positive or data.positive
    val = how.select == "val" or (looked_for is not None and looked_for.is_chosen)
    split = few_shot_split(data, shots, seed, test_fraction=test_fraction, val="shots" if val else "none")
    settings = {key: value for key, value in network.items() if value is not None}
    settings = {**(VOLUME if data.spatial_dims == 3 else {}), **settings, "seed": seed}
    adaptation = {"views": how.views, "amp": how.amp}
    return Training(
        make_network(data.class_names, adapted=adapted, **settings),
        split,
        how,
        data=data,
        seed=seed,
        positive=positive,
        unlabelled=unlabelled_images(unlabelled, data, split, adaptation),
        origin={
            "data": split.origin,
            "network": settings,
            "transforms": {**({"intensity_range": None} if data.spatial_dims == 3 else {}), **(transforms or {})},
        },
        **more,
    )


def read_seeds(text: str) -> list[int]:
    """
    Seeds as a command line has them.

    Raises:
        ValueError: when it names none, or one twice.

    Example::

        >>> read_seeds("0:3"), read_seeds("7"), read_seeds("2,3,5")
        ([0, 1, 2], [7], [2, 3, 5])
    """
    try:
        first, _, after = text.partition(":")
        seeds: Sequence[int] = range(int(first), int(after)) if after else [int(one) for one in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seed {text!r} is neither a number, nor several such as 0:5 (0 to 4) or 2,3,5.")
    return [check_whole("seed", seed, 0) for seed in seeds]
