# SPDX-License-Identifier: Apache-2.0

"""Are classes tighter, and easier to tell apart? ``distances.csv``, ``per_class.csv`` and ``points.csv``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from monai_ept.analysis.collect import Features
from monai_ept.analysis.distances import Change, class_distances, compare_features
from monai_ept.analysis.figures.class_features import (
    count_narrower,
    draw_components,
    draw_densities,
    draw_neighbours,
)
from monai_ept.analysis.project_2d import tsne, turned, umap
from monai_ept.analysis.sections.output import Output
from monai_ept.reporting.numbers import decimal, measured, percent
from monai_ept.reporting.page import Cell, Section, Table

__all__ = ["about_distances", "features_section"]

MEASURES = {
    "within_share": ("Within-class share of the spread", "Σ_W / (Σ_W + Σ_B); has no unit, lower is tighter", -1),
    "silhouette": ("Silhouette", "from −1 to 1, higher is better separated", 1),
    "separability": ("Linear separability", "balanced accuracy on groups not seen, higher is better", 1),
    "within": ("Within-class spread, trace of Σ_W", "the paper's intra-class distance, in the features' own unit", 0),
    "between": ("Between-class spread, trace of Σ_B", "in the features' own unit", 0),
    "total": ("Spread of all images", "the sum of both: how large the features are", 0),
}
"""Title, explanation, and the direction that is good: 1 up, −1 down, 0 neither."""


def features_section(
    out: Output, features: Features, classes: np.ndarray, class_names: Sequence[str], *, task: str, seed: int
) -> tuple[Section, dict[str, Change]]:
    """
    Compare the features of the tuned network with those of the pretrained one.

    Args:
        out: where to write.
        features: of both networks.
        classes: which class each image counts as, see ``single_classes``; -1 is left out.
        class_names: one name per class.
        task: "multiclass" or "multilabel".
        seed: of the bootstrap, the cross-validation and the projections.

    Returns:
        the section, and the measures with the intervals of their differences.
    """
    single = np.flatnonzero(classes >= 0)
    left_out, classes = len(classes) - len(single), classes[single]
    both = pretrained, tuned = features.pretrained[single], features.tuned[single]
    groups = [features.groups[index] for index in single]
    changes, parts = compare_features(*both, classes, groups, len(class_names), seed=seed)
    counts = np.bincount(classes, minlength=len(class_names))
    present = int((counts > 0).sum())

    out.csv(
        "distances",
        ["measure", "pretrained", "tuned", "difference", "difference_low", "difference_high"],
        [[name, one.pretrained, one.tuned, one.difference, one.low, one.high] for name, one in changes.items()],
    )
    spreads = [class_distances(x, classes, len(class_names)) for x in both]
    shares = [one.per_class / one.total if one.total else np.full(len(class_names), np.nan) for one in spreads]
    columns = [class_names, counts, *(one.per_class for one in spreads), *shares]
    header = ["class", "images", "within_pretrained", "within_tuned", "within_share_pretrained", "within_share_tuned"]
    out.csv("per_class", header, zip(*columns, strict=True))

    narrower, of = count_narrower(*both, classes, len(class_names))
    pictures = out.picture(
        "components",
        draw_components,
        *(pretrained, tuned, classes, class_names),
        caption="How wide each class is: positions of its images along its own main direction. Where blue is narrower "
        f"than the black line, tuning has pulled the class together: so it is in {narrower} of {of} classes.",
    )
    pictures += out.picture(
        "densities",
        draw_densities,
        *(pretrained, tuned, classes, class_names),
        caption="Where each class lies among all images (grey), seen along the two main directions: the dark area "
        "holds half of the class, the outer line nine tenths, the cross its middle. Below is turned to match.",
    )
    projections = _projections(pretrained, tuned, seed) if out.draws else {}
    for name, places in projections.items():
        pictures += out.picture(
            name.lower().replace("-", ""),
            draw_neighbours,
            *(*places, classes, class_names, name),
            caption=f"Which images are neighbours ({name}, same seed for both): dots of one colour close together are "
            "a class that the features tell apart. Distances between far clusters mean nothing here.",
        )
    if projections:
        header = [f"{name}_{side}_{axis}" for name in projections for side in ("pretrained", "tuned") for axis in "xy"]
        points = np.concatenate([points for places in projections.values() for points in places], axis=1)
        names = [[features.ids[index], class_names[k]] for index, k in zip(single, classes, strict=True)]
        rows = [[*name, *place] for name, place in zip(names, points, strict=True)]
        out.csv("points", ["id", "class", *header], rows)

    notes = [
        "Both networks saw the same images. Intervals: bootstrap over groups (patients, lesions), the same groups "
        "for both networks, 500 resamples."
    ]
    if parts:
        notes.append(
            f"Linear separability: logistic regression on standardised features (C = 0.1), cross-validated in "
            f"{parts} parts with every group in one part only. With so few images and so many features, some of "
            f"the spread lies between classes by chance: about "
            f"{percent((present - 1) / max(len(classes) - 1, 1))} of it."
        )
    if task == "multilabel":
        notes.append(
            "For distances an image counts for its label if it has only one, and as “no label” if it has none; "
            f"{left_out} images with several labels are left out."
        )
    sentences = about_distances(changes, present)
    title = "Features: are classes tighter, and easier to tell apart?"
    return Section(title, sentences=sentences, tables=[_table(changes)], pictures=pictures, notes=notes), changes


def _table(changes: Mapping[str, Change]) -> Table:
    """The measures with their difference and its interval; a measure without a good direction gets no verdict."""
    rows: list[list[str | Cell]] = []
    for name, (title, what, good) in MEASURES.items():
        if name not in changes:
            continue
        one = changes[name]
        verdict = Cell("no clear change", kind="same")
        if one.clear and good:
            better = one.difference * good > 0
            verdict = Cell("better", kind="good") if better else Cell("worse", kind="bad")
        elif one.clear:
            verdict = Cell("lower" if one.difference < 0 else "higher")
        difference, low, high = (measured(value, signed=True) for value in (one.difference, one.low, one.high))
        interval = Cell(difference, below=[] if np.isnan(one.low) else [f"{low} to {high}"])
        rows.append([Cell(title, below=[what]), measured(one.pretrained), measured(one.tuned), interval, verdict])
    return Table(["measure", "pretrained", "tuned", "difference, 95 % interval", ""], rows, numbers=(1, 2, 3))


def _projections(pretrained: np.ndarray, tuned: np.ndarray, seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Places of all images in two dimensions."""
    found = {}
    for name, project in (("t-SNE", tsne), ("UMAP", umap)):
        before, after = project(pretrained, seed), project(tuned, seed)
        if before is not None and after is not None:
            found[name] = (before, turned(after, before))
    return found


def about_distances(changes: Mapping[str, Change], num_classes: int) -> list[str]:
    """
    How the features of the tuned network differ from those of the pretrained one.

    Args:
        changes: of ``compare_features``.
        num_classes: classes that have images.
    """
    within, share = changes["within"], changes["within_share"]
    said = [
        f"The within-class spread (trace of Σ_W) {_moved(within)}, from {within.pretrained:.4g} to {within.tuned:.4g}; "
        f"the spread of all images together {_moved(changes['total'])}."
    ]
    lies = f"{percent(share.pretrained)} of it lies within classes before, {percent(share.tuned)} after"
    how, verdict = f"are as tight as they were: {lies}, no clear change", _interval(share, 100, " points")
    if share.clear:
        how = f"became {'tighter' if share.difference < 0 else 'looser'}: {lies}"
    said.append(f"Measured against the spread of all images, classes {how} ({verdict}).")
    if "silhouette" in changes:
        one = changes["silhouette"]
        went = "rose" if one.difference > 0 else "fell" if one.difference < 0 else "stayed,"
        said.append(
            f"The silhouette (1: every image far nearer to its own class than to any other; 0: on the border) "
            f"{went} from {decimal(one.pretrained)} to {decimal(one.tuned)}"
            f"{'' if one.clear else ', no clear change'} ({_interval(one)})."
        )
    if "separability" in changes:
        one = changes["separability"]
        how = "does as well as before, as far as these images can tell"
        if one.clear:
            how = f"does {'better' if one.difference > 0 else 'worse'}"
        said.append(
            f"A linear classifier on the features, tested on groups it has not seen, {how}: balanced accuracy "
            f"{one.pretrained:.3f} before, {one.tuned:.3f} after ({_interval(one)}; "
            f"guessing gives {1 / num_classes:.3f})."
        )
    return said


def _moved(change: Change) -> str:
    if not change.pretrained or abs(change.difference / change.pretrained) < 5e-4:
        return "did not change"
    part = change.difference / change.pretrained
    return f"{'fell' if part < 0 else 'rose'} by {percent(abs(part))}"


def _interval(change: Change, factor: float = 1, unit: str = "") -> str:
    if np.isnan(change.low):
        return "too few images for an interval"
    digits = 1 if factor == 100 else 3
    ends = (change.difference, change.low, change.high)
    difference, low, high = (decimal(factor * value, digits, signed=True) for value in ends)
    return f"difference {difference}{unit}, 95 % interval {low} to {high}"
