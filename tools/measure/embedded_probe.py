# SPDX-License-Identifier: Apache-2.0
"""What frozen features are worth: the embedded backbone, the same network at random, other weights, and its history.

A logistic regression on standardised class token features, trained on 100, 10 or 5 images per class and tested on the
official test images (ISIC 2018, the synthetic lesions) or on all others (colon). Its strength is chosen by
cross-validation on the training images, whole lesions together. Mean balanced accuracy over five samplings with its
95 % interval (Student's t).

Run from the repository root, with MONAI_EPT_DATA set as docs/benchmark.md says:
  python tools/measure/embedded_probe.py --weights vit_tiny_patch16_224=PATH.safetensors --out worth --steps pretraining
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from pathlib import Path

import numpy as np
import torch
from monai.data import DataLoader, Dataset

from monai_ept import TunedViT
from monai_ept.data import RecordSet, few_shot_split, load_source
from monai_ept.engines import network_transforms
from monai_ept.reporting.markdown import markdown_table
from monai_ept.reporting.statistics import estimate

SAMPLINGS = 5
PER_CLASS = (100, 10, 5)

LESIONS = "synthetic_derm"
"""Its numbers are lesions per class, each of one to three images, as when it is trained on; there are not 100."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("MONAI_EPT_DATA"), help="folder of isic2018 and colon_lc25000")
    parser.add_argument("--weights", nargs="*", default=[], metavar="NAME=PATH", help="other backbones to compare with")
    parser.add_argument("--steps", type=Path, help="folder of a pretraining, for the curve over its steps")
    parser.add_argument("--out", type=Path, default=Path("embedded_probe"), help="folder for the results (%(default)s)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    if not args.data:
        parser.error("pass --data, or set MONAI_EPT_DATA")
    torch.set_num_threads(args.threads)
    warnings.filterwarnings("ignore", category=UserWarning)
    sets = {
        "isic2018": load_source("isic2018", Path(args.data) / "isic2018"),
        "colon": load_source("folder", Path(args.data) / "colon_lc25000"),
        LESIONS: load_source(LESIONS),
    }
    backbones: dict[str, tuple[str, bool | str]] = {"embedded_random": ("embedded_random", False)}
    for path in sorted(args.steps.glob("step-*.safetensors")) if args.steps else []:
        backbones[f"step {int(path.stem.split('-')[1])}"] = ("embedded", str(path))
    backbones["embedded"] = ("embedded", True)
    for weights in args.weights:
        name, _, path = weights.partition("=")
        backbones[name] = (name, path)

    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "probe.json"
    results = json.loads(path.read_text()) if path.exists() else {}  # what was measured before is kept
    for name, (backbone, pretrained) in backbones.items():
        if name in results:
            continue
        net = TunedViT(backbone, 2, method="linear", pretrained=pretrained).eval()
        results[name] = {
            f"{source} {number}": probe(features(net, data), data, number)
            for source, data in sets.items()
            for number in PER_CLASS
            if source != LESIONS or number < 100
        }
        path.write_text(json.dumps(results, indent=1) + "\n")
        print(name, {key: round(float(np.mean(scores)), 3) for key, scores in results[name].items()}, flush=True)
    rows = [["backbone", *next(iter(results.values()))]]
    for name in backbones:
        found = [estimate(scores).interval for scores in results[name].values()]
        rows.append([name, *(f"{one.value:.3f} ± {one.high - one.value:.3f}" for one in found)])
    (args.out / "probe.md").write_text(markdown_table(rows) + "\n")
    print(markdown_table(rows))


@torch.no_grad()
def features(net: TunedViT, data: RecordSet) -> np.ndarray:
    kept = net.__dict__.setdefault("_features", {})  # images are read once for all numbers
    if data.name not in kept:
        records = [{"image": record["image"]} for record in data.records]
        loader = DataLoader(Dataset(records, network_transforms(net)), batch_size=32)
        kept[data.name] = torch.cat([torch.as_tensor(net.features(batch["image"])) for batch in loader]).numpy()
    return kept[data.name]


def probe(found: np.ndarray, data: RecordSet, number: int) -> list[float]:
    """Balanced accuracies of the samplings."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labels = np.array([record["label"] for record in data.records])
    groups = np.array([record["group"] for record in data.records])
    official = np.array([record.get("split") == "test" for record in data.records])
    scores = []
    for seed in range(SAMPLINGS):
        if data.name == LESIONS:
            taken = {record["group"] for record in few_shot_split(data, number, seed, val="none").train}
            train = np.flatnonzero([group in taken for group in groups])
        else:
            rng = np.random.default_rng(seed)
            usable = [np.flatnonzero((labels == label) & ~official) for label in range(data.num_classes)]
            train = np.concatenate([rng.permutation(members)[:number] for members in usable])
        # Nothing of a lesion or file that was trained on is tested on.
        test = np.flatnonzero(official if official.any() else ~np.isin(groups, groups[train]))
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        strengths = {"logisticregression__C": [0.001, 0.003, 0.01, 0.03, 0.1, 0.3]}
        folds = StratifiedGroupKFold(3, shuffle=True, random_state=seed)
        search = GridSearchCV(model, strengths, scoring="balanced_accuracy", cv=folds)
        search.fit(found[train], labels[train], groups=groups[train])
        scores.append(float(balanced_accuracy_score(labels[test], search.predict(found[test]))))
    return scores


if __name__ == "__main__":
    main()
