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


FOUNDATION_MODELS = (
    FoundationModel(
        name="uni",
        images="pathology",
        licence="CC-BY-NC-ND-4.0",
        repository="MahmoodLab/UNI",
        gated=True,
        format="timm",
        architecture="vit_large_patch16_224",
        tokens=(1, 196),
        size=224,
        parameters=303,
        settings={"img_size": 224, "init_values": 1e-5, "dynamic_img_size": True},
        images_as={**_IMAGENET, "interpolation": "bilinear"},
    ),
    FoundationModel(
        name="uni2-h",
        images="pathology",
        licence="CC-BY-NC-ND-4.0",
        repository="MahmoodLab/UNI2-h",
        gated=True,
        format="timm",
        architecture="vit_giant_patch14_224",
        tokens=(9, 256),
        size=224,
        parameters=681,
        settings={
            "img_size": 224,
            "patch_size": 14,
            "depth": 24,
            "num_heads": 24,
            "init_values": 1e-5,
            "embed_dim": 1536,
            "mlp_ratio": 5.33334,
            "no_embed_class": True,
            **_SWIGLU,
            "reg_tokens": 8,
            "dynamic_img_size": True,
        },
        images_as={**_IMAGENET, "interpolation": "bilinear"},
    ),
    FoundationModel(
        name="virchow",
        images="pathology",
        licence="Apache-2.0",
        repository="paige-ai/Virchow",
        gated=True,
        format="timm",
        architecture="vit_huge_patch14_224",
        tokens=(1, 256),
        size=224,
        parameters=631,
        settings={
            "img_size": 224,
            "init_values": 1e-5,
            "mlp_ratio": 5.3375,
            **_SWIGLU,
            "dynamic_img_size": True,
        },
        images_as={**_IMAGENET, "interpolation": "bicubic"},
    ),
    FoundationModel(
        name="virchow2",
        images="pathology",
        licence="CC-BY-NC-ND-4.0",
        repository="paige-ai/Virchow2",
        gated=True,
        format="timm",
        architecture="vit_huge_patch14_224",
        tokens=(5, 256),
        size=224,
        parameters=631,
        settings={
            "img_size": 224,
            "init_values": 1e-5,
            "mlp_ratio": 5.3375,
            "reg_tokens": 4,
            **_SWIGLU,
            "dynamic_img_size": True,
        },
        images_as={**_IMAGENET, "interpolation": "bicubic"},
    ),
    FoundationModel(
        name="prov-gigapath",
        images="pathology",
        licence="Apache-2.0 with conditions",
        repository="prov-gigapath/prov-gigapath",
        gated=True,
        format="timm",
        architecture="vit_giant_patch14_dinov2",
        tokens=(1, 196),
        size=224,
        parameters=1135,
        settings={"img_size": 224, "patch_size": 16, "mlp_ratio": 5.33334},
        images_as={**_IMAGENET, "interpolation": "bicubic"},
    ),
    FoundationModel(
        name="h-optimus-0",
        images="pathology",
        licence="Apache-2.0",
        repository="bioptimus/H-optimus-0",
        gated=True,
        format="timm",
        architecture="vit_giant_patch14_reg4_dinov2",
        tokens=(5, 256),
        size=224,
        parameters=1135,
        settings=_GIANT,
        images_as={**_BIOPTIMUS, "interpolation": "bicubic"},
    ),
    FoundationModel(
        name="h-optimus-1",
        images="pathology",
        licence="CC-BY-NC-ND-4.0",
        repository="bioptimus/H-optimus-1",
        gated=True,
        format="timm",
        architecture="vit_giant_patch14_reg4_dinov2",
        tokens=(5, 256),
        size=224,
        parameters=1135,
        settings=_GIANT,
        images_as={**_BIOPTIMUS, "interpolation": "bicubic"},
    ),
    FoundationModel(
        name="phikon",
        images="pathology",
        licence="Owkin non-commercial",
        repository="owkin/phikon",
        gated=False,
        format="transformers",
        architecture="vit_base_patch16_224",
        tokens=(1, 196),
        size=224,
        parameters=86,
    ),
    FoundationModel(
        name="phikon-v2",
        images="pathology",
        licence="Owkin non-commercial",
        repository="owkin/phikon-v2",
        gated=False,
        format="transformers",
        architecture="vit_large_patch14_dinov2",
        tokens=(1, 196),
        size=224,
        parameters=303,
        settings={"img_size": 224, "patch_size": 16},
    ),
    FoundationModel(
        name="midnight",
        images="pathology",
        licence="MIT",
        repository="kaiko-ai/midnight",
        gated=False,
        format="transformers",
        architecture="vit_giant_patch14_dinov2",
        tokens=(1, 256),
        size=224,
        parameters=1135,
        settings={"img_size": 224},
        images_as={"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    ),
    FoundationModel(
        name="lunit-dino",
        images="pathology",
        licence="Lunit non-commercial",
        repository="1aurent/vit_small_patch16_224.lunit_dino",
        gated=False,
        format="timm",
        architecture="vit_small_patch16_224",
        tokens=(1, 196),
        size=224,
        parameters=22,
        images_as={"mean": [0.70322989, 0.53606487, 0.66096631], "std": [0.21716536, 0.26081574, 0.20723464]},
    ),
    FoundationModel(
        name="plip",
        images="pathology",
        licence="non-commercial",
        repository="vinid/plip",
        gated=False,
        format="transformers",
        architecture="vit_base_patch32_clip_quickgelu_224",
        tokens=(1, 49),
        size=224,
        parameters=87,
    ),
    FoundationModel(
        name="quiltnet-b-32",
        images="pathology",
        licence="MIT",
        repository="wisdomik/QuiltNet-B-32",
        gated=False,
        format="open_clip",
        architecture="vit_base_patch32_clip_224",
        tokens=(1, 49),
        size=224,
        parameters=87,
    ),
    FoundationModel(
        name="rad-dino",
        images="chest X-rays",
        licence="MIT, for research",
        repository="microsoft/rad-dino",
        gated=False,
        format="transformers",
        architecture="vit_base_patch14_dinov2",
        tokens=(1, 1369),
        size=518,
        parameters=87,
    ),
    FoundationModel(
        name="pubmedclip",
        images="radiology",
        licence="MIT",
        repository="flaviagiammarino/pubmed-clip-vit-base-patch32",
        gated=False,
        format="transformers",
        architecture="vit_base_patch32_clip_quickgelu_224",
        tokens=(1, 49),
        size=224,
        parameters=87,
    ),
    FoundationModel(
        name="biomedclip",
        images="figures of biomedical papers",
        licence="MIT, for research",
        repository="microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224",
        gated=False,
        format="open_clip",
        architecture="vit_base_patch16_224",
        tokens=(1, 196),
        size=224,
        parameters=86,
    ),
    FoundationModel(
        name="medsiglip",
        images="X-rays, skin, eyes, pathology, CT, MRI",
        licence="Health AI Developer Foundations",
        repository="google/medsiglip-448",
        gated=True,
        format="transformers",
        architecture="vit_so400m_patch14_siglip_224",
        tokens=(0, 1024),
        size=448,
        parameters=429,
        settings={"img_size": 448},
    ),
    FoundationModel(
        name="dinov3-l",
        images="photographs, nothing medical",
        licence="DINOv3 License",
        repository="facebook/dinov3-vitl16-pretrain-lvd1689m",
        gated=True,
        format="transformers",
        architecture="vit_large_patch16_dinov3_qkvb",
        tokens=(5, 196),
        size=224,
        parameters=303,
        settings={"img_size": 224, "global_pool": "token"},
    ),
)
