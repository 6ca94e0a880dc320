# SPDX-License-Identifier: Apache-2.0

"""Any Hugging Face PEFT configuration as a method.

``peft`` is imported only when such a method is built: it takes seconds, and it is an optional extra.

Longer than our files are: half of it says in a sentence each what PEFT offers that a frozen ViT cannot use.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from monai_ept.checks import did_you_mean, shown
from monai_ept.methods.base import Method, register_method
from monai_ept.methods.peft_limits import check_limits
from monai_ept.networks.backbone import ViTFace
from monai_ept.networks.tuner import Tuner, innermost, tuners

__all__ = ["Peft", "PeftLayer"]

# PEFT lets a module have several adapters by name; here each has one, and a list of methods takes their place.
ADAPTER = "default"


@register_method
@dataclass(frozen=True)
class Peft(Method):
    """
    A tuner of Hugging Face PEFT: LoRA, DoRA, IA3, LoHa, LoKr, VeRA, OFT and whatever else wraps modules by name.

    A configuration object is a method as it stands, so this class is seldom written out. It is not in
    ``list_methods()``: it is a door to many methods, none of which has settings that suit every backbone.

    Args:
        config: a ``peft.PeftConfig``, or what its ``to_dict()`` says; kept as plain JSON.

    Raises:
        ImportError: when PEFT is not installed.
        TypeError: when ``config`` is neither.
        ValueError: when the configuration is not one that can adapt the modules of a ViT.

    Example::

        >>> net = TunedViT("vit_tiny_patch16_224", 7, method=peft.LoraConfig(target_modules=["qkv"], r=8))
        >>> net = TunedViT("vit_tiny_patch16_224", 7, method={
        ...     "name": "peft", "config": {"peft_type": "LORA", "target_modules": ["qkv"], "r": 8}
        ... })
    """

    name: ClassVar[str] = "peft"
    reference: ClassVar[str] = "Mangrulkar et al. 2022, github.com/huggingface/peft"
    requires: ClassVar[tuple[str, ...]] = ("peft",)
    listed: ClassVar[bool] = False

    config: Any = field(default=None, hash=False)

    def __post_init__(self) -> None:
        plain = _plain(_configuration(self.config))
        if _plain(_configuration(plain)) != plain:
            raise ValueError(
                f"PEFT configuration {plain['peft_type']} does not come back the same from its own to_dict(), so that "
                "no delta could name it: leave out settings that JSON cannot say."
            )
        object.__setattr__(self, "config", plain)

    def apply(self, vit: ViTFace) -> None:
        # PEFT writes into the configuration that it applies, so that each network gets a fresh one.
        config = _configuration(self.config)
        module = vit.module
        own = {name: (param, param.detach().clone()) for name, param in module.named_parameters()}
        trained = {id(param) for param, _ in own.values() if param.requires_grad}
        with _without_tuners(module):
            _inject(module, config)
            for param, _ in own.values():
                # Whatever an earlier method trains, PEFT has frozen: it takes the backbone for its own.
                param.requires_grad_(param.requires_grad or id(param) in trained)
        for index in range(len(vit.blocks)):
            attn = innermost(getattr(vit.block(index), "attn", None))
            if isinstance(attn, nn.Module) and any(isinstance(child, PeftLayer) for child in attn.children()):
                vit.open_attention(index)
        left = {id(param) for param in module.parameters()}
        for name, (param, before) in own.items():
            if id(param) not in left or not torch.equal(param, before):
                raise ValueError(
                    f"PEFT {_kind(config)} rewrites the backbone's own {name!r} before training starts, so that the "
                    "frozen backbone would be lost: choose an initialisation that leaves it alone."
                )

    def kept(self, vit: ViTFace) -> dict[str, Tensor]:
        return _once({f"{at}.layer.{name}": t for at, layer in _layers(vit) for name, t in layer.kept().items()})

    def rebuilt(self, vit: ViTFace) -> dict[str, Tensor]:
        return _once({f"{at}.layer.{name}": t for at, layer in _layers(vit) for name, t in layer.rebuilt().items()})

    def folded(self) -> None:
        return None


class PeftLayer(Tuner):
    """
    Stands around a module of the backbone and sends its input through PEFT's layer, which stands around it too.

    Args:
        layer: the PEFT layer.
        save_projection: False where PEFT is to draw random projections again rather than to save them.
    """

    def __init__(self, layer: Any, save_projection: bool = True) -> None:
        super().__init__(layer.get_base_layer())
        self.layer = layer
        # Noted now: what appears later is a cache. Indices and permutations, which a state_dict leaves out, come out
        # alike on every machine; numbers from a decomposition of weights, which it may leave out too, do not.
        found = list(_frozen_tensors(layer))
        self._rebuilt = frozenset(
            name for name, tensor, saved in found if not saved and (not save_projection or _whole(tensor))
        )
        self._kept = frozenset(name for name, _, _ in found) - self._rebuilt

    def tuned(self, *args, **kwargs):
        return self.layer(*args, **kwargs)

    @property
    def weight(self) -> nn.Parameter:
        """The backbone's own, for attention that reads it instead of calling its projection while tuners are off."""
        return self.inner.weight  # type: ignore[return-value]

    def folded(self) -> nn.Module:
        layer: Any = self.layer
        try:
            layer.merge(safe_merge=True)
        except Exception as error:
            raise ValueError(
                f"PEFT cannot merge its layer {type(layer).__module__}.{type(layer).__qualname__} "
                f"({_first_line(error)}): use the network as it is."
            ) from error
        return layer.get_base_layer()

    def kept(self) -> dict[str, Tensor]:
        """Frozen tensors of the PEFT layer that nobody can rebuild for sure."""
        return {name: tensor for name, tensor, _ in _frozen_tensors(self.layer) if name in self._kept}

    def rebuilt(self) -> dict[str, Tensor]:
        """Frozen tensors of the PEFT layer that follow from its configuration."""
        return {name: tensor for name, tensor, _ in _frozen_tensors(self.layer) if name in self._rebuilt}


def _configuration(config: Any) -> Any:
    """A PEFT configuration of its own, checked, from an object or what its ``to_dict`` says."""
    peft = _import_peft()
    if isinstance(config, peft.PeftConfig):
        config = config.to_dict()
    if not isinstance(config, Mapping):
        raise TypeError(
            'method "peft" takes a PEFT configuration or its to_dict() as config, e.g. '
            f'peft.LoraConfig(target_modules=["qkv"]), got {shown(config)}.'
        )
    known = {str(getattr(kind, "value", kind)): cls for kind, cls in peft.mapping.PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    kind = config.get("peft_type")
    kind = str(getattr(kind, "value", kind))
    if kind not in known:
        raise ValueError(f"peft_type {kind!r} is not known to PEFT {peft.__version__}: {did_you_mean(kind, known)}")
    settings = {key: value for key, value in config.items() if key not in ("peft_type", "peft_version")}
    try:
        built = known[kind](**settings)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise ValueError(
            f"PEFT {peft.__version__} cannot read the settings of {kind} ({_first_line(error)}): "
            "check their names, or install the release of PEFT that wrote them."
        ) from error
    _check(built, peft)
    return built


def _import_peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise ImportError(
            f'method "peft" needs Hugging Face PEFT, which cannot be imported ({_first_line(error)}): '
            'pip install "monai_ept[peft]".'
        ) from error
    return peft


def _kind(config: Any) -> str:
    return type(config).__name__


def _check(config: Any, peft: Any) -> None:
    """Refuse what PEFT offers for language models, and what would silently do less than it says."""
    kind = _kind(config)
    if config.is_prompt_learning or config.is_adaption_prompt:
        raise ValueError(
            f"PEFT {kind} learns a prompt for a language model and wraps no modules: use method 'vpt' for learnable "
            "tokens in a ViT."
        )
    if kind == "TrainableTokensConfig":
        raise ValueError(f"PEFT {kind} trains words of a vocabulary, and a ViT has none: use another configuration.")
    tuner = peft.mapping.PEFT_TYPE_TO_TUNER_MAPPING.get(config.peft_type)
    base = peft.tuners.tuners_utils.BaseTuner
    if tuner is None or tuner.forward is not base.forward or not hasattr(config, "target_modules"):
        raise ValueError(
            f"PEFT {kind} works through a model class or training loop of its own and not by wrapping modules alone: "
            "use a configuration that does, such as LoraConfig."
        )
    for setting, why in _REFUSED.items():
        if getattr(config, setting, None):
            raise ValueError(f"PEFT {kind} has {setting}={getattr(config, setting)!r}: {why}")
    if config.task_type not in (None, peft.TaskType.FEATURE_EXTRACTION):
        raise ValueError(
            f"PEFT {kind} has task_type={str(getattr(config.task_type, 'value', config.task_type))!r}, which is for "
            "language models: leave task_type out."
        )


_REFUSED = {
    "modules_to_save": (
        "the head trains and is saved anyway, and modules of the backbone train by methods such as 'partial': "
        "leave modules_to_save out."
    ),
    "inference_mode": "nothing would train: leave inference_mode out.",
    "trainable_token_indices": "a ViT embeds no vocabulary: leave trainable_token_indices out.",
    "layer_replication": "it copies layers of a language model: leave layer_replication out.",
    "alora_invocation_tokens": "a ViT reads no invocation tokens: leave alora_invocation_tokens out.",
    "arrow_config": "it routes between adapters of a language model: leave arrow_config out.",
}


def _plain(config: Any) -> dict[str, Any]:
    """A configuration as JSON has it, the same for equal configurations and without the release that wrote it."""
    settings = {key: value for key, value in config.to_dict().items() if key != "peft_version"}
    try:
        return json.loads(json.dumps(settings, default=_plain_set, sort_keys=True, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"PEFT {_kind(config)} has a setting that JSON cannot say ({_first_line(error)}), and a delta file names "
            "its method in JSON: leave that setting out."
        ) from error


def _plain_set(value: Any) -> Any:
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{value!r} of {type(value).__name__}")


def _inject(module: Any, config: Any) -> None:
    """Let PEFT wrap modules of the bare backbone, and stand a tuner around each of its layers."""
    from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
    from peft.tuners.tuners_utils import BaseTunerLayer

    check_limits(module, _plain(config))
    _check_targets(module, config)
    try:
        # Not peft.inject_adapter_in_model, which refuses tuners whose layers share tensors, such as VeRA. What they
        # share is registered in every layer, so that the layers live on without the tuner.
        peft_model: Any = PEFT_TYPE_TO_TUNER_MAPPING[config.peft_type](module, config, ADAPTER)
    except Exception as error:
        raise ValueError(
            f"PEFT {_kind(config)} cannot adapt a {type(module).__name__} ({_first_line(error)}): "
            f"change its settings, or target other modules, such as {_listed(_candidates(module))}."
        ) from error
    if hasattr(module, "peft_config"):
        del module.peft_config
    left = {id(param) for param in module.parameters()}
    if any(param.requires_grad and id(param) not in left for param in peft_model.parameters()):
        raise ValueError(
            f"PEFT {_kind(config)} keeps trained parameters outside of the layers that it wraps, where no delta finds "
            "them: use another configuration."
        )
    layers: list[tuple[str, Any]] = []
    for name, layer in module.named_modules():
        if isinstance(layer, BaseTunerLayer) and not any(name.startswith(f"{outer}.") for outer, _ in layers):
            layers.append((name, layer))
    for name, layer in layers:
        module.set_submodule(name, PeftLayer(layer, getattr(config, "save_projection", True)))


def _check_targets(module: nn.Module, config: Any) -> None:
    from peft.tuners.tuners_utils import check_target_module_exists

    wanted = config.target_modules
    if getattr(config, "target_parameters", None) or str(wanted).lower() == "all-linear":
        return
    candidates = _listed(_candidates(module))
    if wanted is None:
        raise ValueError(
            f"PEFT {_kind(config)} has no target_modules, and PEFT knows none for a {type(module).__name__}: "
            f"name some of {candidates}."
        )
    if not any(check_target_module_exists(config, name) for name, _ in module.named_modules() if name):
        named = repr(wanted) if isinstance(wanted, str) else _listed(sorted(wanted))
        layers = getattr(config, "layers_to_transform", None)
        if layers is not None:
            named += f" in layers_to_transform={layers}"
            candidates += (
                ", and layers are named best by a pattern, such as target_modules=r'blocks\\.(0|1)\\.attn\\.qkv'"
            )
        raise ValueError(
            f"PEFT {_kind(config)} targets {named}, which matches no module of the {type(module).__name__}: "
            f"there is {candidates}."
        )


def _candidates(module: nn.Module) -> list[str]:
    """Last parts of the names of all modules that have a weight, in the order of the backbone."""
    names = [
        name.rpartition(".")[2]
        for name, child in module.named_modules()
        if isinstance(getattr(child, "weight", None), nn.Parameter)
    ]
    return [name for name in dict.fromkeys(names) if name and not name.isdigit()]


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


@contextmanager
def _without_tuners(module: nn.Module) -> Iterator[None]:
    """
    The backbone with no tuner in it, so that names and patterns mean what they mean in the backbone itself.

    Afterwards each tuner stands where it stood, around whatever has become of its module.
    """
    places: list[tuple[nn.Module, str, nn.Module, list[Any]]] = []
    for parent in [child for child in module.modules() if not isinstance(child, Tuner)]:
        for key, child in list(parent.named_children()):
            chain: list[Any] = []
            while isinstance(child, Tuner):
                chain.append(child)
                child = child.inner
            if chain:
                places.append((parent, key, child, chain))
    for parent, key, own, _ in places:
        setattr(parent, key, own)
    try:
        yield
        for parent, key, own, chain in places:
            now = getattr(parent, key)
            if now is not own and any(isinstance(tuner, PeftLayer) for tuner in chain):
                raise ValueError(
                    f"two PEFT configurations target the same module {key!r}: give them different target_modules."
                )
            if now is not own:
                chain[-1].inner = now
    finally:
        for parent, key, _, chain in places:
            setattr(parent, key, chain[0])


def _layers(vit: ViTFace) -> Iterator[tuple[str, PeftLayer]]:
    for name, tuner in tuners(vit.module):
        if isinstance(tuner, PeftLayer):
            yield name, tuner


def _once(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each tensor under its first name: layers may share one."""
    first: dict[int, str] = {}
    for name, tensor in tensors.items():
        first.setdefault(id(tensor), name)
    return {name: tensors[name] for name in first.values()}


def _frozen_tensors(layer: Any) -> Iterator[tuple[str, Tensor, bool]]:
    """
    What a PEFT layer holds besides the module that it wraps and what it trains: name, tensor, whether PEFT saves it.

    Random projections and drawn indices are part of what a tuner computes. PEFT has them as parameters, as buffers
    and in plain dictionaries; buffers that it can make again are not persistent.
    """
    base: nn.Module = layer.get_base_layer()
    backbone = set(base.modules())
    for name, child in layer.named_modules():
        if child in backbone:
            continue
        prefix = f"{name}." if name else ""
        for key, param in child.named_parameters(recurse=False):
            if not param.requires_grad:
                yield prefix + key, param, True
        for key, buffer in child.named_buffers(recurse=False):
            yield prefix + key, buffer, key not in child._non_persistent_buffers_set
        for key, value in vars(child).items():
            if key not in _MODULE_STATE:
                yield from ((prefix + inner, tensor, True) for inner, tensor in _tensors_in(key, value))


def _whole(tensor: Tensor) -> bool:
    return not tensor.is_complex() and bool((tensor == tensor.round()).all() if tensor.is_floating_point() else True)


_MODULE_STATE = frozenset(vars(nn.Module()))


def _tensors_in(key: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield key, value
    elif isinstance(value, nn.Module):
        yield from ((f"{key}.{name}", tensor) for name, tensor in value.state_dict(keep_vars=True).items())
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _tensors_in(f"{key}.{name}", inner)
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from _tensors_in(f"{key}.{index}", inner)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200].rstrip(". ") if lines else type(error).__name__
