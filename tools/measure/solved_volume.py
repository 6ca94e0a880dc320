# SPDX-License-Identifier: Apache-2.0

"""A head solved in closed form beside one that is trained, on volumes whose network starts from image weights.

    python tools/measure/solved_volume.py $MONAI_EPT_DATA/medmnist adrenalmnist3d.npz \\
        --pretrained $MONAI_EPT_DATA/weights/vit_tiny_patch16_224.augreg_in21k_ft_in1k.safetensors

Each sampling of few-shot images is one pair.
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import torch
from monai.data import Dataset
from torch import Tensor

from monai_ept.data import few_shot_split, load_source
from monai_ept.data.views import test_views
from monai_ept.engines import Training, network_transforms
from monai_ept.engines.solve import image_features
from monai_ept.metrics import classification_metrics
from monai_ept.model import TunedViT
from monai_ept.reporting.statistics import estimate
from monai_ept.runs.build_network import make_network

RECIPES: dict[str, dict[str, Any]] = {
    "trained": {"name": "train"},
    "solved": {"name": "solve"},
    "solved, pooled, one view": {"name": "solve", "readout": "pooled", "views": "one"},
}


def tested_features(net: TunedViT, records: Any) -> Tensor:
    """Features ``(images, views, features)`` of what a test takes the mean over."""
    images, views = Dataset(records, network_transforms(net)), test_views(net.views)
    how: dict[str, Any] = {"device": torch.device("cpu"), "amp": "bfloat16"}
    return torch.stack([image_features(net, one["image"], views, **how) for one in images])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset_dir")
    parser.add_argument("file")
    parser.add_argument("--backbone", default="vit_tiny_patch16_224.augreg_in21k_ft_in1k")
    parser.add_argument("--pretrained", default="false")
    parser.add_argument("--samplings", type=int, default=10)
    parser.add_argument("--views", default="upright")
    parser.add_argument("--img-size", type=int, default=28)
    parser.add_argument("--patch-size", type=int, default=7)
    parser.add_argument("--part", default="test", choices=("val", "test"))
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    data = load_source("medmnist", args.dataset_dir, file=args.file)
    features: dict[str, Tensor] = {}  # nothing in the backbone trains, so that all samplings share them
    for shots in (1, 5, 10):
        scores: dict[str, list[tuple[float, float]]] = {name: [] for name in RECIPES}
        for sampling in range(args.samplings):
            split = few_shot_split(data, shots=shots, seed=sampling, val="rest" if args.part == "val" else "none")
            records = getattr(split, args.part)
            labels = torch.tensor([record["label"] for record in records])
            for name, recipe in RECIPES.items():
                views = {"views": args.views} if name == "solved" else {}
                net = make_network(
                    data.class_names,
                    backbone=args.backbone,
                    pretrained=args.pretrained,
                    img_size=args.img_size,
                    in_channels=1,
                    spatial_dims=data.spatial_dims,
                    patch_size=args.patch_size,
                    method="linear",
                    seed=sampling,
                )
                Training(
                    net, split, {**recipe, "amp": "bfloat16", **views}, data=data, seed=sampling, progress=False
                ).train()
                net.eval()
                if name not in features:
                    features[name] = tested_features(net, records)
                with torch.no_grad():
                    probabilities = net.head(features[name]).mean(1).softmax(-1)
                found = classification_metrics(probabilities, labels, inputs="probabilities", num_bins=10)
                scores[name].append((found["balanced_accuracy"], found["ece"]))
        for name, pairs in scores.items():
            accuracy, error = torch.tensor(pairs).mean(0).tolist()
            gain = [own[0] - other[0] for own, other in zip(pairs, scores["trained"], strict=True)]
            low, high = estimate(gain).interval[1:]
            against = (
                "" if name == "trained" else f"  against trained {sum(gain) / len(gain):+.3f} [{low:+.3f}, {high:+.3f}]"
            )
            print(
                f"{shots:>2} shots  {name:<26} balanced accuracy {accuracy:.3f}  ECE {error:.3f}{against}", flush=True
            )


if __name__ == "__main__":
    main()
