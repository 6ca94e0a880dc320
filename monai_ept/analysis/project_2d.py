# SPDX-License-Identifier: Apache-2.0

"""Features in one and two dimensions, to be looked at."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from monai.utils import optional_import

__all__ = ["FEWEST_POINTS", "density_levels", "first_component", "plane", "tsne", "turned", "umap"]

FEWEST_POINTS = 30
"""Points that a density or a histogram needs; fewer are shown one by one. The line around nine tenths leaves three of
thirty points outside, and six bins hold five each: of fewer, single points decide where lines and bars end."""


def first_component(features: np.ndarray) -> np.ndarray:
    """Positions along the features' own first principal component, centred."""
    return _principal(features, 1)[:, 0]


def plane(features: np.ndarray) -> np.ndarray:
    """The first two principal components ``(images, 2)``, in units of the root of the total spread."""
    points = _principal(features, min(2, *features.shape)) / (np.sqrt(features.var(axis=0).sum()) or 1.0)
    return np.pad(points, ((0, 0), (0, 2 - points.shape[1])))


def _principal(features: np.ndarray, number: int) -> np.ndarray:
    """Positions along the main directions, each with the sign of its largest loading."""
    from sklearn.decomposition import PCA

    with np.errstate(invalid="ignore"):  # of images that are all alike it would know which share each direction has
        return np.asarray(PCA(number, svd_solver="full").fit_transform(features))


def turned(points: np.ndarray, to: np.ndarray) -> np.ndarray:
    """
    Points ``(images, 2)`` turned and mirrored, but not stretched, so that they lie as near to others as they can.

    Which way up a projection comes out is chance; two of the same images are easier to compare the same way up.
    """
    from scipy.linalg import orthogonal_procrustes

    centred, target = points - points.mean(axis=0), to - to.mean(axis=0)
    return np.asarray(centred @ orthogonal_procrustes(centred, target)[0])


def tsne(features: np.ndarray, start: np.ndarray, seed: int = 0) -> np.ndarray:
    """
    t-SNE ``(images, 2)``, its perplexity fitting the number of images.

    Args:
        start: where the images begin ``(images, 2)``; of whatever size, as scikit-learn shrinks its own start.
    """
    from sklearn.manifold import TSNE

    perplexity = min(30.0, max(2.0, (len(features) - 1) / 3))
    begin = (1e-4 * start / (start[:, 0].std() or 1.0)).astype(np.float32)
    model = TSNE(2, perplexity=perplexity, init=begin, random_state=seed)
    return _places(model, features - features.mean(axis=0))


def umap(features: np.ndarray, seed: int = 0) -> np.ndarray | None:
    """UMAP ``(images, 2)``; None where the package umap-learn is not installed."""
    module, found = optional_import("umap")
    if not found:
        return None
    return _places(module.UMAP(n_neighbors=min(15, len(features) - 1), random_state=seed), features)


def _places(model: Any, features: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(model.fit_transform(features), dtype=np.float64)


def density_levels(points: np.ndarray, xs: np.ndarray, ys: np.ndarray) -> tuple[np.ndarray, list[float]] | None:
    """
    A smooth density of points ``(points, 2)``, and its heights whose contours hold nine tenths and half of them.

    Returns:
        density ``(len(ys), len(xs))`` and ascending heights; None for points that are too few or lie on a line.
    """
    from scipy.stats import gaussian_kde

    if len(points) < FEWEST_POINTS or np.linalg.cond(np.cov(points.T)) > 1e6:
        return None
    density = gaussian_kde(points.T)
    grid = np.stack(np.meshgrid(xs, ys)).reshape(2, -1)
    levels = np.unique(np.quantile(density(points.T), [0.1, 0.5])).tolist()
    return density(grid).reshape(len(ys), len(xs)), levels
