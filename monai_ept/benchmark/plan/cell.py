# SPDX-License-Identifier: Apache-2.0

"""One cell of a sweep: a method, trained once on one few-shot split with one seed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from monai_ept.engines.recipe import Recipe, recipe_of

__all__ = ["SPLIT", "Cell", "method_name"]

USUAL: Mapping[str, Any] = {
    "epochs": 20,
    "batch_size": 4,
    "lr": 6e-4,
    "optimizer": "sgd",
    "momentum": 0.9,
    "weight_decay": None,
    "schedule": "cosine",
    "warmup_steps": 0,
    "class_weighting": False,
    "max_norm": None,
    "augment": True,
    "amp": "off",
    "compile": False,
    "steps_per_epoch": None,
    "head_lr": None,
    "random_views": False,
    "label_smoothing": 0.0,
    "solve": False,
    "readout": None,
    "views": None,
    "keep_solved": None,
    "tuned_start": False,
    "select": "last",
    "val_interval": None,
    "key_metric": None,
}
"""The paper's recipe with its learning rate written out. A cell's id names what differs from it, so that these values
are never changed: cells that are done would then be done again."""

SPLIT: Mapping[str, Any] = {"by": "group", "test_fraction": None, "sampling": "fresh"}
"""Arguments of ``few_shot_split`` that a source may set, and their defaults; they belong to ids as the recipe does."""


def method_name(method: Any) -> str:
    """The name of a method as a sweep writes it; several are joined with a plus."""
    if isinstance(method, str):
        return method
    return "+".join(one if isinstance(one, str) else str(one.get("name")) for one in method)


@dataclass(frozen=True)
class Cell:
    """What is trained and tested, as plain values that JSON can say."""

    source: str  # its name in tables
    source_settings: dict[str, Any]  # ``name`` and arguments of ``load_source``; variables as written
    backbone: str
    pretrained: bool | str  # as ``TunedViT`` takes it; variables as written
    method: str | list[Any]
    method_settings: dict[str, Any]  # of a method given by name, as written
    label: str  # the method in tables
    shots: int
    sampling: int  # seed of the split
    seed: int  # of everything else
    recipe: dict[str, Any]  # all settings of a ``Recipe``
    img_size: Any = None  # the backbone's own where it is None
    backbone_settings: dict[str, Any] = field(default_factory=dict)  # of its architecture
    frozen: bool = False  # only the head trains; what the method adds stays as it was initialised
    adapted: dict[str, Any] | None = None  # the adaptation it starts from: file as written, check, and hash
    group: str | None = None  # cells that stand for one curve or table
    grid: dict[str, Any] = field(default_factory=dict)  # settings that come from a grid
    factors: dict[str, Any] = field(default_factory=dict)  # what varies in an ablation
    val: str = "none"  # validation images of the split: "none", "shots" or "rest"
    split: dict[str, Any] = field(default_factory=lambda: dict(SPLIT))

    @property
    def name(self) -> str:
        """The method's name; several are joined with a plus."""
        return method_name(self.method)

    @property
    def backbone_arguments(self) -> dict[str, Any]:
        """Of ``TunedViT`` and ``create_backbone``, beside the backbone's name and its weights."""
        return {"img_size": self.img_size, "backbone_settings": self.backbone_settings}

    @property
    def identity(self) -> dict[str, Any]:
        """All that determines the result, less what has its usual value: settings invented later change no id."""
        content: dict[str, Any] = {
            "source": self.source_settings,
            "backbone": self.backbone,
            "pretrained": self.pretrained,
            "method": self.method,
            "method_settings": self.method_settings,
            "shots": self.shots,
            "sampling": self.sampling,
            "seed": self.seed,
            "recipe": self._unusual(),
        }
        split = {key: value for key, value in self.split.items() if value != SPLIT.get(key)}
        extra = {
            "img_size": self.img_size,
            "frozen": self.frozen,
            "split": split,
            "backbone_settings": self.backbone_settings,
        }
        content.update({key: value for key, value in extra.items() if value})
        if self.adapted is not None:  # by its content, wherever it lies
            content["adapted"] = {key: self.adapted[key] for key in ("hash", "check")}
            if self.training_recipe.keeps_solved(adapted=True):  # which it once did not
                content["adapted"]["keep_solved"] = True
        if self.val != "none":
            content["val"] = self.val
        return content

    def _unusual(self) -> dict[str, Any]:
        recipe = {key: value for key, value in self.recipe.items() if key in USUAL}
        if recipe.get("lr") is None and recipe.get("optimizer", "sgd") == "sgd":
            recipe["lr"] = USUAL["lr"]
        return {key: value for key, value in recipe.items() if value != USUAL[key]}

    @property
    def training_recipe(self) -> Recipe:
        """How it is trained; cells of the first release wrote no name, and were the paper's with changes."""
        return recipe_of({"name": "paper", **self.recipe})

    @property
    def id(self) -> str:
        """A readable name and ten digits of the hash of :py:attr:`identity`: the cell's folder."""
        text = json.dumps(self.identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        slug = re.sub(r"[^a-z0-9]+", "-", f"{self.source_settings['name']}-{self.name}".lower()).strip("-")[:40]
        digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        return f"{slug}-{self.shots}shot-{self.sampling}-{self.seed}-{digest}"

    def to_json(self) -> dict[str, Any]:
        """All of it, with its id."""
        return {"id": self.id, **asdict(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Cell:
        """The cell that ``to_json`` described; what it does not know is passed over."""
        return cls(**{key: value for key, value in content.items() if key in cls.__dataclass_fields__})
