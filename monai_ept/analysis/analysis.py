# SPDX-License-Identifier: Apache-2.0

"""The analysis of a trained network in one call: numbers, pictures, and a page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from monai_ept.analysis.collect import Features, collect_features, collect_logits
from monai_ept.analysis.distances import Change, single_classes
from monai_ept.analysis.image_choice import choose_images
from monai_ept.analysis.kept_attention import ScalingMaps
from monai_ept.analysis.prompt_sinks import LayerSinks, learned_sinks
from monai_ept.analysis.sections.attention import attention_section
from monai_ept.analysis.sections.calibration import calibration_section, measure_calibration
from monai_ept.analysis.sections.features import features_section
from monai_ept.analysis.sections.output import Output
from monai_ept.analysis.sections.prompts import prompts_section
from monai_ept.analysis.temperature import TemperatureFit
from monai_ept.data import FewShotSplit
from monai_ept.data.records import Record
from monai_ept.engines import network_transforms, task_of
from monai_ept.evaluation.gallery import picture_of
from monai_ept.files import remove_partials, usable_folder, write_whole
from monai_ept.metrics.checked_batch import numbered_classes
from monai_ept.model import TunedViT
from monai_ept.networks.device import usable_device
from monai_ept.reporting.page import build_page

__all__ = ["Analysis", "analyze"]

MOST_EXAMPLES = 7
SECTIONS = ("features", "attention", "prompts", "calibration")


@dataclass(frozen=True)
class Analysis:
    """What an analysis found."""

    distances: dict[str, Change]  # of each measure of ``compare_features``
    temperature: TemperatureFit | None  # found on validation images; None without any
    before: dict[str, float]  # ``sureness`` on the analysed images before temperature scaling
    after: dict[str, float] | None  # the same after it; None without a temperature
    maps: ScalingMaps | None  # the factors g; None where the method has none
    sinks: list[LayerSinks]  # the learned c of each layer; empty where the method has none
    features: Features  # features and logits of both networks
    sentences: dict[str, list[str]]  # what came out, by section
    folder: Path  # where everything was written
    paths: dict[str, Path] = field(default_factory=dict)  # what was written, by what it is; "page" is the page

    @property
    def numbers(self) -> dict[str, float]:
        """The scalars, by names that MLflow takes."""
        found = {}
        for name, one in self.distances.items():
            found.update({f"{name}_pretrained": one.pretrained, f"{name}_tuned": one.tuned})
        found.update({f"{name}_before": value for name, value in self.before.items()})
        found.update({f"{name}_after": value for name, value in (self.after or {}).items()})
        if self.temperature is not None:
            found["temperature"] = self.temperature.temperature
        if self.maps is not None:
            found["kept_patches"] = float(self.maps.patches.mean())
            if self.maps.num_prefix:
                found["kept_prefix"] = float(self.maps.prefixes.mean())
        moved = [one.moved**2 for one in self.sinks if one.start is not None and one.trains]
        if moved:
            found["prompts_moved"] = float(np.sqrt(np.mean(moved)))
        return {name: float(value) for name, value in found.items() if np.isfinite(value)}

    def __str__(self) -> str:
        return "\n".join(sentence for part in self.sentences.values() for sentence in part)


def analyze(
    net: TunedViT,
    images: FewShotSplit | Sequence[Record],
    *,
    val: Sequence[Record] | None = None,
    part: str = "test",
    out_dir: str | Path = "analysis",
    class_names: Sequence[str] | None = None,
    title: str | None = None,
    max_images: int | None = 500,
    transform_settings: Mapping[str, Any] | None = None,
    draw: bool = True,
    seed: int = 0,
    device: str | torch.device | None = None,
    batch_size: int = 32,
    num_workers: int = 0,
    progress: bool = False,
) -> Analysis:
    """
    Look at what tuning did to the features of a network, to its attention, and at how sure it is.

    The network stays as it is: ``result.temperature.temperature`` may be given to ``net.temperature``, or to a delta
    file with ``store_temperature``.

    Args:
        net: the trained network.
        images: a split, of which ``part`` is analysed; or labelled records, none of which should have trained it.
        val: validation records that the temperature is found on; those of the split by default.
        part: "test", "val" or "train" of the split.
        out_dir: where to write.
        class_names: one name per class, those of the network by default.
        title: headline of the page.
        max_images: a random choice of so many is analysed if there are more, see ``choose_images``; None takes all.
        transform_settings: what ``network_transforms`` is given beyond what the network knows.
        draw: with pictures; without them the page has the numbers and sentences alone.
        seed: of the choice, the cross-validation, the bootstrap and the projections.
        device: CUDA if there is a card, else CPU, by default.
        batch_size: images at a time.
        num_workers: processes that load images.
        progress: show a bar.

    Raises:
        ValueError: when there are no images, or only one class among them.
        WriteError: when the folder cannot be written.

    Returns:
        numbers, sentences and paths.

    Example::

        result = analyze(net, split, out_dir="analysis")
        print(result)
        net.temperature = result.temperature.temperature
    """
    source = ""
    if isinstance(images, FewShotSplit):
        source = images.source
        every = list(getattr(images, part))
        val = images.val if val is None else val
    else:
        every = list(images)
    val = list(val or []) if part != "val" else []
    if not every:
        raise ValueError(f"there are no {part} images to analyse: choose another part, or another split.")
    records = choose_images(every, max_images, net.num_classes, seed)
    task = task_of(records)
    names = list(class_names or net.class_names or numbered_classes(net.num_classes))
    labels = np.asarray([record["label"] for record in records], dtype=np.int64)
    classes, all_names = single_classes(labels, names)
    if len(np.unique(classes[classes >= 0])) < 2:
        raise ValueError(f"the {part} images are all of one class: distances between classes need two.")
    device = usable_device(device)
    out = Output(usable_folder(out_dir), draw)
    remove_partials(out.folder, "*")
    net.to(device)

    run: dict[str, Any] = {"device": device, "batch_size": batch_size, "num_workers": num_workers}
    settings = transform_settings or {}
    transform = network_transforms(net, **settings)
    firsts = [int(np.flatnonzero(classes == k)[0]) for k in range(len(names)) if (classes == k).any()][:MOST_EXAMPLES]
    features, maps = collect_features(net, records, transform, progress=progress, **run)
    val_logits = collect_logits(net, val, transform, **run) if val else None
    calibration = measure_calibration(
        *(features.logits, labels, task),
        stored=net.temperature,
        val_logits=val_logits,
        val=val,
        groups=features.groups,
        seed=seed,
    )
    sinks = learned_sinks(net)
    shown: dict[int, tuple[str, np.ndarray]] = {}
    if maps is not None and draw:
        visible = network_transforms(net, **{**settings, "mean": 0.0, "std": 1.0})
        shown = {row: (names[classes[row]], picture_of(visible(records[row])["image"])) for row in firsts}

    sections = {}
    sections["features"], distances = features_section(out, features, classes, all_names, task=task, seed=seed)
    sections["attention"] = attention_section(out, net, maps, names, shown)
    if maps is not None:
        sections["prompts"] = prompts_section(out, sinks)
    sections["calibration"] = calibration_section(out, calibration, features.logits, labels, task=task, part=part)

    number, total = len(records), len(every)
    what = f"{number} {part} images" if number == total else f"{number} of {total} {part} images, drawn by class"
    about = [
        f"method {net.method_name}",
        f"backbone {net.backbone_name}, {'×'.join(map(str, net.vit.img_size))}",
        what + (f" of {source}" if source else ""),
        f"{len(names)} classes{', several labels per image' if task == 'multilabel' else ''}",
        f"seed {seed}",
    ]
    said = {name: list(sections[name].sentences) if name in sections else [] for name in SECTIONS}
    first = said["features"][1:2] + said["features"][3:] or said["features"][:]
    first += [*said["attention"][:1], *said["prompts"][:1], *said["calibration"][:2]]
    page = build_page(title or f"What tuning did: {net.method_name}", about, first, list(sections.values()))
    out.paths["page"] = write_whole(out.folder / "analysis.html", page)
    result = Analysis(
        *(distances, calibration.fit, calibration.before, calibration.after, maps, sinks, features),
        *(said, out.folder, out.paths),
    )
    content = {"about": about, "numbers": result.numbers, "sentences": said}
    text = json.dumps(content, indent=1, ensure_ascii=False)
    out.paths["numbers"] = write_whole(out.folder / "analysis.json", text + "\n")
    return result
