# SPDX-License-Identifier: Apache-2.0

"""A federation of three clients beside all their images in one place, and beside each client alone.

    python -m tools.measure.federation build/federation                       # the embedded set
    python -m tools.measure.federation build/federation --data $MONAI_EPT_DATA/isic2018
    python -m tools.measure.federation build/federation --table               # what is there so far

Lesions go to clients by class, in shares drawn from a Dirichlet distribution: few shares, unlike each other. Each
sampling is one file in the folder, and one that is there is not computed again. Features of frozen networks are kept
beside them: an image has the same ones in every sampling.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import Dataset
from monai.fl.utils.constants import ExtraItems
from monai.fl.utils.exchange_object import ExchangeObject
from torch import Tensor

from monai_ept.data import FewShotSplit, RecordSet, few_shot_split, load_source
from monai_ept.data.records import Record, bare_records
from monai_ept.data.views import test_views, train_views
from monai_ept.engines import Training, network_transforms
from monai_ept.engines.solve import image_features
from monai_ept.federated import DeltaAlgo, federated_average, put_trained, solve_from_sums, trained_tensors
from monai_ept.federated.feature_sums import feature_sums
from monai_ept.files import write_whole
from monai_ept.metrics import classification_metrics
from monai_ept.model import TunedViT
from monai_ept.reporting.statistics import estimate
from monai_ept.runs.build_network import make_network

BUNDLE = str(Path(__file__).resolve().parents[2] / "bundles" / "ept_derm")
CLIENTS, SHOTS, ROUNDS, CONCENTRATION, VIEWS = 3, 10, 4, 0.5, "turned"
RECIPE = {"name": "tune", "views": VIEWS, "amp": "bfloat16", "keep_solved": False}
CPU = torch.device("cpu")


def shared_out(records: Sequence[Record], clients: int, concentration: float, seed: int) -> list[list[Record]]:
    """Records of each client: of each class, lesion by lesion, in shares that are drawn; no client has none."""
    rng = np.random.default_rng(seed)
    lesions: dict[int, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        lesions[int(record["label"])][record["group"]].append(record)
    parts: list[list[Record]] = [[] for _ in range(clients)]
    for label in sorted(lesions):
        shares = rng.dirichlet([concentration] * clients)
        owners = rng.choice(clients, len(lesions[label]), p=shares)
        for owner, (_, own) in zip(owners, sorted(lesions[label].items()), strict=True):
            parts[owner] += own
    while not all(parts):
        parts[[not part for part in parts].index(True)].append(max(parts, key=len).pop())
    return parts


class Remembered:
    """Features of images by networks in which nothing trains, on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kept: dict[str, Tensor] = torch.load(path) if path.is_file() else {}
        self.images: dict[str, Tensor] = {}

    def of(self, net: TunedViT, record: Record, dataset: Any, index: int, views: Any, kind: str) -> Tensor:
        starts = ",".join(f"{getattr(method, 'start', None)}" for method in net.methods)
        key = f"{kind} {starts} {record['id']}"
        if key not in self.kept:
            image = dataset[index]["image"]
            self.kept[key] = image_features(net, image, views, device=CPU, amp="bfloat16").half()
        return self.kept[key].float()

    def features(self, net: TunedViT, records: Sequence[Record], dataset: Any) -> tuple[Tensor, Tensor]:
        """Features ``(images, views, features)`` of training images, and their labels."""
        was = net.training
        net.eval()
        views = train_views(net.views)
        found = [self.of(net, record, dataset, index, views, "train") for index, record in enumerate(records)]
        net.train(was)
        return torch.stack(found), torch.tensor([int(record["label"]) for record in records])

    def look(self, net: TunedViT, loader: Any, *, records: Sequence[Record], **_: Any) -> tuple[Tensor, Tensor]:
        """As ``view_features``, which ``Training.look`` is."""
        return self.features(net, records, loader.dataset)

    def save(self) -> None:
        buffer = io.BytesIO()
        torch.save(self.kept, buffer)
        write_whole(self.path, buffer.getvalue())


class Measurement:
    """One data set and one backbone."""

    def __init__(self, folder: Path, data: RecordSet, backbone: str, pretrained: str | bool) -> None:
        self.folder, self.data = folder, data
        self.network = {"backbone": backbone, "pretrained": pretrained, "method": "ept"}
        folder.mkdir(parents=True, exist_ok=True)
        self.remembered = Remembered(folder / "features.pt")
        self.images: Tensor | None = None

    def net(self, seed: int) -> TunedViT:
        return make_network(self.data.class_names, **self.network, seed=seed)

    def training(self, split: FewShotSplit, recipe: dict[str, Any], seed: int) -> Training:
        net = self.net(seed)
        # Not cached, since features that are kept need no image; random views are of batches.
        images = Dataset(bare_records(split.train), network_transforms(net))
        training = Training(net, split, recipe, data=self.data, seed=seed, progress=False, train_set=images)
        training.look = partial(self.remembered.look, records=split.train)
        return training

    def accuracy(self, net: TunedViT, test: Sequence[Record]) -> float:
        """Balanced accuracy on the test images, averaged over views."""
        net.eval()
        labels = torch.tensor([int(record["label"]) for record in test])
        if self.images is None:
            prepared = Dataset(bare_records(test), network_transforms(net))
            self.images = torch.stack([torch.as_tensor(one["image"]) for one in prepared]).half()
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            logits = torch.cat([net(batch.float()).float() for batch in self.images.split(25)])
        return float(classification_metrics(logits, labels, inputs="logits")["balanced_accuracy"])

    def solved_accuracy(self, net: TunedViT, test: Sequence[Record]) -> float:
        """The same of a network in which nothing has trained but the head, from features that are kept."""
        net.eval()
        views, prepared = test_views(net.views), Dataset(bare_records(test), network_transforms(net))
        found = [self.remembered.of(net, one, prepared, index, views, "test") for index, one in enumerate(test)]
        labels = torch.tensor([int(record["label"]) for record in test])
        with torch.inference_mode():
            logits = net.head(torch.stack(found)).mean(1)
        return float(classification_metrics(logits, labels, inputs="logits")["balanced_accuracy"])

    def sampling(self, seed: int, trained: bool) -> dict[str, Any]:
        """Everything of one sampling."""
        split = few_shot_split(self.data, SHOTS, seed)
        parts = [replace(split, train=part) for part in shared_out(split.train, CLIENTS, CONCENTRATION, seed)]
        found: dict[str, Any] = {"images": [len(part.train) for part in parts]}
        found["classes"] = [len({record["label"] for record in part.train}) for part in parts]

        def solved(part: FewShotSplit) -> float:
            training = self.training(part, {**RECIPE, "name": "solve"}, seed)
            training.train()
            return self.solved_accuracy(training.net, split.test)

        found["solved, pooled"] = solved(split)
        found["solved, alone"] = [solved(part) for part in parts]
        server = self.training(split, RECIPE, seed).net
        sums = [self.sums(server, part.train) for part in parts]
        solve_from_sums(server, sums)
        found["solved, federated"] = self.solved_accuracy(server, split.test)
        found["bytes of sums"] = [size_of(one) for one in sums]
        self.remembered.save()
        if not trained:
            return found
        clients = [self.client(part, seed, name) for name, part in zip("abc", parts, strict=True)]
        pooled = self.training(split, RECIPE, seed)
        pooled.train()
        found["tuned, pooled"] = self.accuracy(pooled.net, split.test)
        weights, found["tuned, federated, by round"] = trained_tensors(server), []
        for number in range(ROUNDS):
            for client in clients:
                client.train(ExchangeObject(weights=weights))
            sent = [client.get_weights() for client in clients]
            weights = federated_average(weights, sent)
            put_trained(server, weights)
            if number in (0, ROUNDS - 1):
                found["tuned, federated, by round"].append(self.accuracy(server, split.test))
        again = [client.get_sums(ExchangeObject(weights=weights)).weights for client in clients]
        solve_from_sums(server, again)
        found["tuned, federated"] = self.accuracy(server, split.test)
        found["bytes of a round"] = size_of(sent[0].weights)
        return found

    def sums(self, net: TunedViT, records: Sequence[Record]) -> dict[str, Tensor]:
        """What a client of these records would send for the head."""
        prepared = Dataset(bare_records(records), network_transforms(net))
        features, labels = self.remembered.features(net, records, prepared)
        return feature_sums(features, labels, num_classes=net.num_classes, least=1)

    def client(self, part: FewShotSplit, seed: int, name: str) -> DeltaAlgo:
        given = {"data": self.data, "split": part, "seed": seed, "views": VIEWS, "amp": "bfloat16", "batch_size": 12}
        given |= {"training#progress": False, "network_settings#backbone": self.network["backbone"]}
        algo = DeltaAlgo(
            BUNDLE, rounds=ROUNDS, least=1, train_kwargs={**given, "pretrained": self.network["pretrained"]}
        )
        with contextlib.redirect_stdout(io.StringIO()):
            algo.initialize({ExtraItems.CLIENT_NAME: name})
        return algo


def size_of(tensors: dict[str, Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def table(folder: Path) -> str:
    """Means, and differences sampling by sampling with their intervals."""
    lines = []
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        runs = [json.loads(path.read_text()) for path in sorted(place.glob("sampling-*.json"))]
        for kind in ("solved", "tuned"):
            done = [run for run in runs if f"{kind}, federated" in run]
            if not done:
                continue
            line = f"{place.name}, {kind}, {len(done)} samplings:"
            columns = {name: [run[f"{kind}, {name}"] for run in done] for name in ("pooled", "federated")}
            if kind == "solved":
                columns["alone"] = [float(np.mean(run["solved, alone"])) for run in done]
            line += "".join(f"  {name} {np.mean(values):.3f}" for name, values in columns.items())
            for name in columns.keys() - {"pooled"}:
                found = estimate([a - b for a, b in zip(columns[name], columns["pooled"], strict=True)]).interval
                line += f"  {name} - pooled {found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
            if kind == "tuned":
                first, last = np.mean([run["tuned, federated, by round"] for run in done], 0)
                line += f"  after round 1 {first:.3f}, {ROUNDS} {last:.3f}, before the head is solved again"
                line += f"  {done[0]['bytes of a round']:,} bytes a round"
            else:
                line += f"  {np.mean([run['bytes of sums'] for run in done]):,.0f} bytes of sums"
            lines.append(line)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", help="folder of ISIC 2018; the embedded set by default")
    parser.add_argument("--backbone", default="embedded")
    parser.add_argument("--pretrained", default=False, help="its weights")
    parser.add_argument("--samplings", type=int, default=10)
    parser.add_argument("--solved-only", action="store_true")
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    if not args.table:
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        data = load_source("isic2018", args.data) if args.data else load_source("synthetic_derm", lazy=args.solved_only)
        measurement = Measurement(args.folder / f"{data.name} {args.backbone}", data, args.backbone, args.pretrained)
        for seed in range(args.samplings):
            path = measurement.folder / f"sampling-{seed:02d}.json"
            there = json.loads(path.read_text()) if path.is_file() else {}
            if "tuned, federated" in there or (args.solved_only and there):
                continue
            write_whole(path, json.dumps(measurement.sampling(seed, not args.solved_only), indent=1) + "\n")
            print(path, flush=True)
    print(table(args.folder))


if __name__ == "__main__":
    main()
