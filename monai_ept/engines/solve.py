# SPDX-License-Identifier: Apache-2.0

"""A head without training: all views of the training images once through the network, and ridge regression."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from monai_ept.data.meta_data import plain_image
from monai_ept.data.views import View, train_views
from monai_ept.engines.loss import image_weights
from monai_ept.engines.ridge import Ridge, folds, negative_log_likelihood, offset, sharpness, usual_sharpness
from monai_ept.methods import Method
from monai_ept.model import TunedViT
from monai_ept.networks.plain_answer import PlainAnswer
from monai_ept.networks.precision import autocast
from monai_ept.start import put_state, state_of

__all__ = [
    "Solution",
    "image_features",
    "solvable_layer",
    "solve_head",
    "solve_plain",
    "starts_of",
    "view_features",
]

STRENGTHS = (1.0, 0.3, 3.0)
"""Of the penalty, the usual one first: the others must be better by more than chance."""


@dataclass(frozen=True)
class Solution:
    """
    What solving has chosen.

    Args:
        strength: of the ridge's penalty.
        methods: with the starts that were chosen.
        sharpness: what scores were multiplied with.
        folds: how many the choices come from; 0 where they are the fixed values of one image per class.
        likelihood: mean log likelihood of images left out; None without folds.
        views: how many views of each image were looked at.
        adapted: whether the network keeps what it has learnt from images without labels; None where it had learnt
            nothing, or nobody was to ask.
        other_likelihood: of the network with the adaptation where it is not kept, and without where it is; None
            without folds.
        left_out: logits ``(images, classes)`` of every image by a head that has not seen its group; None without folds.
    """

    strength: float
    methods: tuple[Method, ...]
    sharpness: float
    folds: int
    likelihood: float | None
    views: int
    adapted: bool | None = None
    other_likelihood: float | None = None
    left_out: Tensor | None = field(default=None, repr=False, compare=False)

    @property
    def about_adapted(self) -> str:
        """What has become of the adaptation, in a sentence; empty where there was none to decide on."""
        if self.adapted is None:
            return ""
        if self.likelihood is None or self.other_likelihood is None:
            return (
                "the adaptation is not used: one image per class leaves none to confirm it with "
                "(check=False uses it unasked)"
            )
        with_, without = self.likelihood, self.other_likelihood
        if not self.adapted:
            with_, without = without, with_
        return (
            f"the adaptation is {'kept' if self.adapted else 'not used'}: mean log likelihood of images left out "
            f"{with_:.3f} with it, {without:.3f} without"
        )


def solvable_layer(net: TunedViT) -> nn.Linear:
    """
    The linear layer that is the network's whole head.

    Raises:
        ValueError: when the head has more than one.
    """
    layers = [module for module in net.head.modules() if isinstance(module, nn.Linear)]
    if len(layers) != 1:
        raise ValueError(
            f"method {net.method_name} has a head of {len(layers)} layers, which no closed form solves: "
            "choose another recipe than solve, or another method."
        )
    return layers[0]


def view_features(net: Any, loader: Iterable, *, device: torch.device, amp: str = "off") -> tuple[Tensor, Tensor]:
    """
    Features ``(images, views, features)`` of all training views, and the labels.

    Args:
        net: the network, or another module with its ``features`` and ``views``.
        loader: batches with "image" and "label", not augmented.
        device: where to compute.
        amp: as in ``at_precision``.
    """
    was = net.training
    net.eval()
    views, labels = train_views(net.views), []
    found: list[Tensor] = []
    try:
        for batch in loader:
            found.extend(image_features(net, image, views, device=device, amp=amp) for image in batch["image"])
            labels.append(torch.as_tensor(batch["label"]))
    finally:
        net.train(was)
    return torch.stack(found), torch.cat(labels)


def image_features(net: Any, image: Tensor, views: Sequence[View], *, device: torch.device, amp: str = "off") -> Tensor:
    """Features ``(views, features)`` of one image, which are the same to the bit with no other in the batch."""
    batch = plain_image(image)[None].to(device)
    with torch.no_grad(), autocast(device, amp):
        return net.features(torch.cat([view(batch) for view in views])).float().cpu()


def solve_head(
    net: TunedViT,
    loader: Iterable,
    groups: Sequence[str],
    *,
    task: str,
    device: torch.device,
    amp: str = "off",
    look: Callable[..., tuple[Tensor, Tensor]] = view_features,
) -> Solution:
    """
    Give a network the head that ridge regression finds, with probabilities that images left out have confirmed.

    The penalty, the start of EPT's prompts and the sharpness of the probabilities are chosen by leaving whole groups
    out. Another than the usual value is taken only if it is better by more than one standard error. What ``adapt`` has
    learnt is kept unless images left out are likelier without it, by more than one standard error again.

    Args:
        net: the network; its head changes, and the start of its prompts if it is a beginner's, or what it started from.
        loader: batches of all training images in the order of ``groups``, not augmented.
        groups: patient, study or lesion of each image.
        task: "multiclass" or "multilabel".
        device: where the features are computed.
        amp: as in ``at_precision``.
        look: what gives features as ``view_features`` does, of the network as it is when it is called.

    Raises:
        ValueError: when the head has more than one layer.
    """
    layer = solvable_layer(net)

    def tried(methods: tuple[Method, ...]) -> _Tried:
        _restart(net, methods)
        features, labels = look(net, loader, device=device, amp=amp)
        return _try(features.double(), labels, list(groups), task, net)

    start, adapted = net.start, None
    if start is not None and start.check and start.before is not None:
        adapted = state_of(net)
        put_state(net, start.before)
    best: _Tried | None = None
    for methods in starts_of(net):
        one = tried(methods)
        best = one if best is None or one.better_than(best) else best
    assert best is not None
    _restart(net, best.solution.methods)
    if adapted is not None:
        plain = state_of(net)
        put_state(net, adapted)
        best = _confirmed(tried(net.methods), best)
        if not best.solution.adapted:
            put_state(net, plain)
            net.start = None
    weight, bias = best.ridge.head(best.solution.sharpness, task)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return best.solution


def solve_plain(
    plain: PlainAnswer,
    net: TunedViT,
    loader: Iterable,
    groups: Sequence[str],
    *,
    task: str,
    device: torch.device,
    amp: str = "off",
    look: Callable[..., tuple[Tensor, Tensor]] = view_features,
) -> Solution:
    """
    Give the backbone as it came the head that solving finds for it.

    Args:
        plain: of the network; its head changes.
        net: the network.
        loader, groups, task, device, amp and look: as in ``solve_head``.
    """
    features, labels = look(plain, loader, device=device, amp=amp)
    found = _try(features.double(), labels, list(groups), task, net)
    plain.solve(*found.ridge.head(found.solution.sharpness, task))
    return found.solution


def starts_of(net: TunedViT) -> list[tuple[Method, ...]]:
    """The methods as they are, and with each other start that one of them offers."""
    methods = net.methods
    return [
        methods,
        *(
            (*methods[:position], other, *methods[position + 1 :])
            for position, method in enumerate(methods)
            for other in method.other_starts(net.vit)
        ),
    ]


def _restart(net: TunedViT, methods: tuple[Method, ...]) -> None:
    for now, then in zip(net.methods, methods, strict=True):
        if then != now:
            then.restart(net.vit)
    net.set_methods(methods)


@dataclass(frozen=True)
class _Tried:
    """The best of one set of features."""

    ridge: Ridge
    solution: Solution
    loss: Tensor | None  # of each image left out, times its weight

    def better_than(self, other: _Tried) -> bool:
        return self.loss is not None and other.loss is not None and _better(self.loss, other.loss)


def _confirmed(adapted: _Tried, plain: _Tried) -> _Tried:
    """The plain network if images left out are likelier without the adaptation, or none can say; else the adapted."""
    if adapted.loss is None or plain.loss is None:
        return replace(plain, solution=replace(plain.solution, adapted=False))
    kept = not _better(plain.loss, adapted.loss)
    one, other = (adapted, plain) if kept else (plain, adapted)
    return replace(one, solution=replace(one.solution, adapted=kept, other_likelihood=other.solution.likelihood))


def _better(loss: Tensor, than: Tensor) -> bool:
    """Whether one loss is smaller by more than a standard error of the difference, image by image."""
    gain = than - loss
    return bool(gain.mean() > gain.std() / math.sqrt(len(gain)))


def _try(features: Tensor, labels: Tensor, groups: list[str], task: str, net: TunedViT) -> _Tried:
    targets = labels.double()
    if task == "multiclass":
        targets = nn.functional.one_hot(labels.long(), net.num_classes).double()
    weights = image_weights(targets) if task == "multiclass" else torch.ones(len(targets), dtype=torch.double)

    def fit(rows: Tensor, strength: float) -> Ridge:
        views = features.shape[1]
        return Ridge.fit(
            features[rows].flatten(0, 1),
            targets[rows].repeat_interleave(views, 0),
            strength,
            weights[rows].repeat_interleave(views),
        )

    parts = folds(groups, targets, task)
    strength, factor, loss, left_out = STRENGTHS[0], usual_sharpness(net.num_classes, task), None, None
    if parts:
        for one in STRENGTHS:
            scores, prior = torch.zeros_like(targets), torch.zeros_like(targets)
            for kept, left in parts:
                ridge = fit(kept, one)
                scores[left], prior[left] = ridge.scores(features[left]).mean(1), ridge.prior
            found = sharpness(scores, prior, targets, task, weights=weights)
            logits = scores * found + offset(prior, task)
            lost = weights * negative_log_likelihood(logits, targets, task)
            if loss is None or _better(lost, loss):
                strength, factor, loss, left_out = one, found, lost, logits
    ridge = fit(torch.arange(len(targets)), strength)
    likelihood = None if loss is None else -float(loss.mean())
    chosen = Solution(strength, net.methods, factor, len(parts), likelihood, features.shape[1], left_out=left_out)
    return _Tried(ridge, chosen, loss)
