# SPDX-License-Identifier: Apache-2.0

"""What came out, in sentences that are computed from the numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from monai_ept.analysis.distances import Change
from monai_ept.analysis.kept_attention import ScalingMaps
from monai_ept.analysis.prompt_sinks import LayerSinks
from monai_ept.analysis.temperature import TemperatureFit

__all__ = ["about_calibration", "about_distances", "about_kept", "about_sinks"]


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
    if share.clear:
        how = "tighter" if share.difference < 0 else "looser"
        said.append(
            f"Measured against the spread of all images, classes became {how}: {_percent(share.pretrained)} of it lies "
            f"within classes before, {_percent(share.tuned)} after ({_interval(share, 100, ' points')})."
        )
    else:
        said.append(
            "Measured against the spread of all images, classes are as tight as they were: "
            f"{_percent(share.pretrained)} of it lies within classes before, {_percent(share.tuned)} after, no "
            f"clear change ({_interval(share, 100, ' points')})."
        )
    if "silhouette" in changes:
        one = changes["silhouette"]
        said.append(
            f"The silhouette (1: every image far nearer to its own class than to any other; 0: on the border) "
            f"{_went(one)} from {_plain(one.pretrained)} to {_plain(one.tuned)}"
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
    return f"{'fell' if part < 0 else 'rose'} by {_percent(abs(part))}"


def _went(change: Change) -> str:
    return "rose" if change.difference > 0 else "fell" if change.difference < 0 else "stayed,"


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"


def _plain(value: float) -> str:
    return f"{value:.3f}".replace("-", "−")


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def _interval(change: Change, factor: float = 1, unit: str = "") -> str:
    if math.isnan(change.low):
        return "too few images for an interval"
    digits = 1 if factor == 100 else 3
    low, high = change.low * factor, change.high * factor
    difference = _signed(change.difference * factor, digits)
    return f"difference {difference}{unit}, 95 % interval {_signed(low, digits)} to {_signed(high, digits)}"


def about_kept(maps: ScalingMaps, class_names: Sequence[str]) -> list[str]:
    """Which layers, tokens, regions and classes keep how much of their attention."""
    patches = maps.patches.mean(axis=0)
    said = [f"Patches keep {_percent(patches.mean(), 0)} of their attention on average over layers and images"]
    if maps.num_prefix:
        name = "class token" if maps.num_prefix == 1 else "prefix tokens"
        said[0] += f", the {name} {_percent(maps.prefixes.mean(), 0)}"
    said[0] += "."
    if len(patches) > 1:
        least, most = int(patches.argmin()), int(patches.argmax())
        said.append(
            f"Layer {maps.layers[least] + 1} damps them most ({_percent(patches[least], 0)} kept), layer "
            f"{maps.layers[most] + 1} least ({_percent(patches[most], 0)})."
        )
    where = maps.to_map(maps.mean).mean(axis=0)
    middle = _middle(where.shape)
    if middle.any() and not middle.all():
        inside, rim = where[middle].mean(), where[~middle].mean()
        if abs(inside - rim) < 0.01:
            said.append(
                f"The middle of the image and its rim are damped alike ({_percent(inside)} and {_percent(rim)} kept)."
            )
        else:
            said.append(
                f"The {'middle' if inside < rim else 'rim'} of the image is damped more than the "
                f"{'rim' if inside < rim else 'middle'}: {_percent(inside)} kept in the middle, {_percent(rim)} at the "
                "rim."
            )
    present = np.flatnonzero(maps.counts > 0)
    if len(present) > 1:
        means = maps.class_means[present][..., maps.num_prefix :].mean(axis=(1, 2))
        low, high = present[means.argmin()], present[means.argmax()]
        said.append(
            f"Classes differ by at most {100 * (means.max() - means.min()):.2f} percentage points on average: "
            f"{class_names[high]} keeps most ({_percent(means.max())}), "
            f"{class_names[low]} least ({_percent(means.min())})."
        )
    return said


def _middle(shape: tuple[int, ...]) -> np.ndarray:
    """The central half of each side."""
    inside = [np.zeros(side, dtype=bool) for side in shape]
    for axis, side in zip(inside, shape, strict=True):
        axis[side // 4 : side - side // 4] = True
    return np.logical_and.outer(*inside)


def about_sinks(sinks: Sequence[LayerSinks]) -> list[str]:
    """Whether training moved the prompts."""
    if all(one.start is None for one in sinks):
        return ["Where the prompts started is not known: one prompt per token at 0 is also what folding leaves."]
    known = [one for one in sinks if one.start is not None]
    if not any(one.trains for one in known):
        value = ", ".join(sorted({f"{one.start:.3g}" for one in known}))
        return [f"c is fixed at {value} for all tokens: nothing in the attention was trained."]
    moved = float(np.sqrt(np.mean([one.moved**2 for one in known])))
    scatter = float(np.sqrt(np.mean([one.scatter**2 for one in known])))
    start = float(np.mean([one.start for one in known if one.start is not None]))
    if moved < 1.25 * scatter + 1e-6:
        return [
            f"Training left c where it started: {start:.3f}, with a distance of {moved:.4f} (root mean square) that is "
            f"no more than the scatter of the start values ({scatter:.4f}). What acts is the start value."
        ]
    far = max(known, key=lambda one: one.moved)
    means = [float(np.concatenate([one.prefix, one.patches]).mean()) for one in known]
    direction = (
        "down, so that tokens keep more of their attention" if np.mean(means) < start else "up, so that they keep less"
    )
    return [
        f"Training moved c away from its start of {start:.3f} by {moved:.3f} (root mean square; the start values "
        f"scatter by {scatter:.4f}), on average {direction}. Layer {far.layer + 1} moved farthest ({far.moved:.3f})."
    ]


def about_calibration(
    before: Mapping[str, float],
    after: Mapping[str, float] | None,
    fit: TemperatureFit | None,
    task: str,
    part: str,
    mix: float | None,
) -> list[str]:
    """
    How sure the network is, and what a temperature does for it.

    Args:
        before: of ``sureness`` at temperature 1.
        after: the same at the temperature; None when there is none.
        fit: how it was found; None when it was not found here.
        task: "multiclass" or "multilabel".
        part: which images it was measured on.
        mix: how far the shares of classes in the validation images are from those here (total variation).
    """
    sure, right = before["confidence"], before["right"]
    if task == "multiclass":
        verdict = (
            "too sure of itself"
            if sure > right + 0.01
            else "not sure enough"
            if sure < right - 0.01
            else "as sure as it is right"
        )
        said = [
            f"On the {part} images the network gives its answer {_percent(sure, 0)} probability on average and is "
            f"right in {_percent(right, 0)}: it is {verdict}. Expected calibration error {before['ece']:.3f}."
        ]
    else:
        said = [
            f"On the {part} images labels get {_percent(sure)} probability on average and {_percent(right)} are there. "
            f"Expected calibration error {before['ece']:.3f} (mean over labels)."
        ]
    if after is None:
        said.append(
            "There are no validation images, so no temperature was fitted: test images must not choose one. "
            "A split made with val='shots' has some."
        )
        return said
    if fit is not None:
        said.append(
            f"A temperature of {fit.temperature:.3g}, found on {fit.num_images} validation images (95 % interval "
            f"{fit.low:.3g} to {fit.high:.3g}), {_helped(before['ece'], after['ece'])} the error: {before['ece']:.3f} "
            f"before, {after['ece']:.3f} after. It changes no decision."
        )
        if fit.at_edge:
            said.append("It lies at the end of what was searched: these validation images cannot determine it.")
        elif fit.low < 1 < fit.high:
            said.append("The interval holds 1, which is no scaling: these validation images are too few to tell.")
        if mix is not None and mix > 0.2:
            said.append(
                f"Classes are mixed otherwise in the validation images ({_percent(mix, 0)} of them would have to "
                "change class); what that does to the probabilities no temperature can undo."
            )
    else:
        said.append(f"With the temperature in the delta file the error is {after['ece']:.3f}.")
    return said


def _helped(before: float, after: float) -> str:
    if abs(after - before) < 0.005:
        return "hardly changed"
    return "lowered" if after < before else "raised"
