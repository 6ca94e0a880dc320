# SPDX-License-Identifier: Apache-2.0

"""The analysis of a trained network in one call: numbers, pictures, and a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from monai_ept.analysis import figures
from monai_ept.analysis.classes import single_classes
from monai_ept.analysis.distances import Change, class_distances, compare_features
from monai_ept.analysis.features import Features, collect_features, collect_logits
from monai_ept.analysis.kept_attention import ScalingMaps
from monai_ept.analysis.page import Picture, Section, build_page, certainty_table, measures_table
from monai_ept.analysis.project_2d import tsne, turned, umap
from monai_ept.analysis.prompt_sinks import LayerSinks, learned_sinks
from monai_ept.analysis.sentences import about_calibration, about_distances, about_kept, about_sinks
from monai_ept.analysis.tables import (
    write_calibration,
    write_distances,
    write_kept,
    write_kept_tokens,
    write_per_class,
    write_points,
    write_prompts,
)
from monai_ept.analysis.temperature import TemperatureFit, fit_temperature, probabilities_at, sureness
from monai_ept.checks import check_whole
from monai_ept.data import FewShotSplit
from monai_ept.data.records import Record
from monai_ept.engines import network_transforms, task_of
from monai_ept.evaluation.gallery import picture_of
from monai_ept.files import remove_partials, usable_folder, write_whole
from monai_ept.model import TunedViT
from monai_ept.reporting.figure import save_figure

__all__ = ["Analysis", "analyze"]

MOST_EXAMPLES = 7
MOST_CELLS = 2_000_000


@dataclass(frozen=True)
class Analysis:
    """
    What an analysis found.

    Args:
        distances: measure → pretrained, tuned, and the interval of the difference, see ``compare_features``.
        temperature: the temperature that was found on validation images; None without any.
        before: calibration measures on the analysed images before temperature scaling, see ``sureness``.
        after: the same after it; None without a temperature.
        maps: the factors g; None where the method has none.
        sinks: the learned c of each layer; empty where the method has none.
        features: features and logits of both networks.
        sentences: what came out, by section.
        folder: where everything was written.
        paths: what was written, by what it is; ``paths["page"]`` is the page.
    """

    distances: dict[str, Change]
    temperature: TemperatureFit | None
    before: dict[str, float]
    after: dict[str, float] | None
    maps: ScalingMaps | None
    sinks: list[LayerSinks]
    features: Features
    sentences: dict[str, list[str]]
    folder: Path
    paths: dict[str, Path] = field(default_factory=dict)

    @property
    def numbers(self) -> dict[str, float]:
        """The scalars, by names that MLflow takes."""
        found = {}
        for name, one in self.distances.items():
            found.update({f"{name}_pretrained": one.pretrained, f"{name}_tuned": one.tuned})
        found.update({f"{name}_before": value for name, value in self.before.items()})
        if self.after is not None:
            found.update({f"{name}_after": value for name, value in self.after.items()})
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
        max_images: a random choice of so many is analysed if there are more; None takes all.
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
        records = list(getattr(images, part))
        val = images.val if val is None else val
    else:
        records = list(images)
    val = list(val or []) if part != "val" else []
    if not records:
        raise ValueError(f"there are no {part} images to analyse: choose another part, or another split.")
    total = len(records)
    if max_images is not None and total > check_whole("max_images", max_images, least=2):
        chosen = np.random.Generator(np.random.PCG64(seed)).permutation(total)[:max_images]
        records = [records[index] for index in sorted(chosen)]
    task = task_of(records)
    names = list(class_names or net.class_names or [f"class_{index}" for index in range(net.num_classes)])
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    folder = usable_folder(out_dir)
    remove_partials(folder, "*")
    net.to(device)

    run: dict[str, Any] = {"device": device, "batch_size": batch_size, "num_workers": num_workers}
    transform = network_transforms(net, **(transform_settings or {}))
    examples = _examples(records, names, task)
    features, maps = collect_features(net, records, transform, examples=list(examples), progress=progress, **run)
    classes, all_names = single_classes(features.labels, names)
    single = classes >= 0
    if len(np.unique(classes[single])) < 2:
        raise ValueError(f"the {part} images are all of one class: distances between classes need two.")
    val_logits = collect_logits(net, val, transform, **run) if val else None

    work = _Work(folder, part, task, names, all_names, classes, draw)
    work.about(net, source, len(records), total, seed)
    work.compare(features, seed)
    shown = {}
    if maps is not None and draw:
        seen = network_transforms(net, **{**(transform_settings or {}), "mean": 0.0, "std": 1.0})
        by_id = {record["id"]: record for record in records}
        shown = {
            identity: picture_of(seen({"image": by_id[identity]["image"], "id": identity})["image"])
            for identity in examples
        }
    sinks = learned_sinks(net)
    work.damping(net, maps, sinks, shown, examples)
    fit, before, after = work.calibration(features, val_logits, val, net.temperature, seed)
    page = build_page(title or f"What tuning did: {work.method}", work.phrases, work.short(), work.sections)
    work.paths["page"] = write_whole(folder / "analysis.html", page)
    result = Analysis(work.changes, fit, before, after, maps, sinks, features, work.sentences, folder, work.paths)
    content = {"about": work.phrases, "numbers": result.numbers, "sentences": work.sentences}
    work.paths["numbers"] = write_whole(
        folder / "analysis.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    )
    return result


class _Work:
    """Everything that becomes the page, in the order of its sections."""

    def __init__(
        self,
        folder: Path,
        part: str,
        task: str,
        names: list[str],
        all_names: list[str],
        classes: np.ndarray,
        draws: bool,
    ) -> None:
        self.folder, self.part, self.task, self.figures = folder, part, task, draws
        self.names, self.all_names, self.classes = names, all_names, classes
        self.paths: dict[str, Path] = {}
        self.sentences: dict[str, list[str]] = {}
        self.sections: list[Section] = []
        self.phrases: list[str] = []
        self.changes: dict[str, Change] = {}
        self.method = ""

    def draw(self, name: str, make: Callable[[], Any], caption: str, dpi: int = 150) -> list[Picture]:
        """One picture, or none where none are wanted."""
        if not self.figures:
            return []
        figure = make()
        self.paths[name] = save_figure(figure, self.folder / f"{name}.png", dpi)
        return [Picture(self.paths[name], caption, round(100 * figure.get_figwidth()))]

    def about(self, net: TunedViT, source: str, number: int, total: int, seed: int) -> None:
        self.method = net.method_name
        what = (
            f"{number} {self.part} images" if number == total else f"{number} of {total} {self.part} images, at random"
        )
        self.phrases = [
            f"method {self.method}",
            f"backbone {net.backbone_name}, {'×'.join(map(str, net.vit.img_size))}",
            what + (f" of {source}" if source else ""),
            f"{len(self.names)} classes" + (", several labels per image" if self.task == "multilabel" else ""),
            f"seed {seed}",
        ]

    def short(self) -> list[str]:
        """The sentences that matter most."""
        said = self.sentences
        chosen = [*said["features"][1:2], *said["features"][-1:], *said["attention"][:1], *said["prompts"][:1]]
        return [*chosen, *said["calibration"][:2]]

    def compare(self, features: Features, seed: int) -> None:
        single = self.classes >= 0
        classes, names = self.classes[single], self.all_names
        pretrained, tuned = features.pretrained[single], features.tuned[single]
        groups = [group for group, one in zip(features.groups, single, strict=True) if one]
        self.changes, parts = compare_features(pretrained, tuned, classes, groups, len(names), seed=seed)
        both = [class_distances(x, classes, len(names)) for x in (pretrained, tuned)]
        counts = [int((classes == k).sum()) for k in range(len(names))]
        self.paths["distances"] = write_distances(self.folder, self.changes)
        self.paths["per_class"] = write_per_class(self.folder, names, counts, both)
        present = int((np.asarray(counts) > 0).sum())
        self.sentences["features"] = about_distances(self.changes, present)

        projections = self.projections(pretrained, tuned, seed)
        if projections:
            ids = [identity for identity, one in zip(features.ids, single, strict=True) if one]
            self.paths["points"] = write_points(self.folder, ids, classes, names, projections)
        narrower, of = figures.count_narrower(pretrained, tuned, classes, len(names))
        pictures = [
            *self.draw(
                "components",
                lambda: figures.draw_components(pretrained, tuned, classes, names),
                "How wide each class is: positions of its images along its own main direction. Where blue is narrower "
                f"than the black line, tuning has pulled the class together: so it is in {narrower} of {of} classes.",
            ),
            *self.draw(
                "densities",
                lambda: figures.draw_densities(pretrained, tuned, classes, names),
                "Where each class lies among all images (grey), seen along the two main directions: the dark area "
                "holds half of the class, the outer line nine tenths, the cross its middle. Below is turned to match.",
            ),
        ]
        for name, (before, after) in projections.items():
            pictures.extend(
                self.draw(
                    name.lower().replace("-", ""),
                    partial(figures.draw_neighbours, before, after, classes, names, name),
                    f"Which images are neighbours ({name}, same seed for both): dots of one colour close together are "
                    "a class that the features tell apart. Distances between far clusters mean nothing here.",
                )
            )
        notes = [
            "Both networks saw the same images. Intervals: bootstrap over groups (patients, lesions), the same groups "
            "for both networks, 500 resamples."
        ]
        if parts:
            notes.append(
                f"Linear separability: logistic regression on standardised features (C = 0.1), cross-validated in "
                f"{parts} parts with every group in one part only. With so few images and so many features, some of "
                f"the spread lies between classes by chance: about "
                f"{100 * (present - 1) / max(len(classes) - 1, 1):.1f} % of it."
            )
        left_out = int((~single).sum())
        if self.task == "multilabel":
            notes.append(
                "For distances an image counts for its label if it has only one, and as “no label” if it has none; "
                f"{left_out} images with several labels are left out."
            )
        self.sections.append(
            Section(
                "Features: are classes tighter, and easier to tell apart?",
                self.sentences["features"],
                measures_table(self.changes),
                pictures,
                notes,
            )
        )

    def projections(
        self, pretrained: np.ndarray, tuned: np.ndarray, seed: int
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Places of all images in two dimensions, where pictures are wanted."""
        if not self.figures:
            return {}
        found = {}
        for name, project in (("t-SNE", tsne), ("UMAP", umap)):
            before, after = project(pretrained, seed), project(tuned, seed)
            if before is not None and after is not None:
                found[name] = (before, turned(after, before))
        return found

    def damping(
        self,
        net: TunedViT,
        maps: ScalingMaps | None,
        sinks: list[LayerSinks],
        shown: dict[str, np.ndarray],
        examples: dict[str, int],
    ) -> None:
        self.sentences["attention"] = []
        self.sentences["prompts"] = []
        if maps is None:
            why = f"Method {self.method} does not scale attention: there are no factors g to show."
            if any(getattr(method, "embed", "") in ("add", "multiply") for method in net.methods):
                why = "Prompts that are added to scores or multiplied with them move attention between tokens and keep "
                why += "all of it: there are no factors g to show."
            self.sections.append(Section("Attention: which regions are damped?", [why]))
            return
        self.sentences["attention"] = about_kept(maps, self.names)
        self.paths["kept"] = write_kept(self.folder, maps, self.names)
        if maps.mean.size * (1 + len(self.names)) <= MOST_CELLS:
            self.paths["kept_tokens"] = write_kept_tokens(self.folder, maps, self.names)
        titles = {identity: self.names[k] for identity, k in examples.items()}
        volume = " (middle slice of the volume)" if len(maps.grid) == 3 else ""
        pictures = [
            *self.draw(
                "kept_layers",
                lambda: figures.draw_layers(maps, self.names),
                "How much of its attention a token keeps in each layer (left), and which classes differ from the rest "
                "(right; red keeps more, blue less).",
            ),
            *self.draw(
                "kept_maps",
                lambda: figures.draw_layer_maps(maps),
                f"Where in the image attention is damped, layer by layer{volume}, mean of all images: dark is damped "
                "more. Each map has its own range of colours, written below it.",
            ),
        ]
        if (maps.counts > 0).sum() > 1:
            pictures.extend(
                self.draw(
                    "kept_classes",
                    lambda: figures.draw_class_maps(maps, self.names),
                    f"Where classes differ{volume}, mean of all layers: red keeps more attention there than the "
                    "average image, blue less.",
                )
            )
        if shown and self.figures:
            pictures.extend(
                self.draw(
                    "kept_examples",
                    lambda: figures.draw_examples(maps, shown, titles, examples),
                    f"Single images{volume} with their factors laid over them: yellow patches keep most of their "
                    "attention, dark blue ones least; the range is written above each.",
                    dpi=110,  # photographs make large files
                )
            )
        self.sections.append(
            Section(
                "Attention: which regions are damped?",
                self.sentences["attention"],
                "",
                pictures,
                [
                    "g is the sum of a token's attention weights once the prompts' columns are dropped, mean over "
                    "heads: 1 is as without prompts, 0 is nothing left."
                ],
            )
        )
        if not sinks:
            why = "These prompts (scaled_concat) act by a number that depends on the image: there is no c to show."
            self.sections.append(Section("Prompts: did training move them?", [why]))
            return
        self.sentences["prompts"] = about_sinks(sinks)
        self.paths["prompts"] = write_prompts(self.folder, sinks)
        random = any(one.scatter for one in sinks)
        pictures = self.draw(
            "prompt_values",
            lambda: figures.draw_sinks(sinks),
            "The number c of every token (c = logsumexp of its prompts; more damps more) against where it started.",
        )
        self.sections.append(
            Section(
                "Prompts: did training move them?",
                self.sentences["prompts"],
                "",
                pictures,
                ["Start values are drawn at random and not kept: the grey band is their distribution."]
                if random
                else [],
            )
        )

    def calibration(
        self,
        features: Features,
        val_logits: np.ndarray | None,
        val: Sequence[Record],
        stored: float,
        seed: int,
    ) -> tuple[TemperatureFit | None, dict[str, float], dict[str, float] | None]:
        logits, labels = features.logits, features.labels
        fit, temperature, mix = None, stored, None
        if val_logits is not None:
            val_labels = np.asarray([record["label"] for record in val], dtype=np.int64)
            fit = fit_temperature(val_logits, val_labels, self.task, [str(one["group"]) for one in val], seed=seed)
            temperature = fit.temperature
            mix = float(np.abs(_shares(val_labels, len(self.names)) - _shares(labels, len(self.names))).sum() / 2)
        before = sureness(logits, labels, 1.0, self.task)
        after = sureness(logits, labels, temperature, self.task) if fit is not None or stored != 1 else None
        self.sentences["calibration"] = about_calibration(before, after, fit, self.task, self.part, mix)
        self.paths["calibration"] = write_calibration(self.folder, before, after, fit)
        titles, values = ["as trained"], [probabilities_at(logits, 1.0, self.task)]
        if after is not None:
            titles.append(f"temperature {temperature:.3g}")
            values.append(probabilities_at(logits, temperature, self.task))
        pictures = self.draw(
            "reliability",
            lambda: figures.draw_calibration(values, titles, labels, self.task),
            "How often the network is right (dots, with 95 % intervals) against how sure it says it is: dots below the "
            "diagonal are too sure. Below, how many answers are how sure.",
        )
        table = certainty_table(before, after)
        notes = ["The temperature was found on validation images alone."] if fit is not None else []
        if self.task == "multilabel":
            notes.append("Titles give the error of all labels taken together; the sentence gives the mean over labels.")
        self.sections.append(
            Section(
                "Probabilities: is it as sure as it is right?", self.sentences["calibration"], table, pictures, notes
            )
        )
        return fit, before, after


def _shares(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """How the labels are shared out among the classes."""
    counts = labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels, minlength=num_classes)
    return np.asarray(counts / max(counts.sum(), 1))


def _examples(records: Sequence[Record], names: Sequence[str], task: str) -> dict[str, int]:
    """The first image of each class, for as many classes as there is room."""
    labels = np.asarray([record["label"] for record in records], dtype=np.int64)
    classes, _ = single_classes(labels, names)
    found: dict[str, int] = {}
    for k in range(len(names)):
        where = np.flatnonzero(classes == k)
        if len(where) and len(found) < MOST_EXAMPLES:
            found[records[where[0]]["id"]] = k
    return found
