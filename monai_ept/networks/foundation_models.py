# SPDX-License-Identifier: Apache-2.0

"""Medical foundation models that people use: what each is, how it is obtained, and what it needs to be loaded.

Their weights are their authors'. What stands here comes from their model cards and the code that loads them; tests
load random weights of each architecture, saved as that project shares its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["FOUNDATION_MODELS", "FoundationModel", "foundation_model"]

_IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
_BIOPTIMUS = {"mean": [0.707223, 0.578729, 0.703617], "std": [0.211883, 0.230117, 0.177517]}
_SWIGLU = {"mlp_layer": "SwiGLUPacked", "act_layer": "silu"}
_GIANT = {"img_size": 224, "init_values": 1e-5, "dynamic_img_size": False}


@dataclass(frozen=True)
class FoundationModel:
    """
    One model.

    Args:
        name: short, in lower case.
        images: what it was pretrained on.
        licence: as its authors name it.
        repository: on the Hugging Face hub.
        gated: whether one must accept conditions there, and log in.
        format: who reads its files: "timm", "transformers" or "open_clip".
        architecture: the timm model that is its equal.
        settings: of that model, as ``create_backbone`` takes them.
        images_as: mean, standard deviation and interpolation, where a file of weights alone does not say them.
        tokens: of an image: class token and registers, and patches.
        size: of its images.
        parameters: in millions.
    """

    name: str
    images: str
    licence: str
    repository: str
    gated: bool
    format: str
    architecture: str
    tokens: tuple[int, int]
    size: int
    parameters: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    images_as: Mapping[str, Any] = field(default_factory=dict)

    @property
    def on_the_hub(self) -> dict[str, Any]:
        """Arguments that load it from the hub, or from the hub's cache."""
        given = {"backbone": f"hf-hub:{self.repository}", "pretrained": True}
        # The configurations of the others have all of it, and timm's have no names of classes.
        needs = self.format == "timm" and bool(self.settings)
        return {**given, **({"backbone_settings": dict(self.settings)} if needs else {})}

    def from_files(self, path: str) -> dict[str, Any]:
        """
        Arguments that load it from files that were downloaded.

        Args:
            path: of the weights if timm reads them, and else of the folder with the configuration beside them.
        """
        if self.format != "timm":
            return {"backbone": f"local-dir:{path}", "pretrained": True}
        settings = {**self.settings, **self.images_as}
        return {"backbone": self.architecture, "pretrained": path, "backbone_settings": settings}


def foundation_model(name: str) -> FoundationModel:
    """
    A model by name.

    Raises:
        ValueError: when there is none of that name; it says what there is.
    """
    from monai_ept.checks import check_choice

    models = {one.name: one for one in FOUNDATION_MODELS}
    return models[check_choice("foundation model", name.lower(), models)]


# name, images, licence, repository, gated, format; architecture, tokens, size, millions; settings; images_as
# fmt: off
FOUNDATION_MODELS = (
    FoundationModel(
        "uni", "pathology", "CC-BY-NC-ND-4.0", "MahmoodLab/UNI", True, "timm",
        "vit_large_patch16_224", (1, 196), 224, 303,
        {"img_size": 224, "init_values": 1e-05, "dynamic_img_size": True},
        {**_IMAGENET, "interpolation": "bilinear"},
    ),
    FoundationModel(
        "uni2-h", "pathology", "CC-BY-NC-ND-4.0", "MahmoodLab/UNI2-h", True, "timm",
        "vit_giant_patch14_224", (9, 256), 224, 681,
        {"img_size": 224, "patch_size": 14, "depth": 24, "num_heads": 24, "init_values": 1e-05,
         "embed_dim": 1536, "mlp_ratio": 5.33334, "no_embed_class": True, **_SWIGLU, "reg_tokens": 8,
         "dynamic_img_size": True},
        {**_IMAGENET, "interpolation": "bilinear"},
    ),
    FoundationModel(
        "virchow", "pathology", "Apache-2.0", "paige-ai/Virchow", True, "timm",
        "vit_huge_patch14_224", (1, 256), 224, 631,
        {"img_size": 224, "init_values": 1e-05, "mlp_ratio": 5.3375, **_SWIGLU, "dynamic_img_size": True},
        {**_IMAGENET, "interpolation": "bicubic"},
    ),
    FoundationModel(
        "virchow2", "pathology", "CC-BY-NC-ND-4.0", "paige-ai/Virchow2", True, "timm",
        "vit_huge_patch14_224", (5, 256), 224, 631,
        {"img_size": 224, "init_values": 1e-05, "mlp_ratio": 5.3375, "reg_tokens": 4, **_SWIGLU,
         "dynamic_img_size": True},
        {**_IMAGENET, "interpolation": "bicubic"},
    ),
    FoundationModel(
        "prov-gigapath", "pathology", "Apache-2.0 with conditions", "prov-gigapath/prov-gigapath", True, "timm",
        "vit_giant_patch14_dinov2", (1, 196), 224, 1135,
        {"img_size": 224, "patch_size": 16, "mlp_ratio": 5.33334},
        {**_IMAGENET, "interpolation": "bicubic"},
    ),
    FoundationModel(
        "h-optimus-0", "pathology", "Apache-2.0", "bioptimus/H-optimus-0", True, "timm",
        "vit_giant_patch14_reg4_dinov2", (5, 256), 224, 1135,
        _GIANT,
        {**_BIOPTIMUS, "interpolation": "bicubic"},
    ),
    FoundationModel(
        "h-optimus-1", "pathology", "CC-BY-NC-ND-4.0", "bioptimus/H-optimus-1", True, "timm",
        "vit_giant_patch14_reg4_dinov2", (5, 256), 224, 1135,
        _GIANT,
        {**_BIOPTIMUS, "interpolation": "bicubic"},
    ),
    FoundationModel(
        "phikon", "pathology", "Owkin non-commercial", "owkin/phikon", False, "transformers",
        "vit_base_patch16_224", (1, 196), 224, 86,
    ),
    FoundationModel(
        "phikon-v2", "pathology", "Owkin non-commercial", "owkin/phikon-v2", False, "transformers",
        "vit_large_patch14_dinov2", (1, 196), 224, 303,
        {"img_size": 224, "patch_size": 16},
    ),
    FoundationModel(
        "midnight", "pathology", "MIT", "kaiko-ai/midnight", False, "transformers",
        "vit_giant_patch14_dinov2", (1, 256), 224, 1135,
        {"img_size": 224},
        {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    ),
    FoundationModel(
        "lunit-dino", "pathology", "Lunit non-commercial", "1aurent/vit_small_patch16_224.lunit_dino", False, "timm",
        "vit_small_patch16_224", (1, 196), 224, 22,
        {},
        {"mean": [0.70322989, 0.53606487, 0.66096631], "std": [0.21716536, 0.26081574, 0.20723464]},
    ),
    FoundationModel(
        "plip", "pathology", "non-commercial", "vinid/plip", False, "transformers",
        "vit_base_patch32_clip_quickgelu_224", (1, 49), 224, 87,
    ),
    FoundationModel(
        "quiltnet-b-32", "pathology", "MIT", "wisdomik/QuiltNet-B-32", False, "open_clip",
        "vit_base_patch32_clip_224", (1, 49), 224, 87,
    ),
    FoundationModel(
        "rad-dino", "chest X-rays", "MIT, for research", "microsoft/rad-dino", False, "transformers",
        "vit_base_patch14_dinov2", (1, 1369), 518, 87,
    ),
    FoundationModel(
        "pubmedclip", "radiology", "MIT", "flaviagiammarino/pubmed-clip-vit-base-patch32", False, "transformers",
        "vit_base_patch32_clip_quickgelu_224", (1, 49), 224, 87,
    ),
    FoundationModel(
        "biomedclip", "figures of biomedical papers", "MIT, for research",
        "microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224", False, "open_clip",
        "vit_base_patch16_224", (1, 196), 224, 86,
    ),
    FoundationModel(
        "medsiglip", "X-rays, skin, eyes, pathology, CT, MRI", "Health AI Developer Foundations",
        "google/medsiglip-448", True, "transformers",
        "vit_so400m_patch14_siglip_224", (0, 1024), 448, 429,
        {"img_size": 448},
    ),
    FoundationModel(
        "dinov3-l", "photographs, nothing medical", "DINOv3 License",
        "facebook/dinov3-vitl16-pretrain-lvd1689m", True, "transformers",
        "vit_large_patch16_dinov3_qkvb", (5, 196), 224, 303,
        {"img_size": 224, "global_pool": "token"},
    ),
)
# fmt: on
