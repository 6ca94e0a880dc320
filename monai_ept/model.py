# SPDX-License-Identifier: Apache-2.0

"""A frozen backbone, a method that adapts it, and a head.

Longer than our files are: it is one class, whose docstrings are what users read.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from monai_ept.checks import check_choice, check_number, check_whole, flag
from monai_ept.data.meta_data import plain_image
from monai_ept.data.views import VIEW_SETS, mean_over_views
from monai_ept.delta import DeltaError, fingerprint, read_delta, write_delta
from monai_ept.delta_contents import build_for, check_claims, describe, described_settings, take_over
from monai_ept.methods import Method, build_methods
from monai_ept.metrics.conformal import PredictionSets
from monai_ept.networks import create_backbone, linear_head, tuners, tuners_disabled, vit_face
from monai_ept.networks.embedded_weights import generations
from monai_ept.networks.plain_answer import PlainAnswer
from monai_ept.networks.readout import check_readout, read_out, readout_width
from monai_ept.networks.tuner import copied, innermost, own_modules, own_name, own_parameters, without_tuners
from monai_ept.start import Start, start_in, start_network

__all__ = ["EPTWrapper", "ParameterCount", "TunedViT"]


MOST_CLASSES = 100_000


class ParameterCount(NamedTuple):
    """
    How many numbers there are.

    Args:
        backbone: in the backbone as it came, trained or not.
        delta: trained in or around the backbone.
        head: in the classification head, always trained.
    """

    backbone: int
    delta: int
    head: int

    @property
    def trained(self) -> int:
        """All that training changes, which is what a delta file holds, beside a solved head that is kept."""
        return self.delta + self.head


class TunedViT(nn.Module):
    """
    A pretrained vision transformer, frozen, with a tuning method and a classification head.

    What requires a gradient is what the method trains: the optimizer, the counts and the delta file read that and
    nothing else. A module given as ``backbone`` is copied, so that it stays as it was.

    Logits are divided by ``net.temperature``, 1.0 unless it was set. ``monai-ept analyze --calibrate`` finds one on
    validation images; it is no part of the training, and the delta file keeps it.

    Args:
        backbone: name of a timm ViT, or a module: a timm ViT or a MONAI ``ViT``, 2-D or 3-D.
        num_classes: number of logits.
        method: name of a method (see ``list_methods``), a ``Method``, a mapping with ``name`` and settings, a
            ``peft.PeftConfig``, or a list of these to apply one after another.
        pretrained: for a backbone by name: True (hub), False (random), or the path of a local checkpoint.
        img_size: size of the images; the backbone's own by default.
        in_channels: channels of the images; a backbone given as a module knows its own.
        backbone_settings: of a backbone by name, architecture arguments such as ``{"init_values": 1e-5}``, see
            ``create_backbone``; the delta file keeps them.
        dropout: dropout before the head.
        class_names: names of the classes, kept in the delta file.
        backbone_name: what a delta file calls a backbone that is given as a module; its class by default.
        readout: what the head reads: "pooled", the backbone's own pooled features, or a number of its last blocks,
            of each of which it reads the class token and the mean of the patches. By default "pooled", unless the
            recipe of a training wants another.
        views: "one", "upright" or "turned": over how many views of an image the logits are averaged in evaluation
            mode, see ``monai_ept.data.test_views``; "one" by default, likewise.
        settings: settings of a method given by name.

    Raises:
        ValueError: when an argument is out of range.
        TypeError: when the backbone, or its attention, is of a class that cannot be adapted.

    Example::

        >>> net = TunedViT("vit_tiny_patch16_224", num_classes=7, method="ept", prompt_length=20)
        >>> net(torch.rand(2, 3, 224, 224)).shape
        torch.Size([2, 7])
        >>> net.count()
        ParameterCount(backbone=5524416, delta=47280, head=1351)
    """

    _temperature: Tensor

    start: Start | None = None
    """The adaptation to images without labels that it starts from, see ``start_from``."""

    prediction_sets: PredictionSets | None = None
    """What makes sets of classes from its probabilities, found at the end of a training; the delta file keeps it."""

    def __init__(
        self,
        backbone: str | nn.Module,
        num_classes: int,
        *,
        method: Any = "ept",
        pretrained: bool | str | os.PathLike = False,
        img_size: int | Sequence[int] | None = None,
        in_channels: int = 3,
        backbone_settings: Mapping[str, Any] | None = None,
        dropout: float = 0.0,
        class_names: Sequence[str] | None = None,
        backbone_name: str | None = None,
        readout: str | int | None = None,
        views: str | None = None,
        keep_solved: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__()
        check_whole("num_classes", num_classes, most=MOST_CLASSES)
        check_number("dropout", dropout, least=0, below=1)
        self.num_classes = num_classes
        self.dropout = dropout
        self.class_names = _checked_names(class_names, num_classes)
        self.methods: tuple[Method, ...] = build_methods(method, **settings)
        self._merged = False

        module = _backbone_module(backbone, pretrained, img_size, in_channels, backbone_settings)
        self.by_name = isinstance(backbone, str)
        self.built_from: dict[str, Any] = dict(getattr(module, "built_from", {}) if self.by_name else {})
        if self.by_name and backbone_name not in (None, backbone):
            raise ValueError(f"backbone_name is {backbone_name!r} but the backbone is {backbone!r}: leave it out.")
        self.backbone_name = backbone if isinstance(backbone, str) else backbone_name or _class_name(module)
        self.vit = vit_face(module, None if self.by_name else img_size)
        self.backbone = self.vit.module
        self._adapt()
        self._unchosen = {name for name, value in (("readout", readout), ("views", views)) if value is None}
        self.solved: PlainAnswer | None = None
        self.views = "one" if views is None else views
        self.readout = check_readout(self.vit, readout)
        self.head = self._new_head()
        # A buffer, so that exported and saved networks have it too.
        self.register_buffer("_temperature", torch.ones(()))
        self.keep_solved(flag(keep_solved, "keep_solved"))
        self.register_load_state_dict_pre_hook(_with_temperature)
        self.train()  # as modules start, whatever mode the backbone came in

    def _new_head(self) -> nn.Module:
        width = readout_width(self.vit, self.readout)
        wanted = [method.make_head(width, self.num_classes, self.dropout) for method in self.methods]
        heads = [head for head in wanted if head is not None]
        return heads[0] if heads else linear_head(width, self.num_classes, self.dropout)

    def prefer(self, *, readout: str | int | None = None, views: str | None = None) -> None:
        """
        Read and view images as a recipe wants it, unless the network was built with a wish of its own.

        Args:
            readout: as the network takes it; of a backbone with fewer blocks, all are read. The head is drawn anew.
            views: as the network takes it.
        """
        if readout is not None and "readout" in self._unchosen:
            most = readout if isinstance(readout, str) else min(readout, len(self.vit.blocks))
            self.readout = check_readout(self.vit, most)
            self.head = self._new_head().to(self._temperature.device)
            self.keep_solved(self.solved is not None)
            self._unchosen.discard("readout")
        if views is not None and "views" in self._unchosen:
            self.views = views
            self._unchosen.discard("views")

    def keep_solved(self, wanted: bool = True) -> None:
        """
        Answer, in evaluation mode, with the mean of the network's own logits and those of a solved head.

        That head reads what the network's own reads, of the backbone as it came, so that an answer takes two passes.
        Tuning on a few images can do harm; the mean of both keeps what it gains and does none that was found, see the
        page of results. The second backbone takes no memory of its own, but for weights that a method has thawed.

        A training whose recipe wants it finds the head, see ``Recipe``; until then its logits are zero.

        Args:
            wanted: False lets the network answer alone.
        """
        self.solved = self.plain_answer(self.readout, self.views) if wanted else None

    def plain_answer(self, readout: str | int, views: str) -> PlainAnswer:
        """
        The backbone as it came, in the same memory, with a head of its own that is to be found yet.

        Args:
            readout: what that head reads.
            views: over which views of an image its answer is the mean.
        """
        self._check_not_merged("plain_answer")
        vit = vit_face(without_tuners(self.backbone, self._originals), self.vit.img_size)
        return PlainAnswer(vit, self.num_classes, readout, views).to(self._temperature.device)

    def _adapt(self) -> None:
        """Freeze the backbone, apply the methods, and remember what they thawed as it was."""
        self.backbone.requires_grad_(False)
        own = {id(param): param for param in self.backbone.parameters()}
        self._own_names = frozenset(self.backbone.state_dict())
        self._backbone_size = sum(param.numel() for param in own.values())
        first: dict[int, int] = {}
        for position, method in enumerate(self.methods):
            method.apply(self.vit)
            for param in self.backbone.parameters():
                if param.requires_grad:
                    first.setdefault(id(param), position)
        trained = {name: param for name, param in self.backbone.named_parameters() if param.requires_grad}
        self._trained_by: dict[str, int | None] = {name: first[id(param)] for name, param in trained.items()}
        self.set_methods(self.methods)
        self._originals = {}
        for name, param in trained.items():
            if id(param) in own:  # the original stays in its memory, which others may share
                self._originals[name] = param.detach()
                param.data = param.detach().clone()

    def set_methods(self, methods: tuple[Method, ...]) -> None:
        """Let the same methods go on with other settings, of which only their learning rates count from now on."""
        self.methods = methods
        self._lr_scales = {
            name: 1.0 if position is None else methods[position].lr_scale for name, position in self._trained_by.items()
        }

    def begin(self) -> None:
        """
        Give the methods the settings that the default recipe has for them and nobody has chosen.

        The trainings of this package call it before their first step, unless their recipe is another. What was trained,
        loaded or begun already stays as it is.

        Example::

            >>> net = TunedViT("vit_tiny_patch16_224", num_classes=7, method="ept")
            >>> net.begin()
            >>> net.methods[0].start, net.methods[0].prompt_lr_scale
            (0.0, 30.0)
        """
        self.set_methods(tuple(method.begin(self.vit) for method in self.methods))

    def start_from(self, path: str | os.PathLike, *, check: bool = True) -> None:
        """
        Let the next training start from what ``adapt`` has learnt from images without labels.

        Args:
            path: what ``adapt`` wrote, a delta without a head.
            check: let a solved head put the network back as it was if cross-validation on the training images finds
                that the adaptation does harm, or can say nothing; False uses it whatever they say.

        Raises:
            DeltaError: when the file is damaged or belongs to another network.

        Example::

            net = TunedViT("vit_tiny_patch16_224", num_classes=7, method=["ln", "bias"], pretrained=True)
            net.start_from("runs/adapted/adapted.safetensors")
            fit(net, split, recipe="solve")
        """
        start_network(self, path, check=check)

    def train(self, mode: bool = True) -> TunedViT:
        """
        Training mode for what trains; what is frozen answers as it always does.

        A part of the backbone (a block, a norm, the stem) of whose own weights nothing trains has no dropout and no
        drop path in training either. Running statistics of batch norms never move: they belong to the frozen weights
        and to no delta.
        """
        super().train(mode)
        if mode:
            anything = any(param.requires_grad for _, param in own_parameters(self.backbone))
            innermost(self.backbone).training = anything  # a drop of whole patches, for instance
            for part in _parts(self.backbone):
                params = [param for _, param in own_parameters(part)]
                trains = any(param.requires_grad for param in params) if params else anything
                for _, module in own_modules(part):
                    module.training = trains and not isinstance(module, nn.modules.batchnorm._BatchNorm)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(batch, num_classes)`` of images ``(batch, channels, *img_size)``, the mean over ``views``."""
        if self.training:
            return self.head(self.features(x)) / self._temperature
        x = plain_image(x)  # before the views, which are several operations each
        logits = mean_over_views(lambda view: self.head(self.features(view)), x, self.views, self.vit.img_size)
        if self.solved is not None:
            logits = (logits + self.solved(x)) / 2
        return logits / self._temperature

    @property
    def views(self) -> str:
        """Over which views of an image the logits are averaged in evaluation mode."""
        return self._views

    @views.setter
    def views(self, views: str) -> None:
        self._views = check_choice("views", views, VIEW_SETS)
        if self.solved is not None:
            self.solved.views = views

    @property
    def temperature(self) -> float:
        """What logits are divided by, 1.0 unless it was set: above 1 the network is less sure of what it says."""
        return float(self._temperature)

    @temperature.setter
    def temperature(self, value: float) -> None:
        self._temperature.fill_(check_number("temperature", value, above=0))
        self.prediction_sets = None  # which were found at another

    def extra_repr(self) -> str:
        return "" if self._temperature.is_meta or self.temperature == 1 else f"temperature={self.temperature:.4g}"

    def features(self, x: Tensor) -> Tensor:
        """Features of images as they are, which the head reads: ``(batch, embed_dim)`` unless ``readout`` is set."""
        x = plain_image(x)
        if not (torch.compiler.is_compiling() or torch.jit.is_tracing()):
            self.check_images(x)
        return read_out(self.vit, x, self.readout)

    def check_images(self, x: Tensor) -> None:
        """
        Refuse images that the network does not take.

        Raises:
            ValueError: when their shape or kind of numbers is another, or some are no numbers.
        """
        wanted = (self.vit.in_channels, *self.vit.img_size)
        if x.ndim != len(wanted) + 1 or tuple(x.shape[1:]) != wanted:
            raise ValueError(
                f"images have shape {tuple(x.shape)}, the network takes (batch, {', '.join(map(str, wanted))}): "
                "resize them, or build the network with their img_size and in_channels."
            )
        if not x.is_floating_point():
            raise ValueError(f"images have dtype {x.dtype}: scale and normalise them to floating point first.")
        if x.is_cuda:  # to look would keep the card waiting; what becomes of such images, loss and answers show
            return
        # One sum instead of a look at each value: it is finite only if all of them are.
        if not torch.isfinite(x.sum(dtype=torch.float64 if x.dtype == torch.float64 else torch.float32)):
            raise ValueError("images hold NaN or infinite values: check the files and the normalisation.")

    @contextmanager
    def disabled(self) -> Iterator[TunedViT]:
        """
        A context in which the backbone answers alone, exactly as it came; only the head stays.

        Example::

            >>> with net.disabled():
            ...     plain = net.features(images)
        """
        self._check_not_merged("disabled")
        params = dict(self.backbone.named_parameters())
        tuned = {name: params[name].data for name in self._originals}
        try:
            for name, original in self._originals.items():
                params[name].data = original.to(params[name])
            with tuners_disabled(self.backbone):
                yield self
        finally:
            for name, data in tuned.items():
                params[name].data = data

    def _check_not_merged(self, call: str) -> None:
        if self._merged:
            raise ValueError(
                f"a merged network has no plain backbone left inside: call {call}() on the network before fold()."
            )

    @property
    def method_name(self) -> str:
        """Name of the method; several are joined with a plus."""
        return "+".join(method.name for method in self.methods)

    def trainable_parameters(self, lr: float | None = None) -> list[dict[str, Any]]:
        """
        Parameter groups for the optimizer: what the method trains, and the head.

        Args:
            lr: base learning rate. With it each group carries its own; it is needed only when a method scales it.

        Raises:
            ValueError: when a method wants a learning rate of its own and ``lr`` is not given.

        Example::

            >>> optimizer = torch.optim.AdamW(net.trainable_parameters(lr=1e-3), lr=1e-3)
        """
        params = dict(self.backbone.named_parameters())
        by_scale: dict[float, list[nn.Parameter]] = {}
        for name, scale in self._lr_scales.items():
            by_scale.setdefault(scale, []).append(params[name])
        groups: list[dict[str, Any]] = [{"params": group, "lr_scale": scale} for scale, group in by_scale.items()]
        groups.append({"params": list(self.head.parameters()), "lr_scale": 1.0})
        for group in groups:
            if lr is not None:
                group["lr"] = lr * group["lr_scale"]
            elif group["lr_scale"] != 1.0:
                raise ValueError(
                    f"method {self.method_name} scales its learning rate: "
                    "call trainable_parameters(lr=…) with the base learning rate."
                )
        return groups

    def train_head_only(self) -> None:
        """Leave what the methods put into the backbone as it is now; a control for what their training is worth."""
        self.backbone.requires_grad_(False)
        self._trained_by = {}
        self._lr_scales = {}

    def count(self) -> ParameterCount:
        """Numbers in the backbone, in the delta and in the head."""
        delta = sum(param.numel() for param in self.backbone.parameters() if param.requires_grad)
        return ParameterCount(self._backbone_size, delta, sum(param.numel() for param in self.head.parameters()))

    def fold(self) -> TunedViT:
        """
        An equal network with less in it: prompts become one number per token and layer.

        Returns:
            a copy; this network stays as it is.

        Raises:
            ValueError: when the method has nothing to fold, or its effect depends on the image.
        """
        net = copy.deepcopy(self)
        done = 0
        # From the inside out, so that a tuner around another folds around what has become of that.
        for name, tuner in reversed(list(tuners(net.backbone))):
            folded = tuner.folded()
            if folded is not None:
                folded.train(tuner.training)
                net.backbone.set_submodule(name, folded)
                done += 1
        if not done:
            raise ValueError(f"method {self.method_name} has nothing to fold: use the network as is.")
        methods = {position: method.folded() for position, method in enumerate(self.methods)}
        left = {position: method for position, method in methods.items() if method is not None}
        net._merged = self._merged or len(left) < len(methods)
        trained_by = {own_name(name): list(left).index(by) for name, by in self._trained_by.items() if by in left}
        net._trained_by = {  # None: by a method that has merged into the backbone's weights
            name: trained_by.get(own_name(name))
            for name, param in net.backbone.named_parameters()
            if param.requires_grad
        }
        net.set_methods(tuple(left.values()))
        names = {own_name(name): name for name, _ in net.backbone.named_parameters()}
        net._originals = {names[own_name(name)]: original for name, original in net._originals.items()}
        return net

    def fingerprint(self) -> str:
        """A short name of the frozen weights; position embeddings, which depend on the image size, do not count."""
        left_out = {own_name(name) for name in self._lr_scales}
        frozen = {own_name(name): tensor for name, tensor in self.backbone.state_dict().items()}
        if self.solved is not None:  # which needs what has changed as it was
            left_out = set()
            frozen.update({own_name(name): original for name, original in self._originals.items()})
        left_out = left_out.union(self.vit.position_names)
        return fingerprint({name: frozen[name] for name in self._own_names - left_out if name in frozen})

    def delta_tensors(self) -> dict[str, Tensor]:
        """What was trained, and what methods drew at random beside it, by name: the tensors of the delta file."""
        trained = {f"backbone.{name}": param for name, param in self.backbone.named_parameters() if param.requires_grad}
        kept = {f"backbone.{name}": tensor for method in self.methods for name, tensor in method.kept(self.vit).items()}
        heads = {"head": self.head} if self.solved is None else {"head": self.head, "solved": self.solved.head}
        of_heads = {f"{which}.{name}": one for which, head in heads.items() for name, one in head.state_dict().items()}
        return {**trained, **kept, **of_heads}

    def rebuilt_fingerprint(self) -> str:
        """A short name of the frozen tensors that the methods rebuild by themselves; empty where there are none."""
        rebuilt = {name: tensor for method in self.methods for name, tensor in method.rebuilt(self.vit).items()}
        return fingerprint(rebuilt) if rebuilt else ""

    def delta_metadata(self) -> dict[str, Any]:
        """What a delta file says about the network that it belongs to."""
        return describe(self)

    def save_delta(self, path: str | os.PathLike, **extra: Any) -> None:
        """
        Write what was trained, a few kilobytes, atomically.

        Args:
            path: where to, by custom ``….safetensors``.
            extra: more to say in the metadata, under ``"extra"``; anything JSON can say.

        Raises:
            ValueError: when the method was merged into the backbone and there is no delta any more.
        """
        if self._merged:
            raise ValueError(
                "a merged network has no delta left to save: call save_delta on the network before fold()."
            )
        metadata = self.delta_metadata()
        write_delta(path, self.delta_tensors(), {**metadata, "extra": extra} if extra else metadata)

    def load_delta(self, path: str | os.PathLike) -> None:
        """
        Take over what was trained elsewhere.

        A delta from another image size is resized. Everything is checked before anything changes.

        Raises:
            DeltaError: when the file is damaged or belongs to another network.
        """
        delta = read_delta(path)
        take_over(self, path, delta)
        self.start = start_in(delta)

    @classmethod
    def from_delta(
        cls,
        path: str | os.PathLike,
        *,
        backbone: nn.Module | None = None,
        pretrained: bool | str | os.PathLike = False,
        img_size: int | Sequence[int] | None = None,
    ) -> TunedViT:
        """
        Build the network that a delta belongs to.

        Args:
            path: what ``save_delta`` wrote.
            backbone: the backbone, when the delta's was given as a module.
            pretrained: where the weights of a backbone by name come from, see ``TunedViT``.
            img_size: another image size than the delta's.

        Raises:
            DeltaError: when the file is damaged, or the backbone's weights are not those it was trained on.
        """
        delta = read_delta(path)
        about = delta.metadata
        if backbone is None and not about["backbone"]["by_name"]:
            raise DeltaError(
                f"delta {path} was trained on a {about['backbone']['name']} that was given as a module: "
                "pass backbone=… with that module."
            )
        described: Callable[..., TunedViT] = partial(TunedViT, **described_settings(about))
        if backbone is None:
            size = tuple(about["img_size"])
            name, settings = about["backbone"]["name"], about["backbone"].get("settings")
            # The weights alone may be on another machine than the repository that they came from.
            plain = about["backbone"].get("architecture", name)
            check_claims(path, delta, lambda: described(plain, img_size=size, backbone_settings=settings))
            builds = [
                partial(described, one, pretrained=pretrained, img_size=img_size or size, backbone_settings=settings)
                for one in generations(name if pretrained is True else plain, pretrained)
            ]
        else:
            builds = [partial(described, backbone, pretrained=pretrained, img_size=img_size)]
        net = build_for(path, delta, *builds)
        net.start = start_in(delta)
        if not about["backbone"]["by_name"] or (backbone is None and net.backbone_name == plain):
            net.backbone_name = about["backbone"]["name"]
        return net


class EPTWrapper(TunedViT):
    """
    A frozen vision transformer with Embedded Prompt Tuning: ``TunedViT`` with method ``"ept"``.

    Args:
        backbone: name of a timm ViT, or a module: a timm ViT or a MONAI ``ViT``, 2-D or 3-D.
        num_classes: number of logits.
        settings: any setting of ``monai_ept.methods.Ept`` (``prompt_length``, ``prompt_layers``, ``prompt_init``,
            ``embed``, ``start``, ``prompt_lr_scale``, ``per``), and any argument of ``TunedViT`` but ``method``.

    Raises:
        ValueError: when an argument is out of range or a setting is not known.

    Example::

        >>> net = EPTWrapper("vit_tiny_patch16_224", num_classes=2, prompt_layers=[-1, -2])
        >>> net.count().delta
        39400
    """

    def __init__(self, backbone: str | nn.Module, num_classes: int, **settings: Any) -> None:
        super().__init__(backbone, num_classes, method="ept", **settings)


def _backbone_module(
    backbone: str | nn.Module,
    pretrained: bool | str | os.PathLike,
    img_size: int | Sequence[int] | None,
    in_channels: int,
    backbone_settings: Mapping[str, Any] | None,
) -> nn.Module:
    if isinstance(backbone, str):
        return create_backbone(
            backbone,
            pretrained=pretrained,
            img_size=img_size,
            in_channels=in_channels,
            backbone_settings=backbone_settings,
        )
    if not isinstance(backbone, nn.Module):
        raise TypeError(f"backbone must be a timm model name or a module, got {backbone!r}.")
    if pretrained is not False:
        raise ValueError(
            "pretrained goes with a backbone by name: load the weights into the module before wrapping it."
        )
    if backbone_settings:
        raise ValueError("backbone_settings go with a backbone by name: build the module with them instead.")
    if isinstance(backbone, TunedViT) or any(True for _ in tuners(backbone)):
        raise ValueError("backbone is adapted already: give several methods as a list instead of wrapping twice.")
    module = copied(backbone)
    channels = vit_face(module, img_size).in_channels
    if in_channels not in (3, channels):
        raise ValueError(
            f"in_channels is {in_channels} but the given backbone takes {channels}: leave in_channels out."
        )
    return module


def _with_temperature(net: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Weights saved before there was a temperature have the one that changes nothing."""
    state.setdefault(f"{prefix}_temperature", torch.ones(()))


def _parts(backbone: nn.Module) -> Iterator[nn.Module]:
    """What a backbone consists of: its blocks one by one, and everything else that stands directly in it."""
    for child in innermost(backbone).children():
        if isinstance(child, (nn.ModuleList, nn.Sequential)):
            yield from child.children()
        else:
            yield child


def _class_name(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"


def _checked_names(class_names: Sequence[str] | None, num_classes: int) -> list[str] | None:
    if class_names is None:
        return None
    names = [str(name) for name in class_names]
    if len(names) != num_classes or len(set(names)) != num_classes:
        raise ValueError(f"class_names must be {num_classes} different names, one per class, got {names}.")
    return names
