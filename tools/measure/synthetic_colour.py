# SPDX-License-Identifier: Apache-2.0

"""Is colour enough to tell the synthetic lesions apart? It must not be, and structure must help.

Logistic regression on mean colours, on colour histograms, on structure without colour, on structure with colour
contrasts (each channel standardised within its picture, so that no absolute colour is left), and, with the path of a
timm checkpoint, on the features of a frozen ViT-Ti/16.

Run from the repository root: python tools/measure/synthetic_colour.py [--checkpoint vit_tiny_patch16_224.safetensors]
"""

from __future__ import annotations

import argparse

import numpy as np

from monai_ept.data.sources.synthetic import synthetic_derm


def mean_colours(images: np.ndarray) -> np.ndarray:
    return images.mean(axis=(1, 2)) / 255


def colour_statistics(images: np.ndarray) -> np.ndarray:
    """Everything about colours that ignores where they are: a 64-bin histogram, mean, spread, percentiles."""
    rows = []
    for image in images:
        colours = image.reshape(-1, 3)
        bins = (colours // 64).astype(np.intp) @ np.array([16, 4, 1])
        histogram = np.sqrt(np.bincount(bins, minlength=64) / len(bins))
        values = colours / 255
        percentiles = np.percentile(values, [1, 5, 25, 50, 75, 95, 99], axis=0)
        rows.append(np.concatenate([histogram, values.mean(axis=0), values.std(axis=0), percentiles.ravel()]))
    return np.stack(rows)


def structure_statistics(images: np.ndarray, colour_contrasts: bool) -> np.ndarray:
    """Gradients and second derivatives at four scales, of lightness and, if asked for, of red-green and blue-yellow."""
    values = images.astype(np.float32)
    values = values / values.mean(axis=(1, 2), keepdims=True)
    red, green, blue = np.moveaxis(values, -1, 0)
    channels = [values.mean(axis=3)]
    if colour_contrasts:
        channels += [red - green, blue - (red + green) / 2]
    columns = []
    for channel in channels:
        spread = channel.std(axis=(1, 2), keepdims=True) + 1e-6
        layer = (channel - channel.mean(axis=(1, 2), keepdims=True)) / spread
        for scale in range(4):
            padded = np.pad(layer, ((0, 0), (1, 1), (1, 1)), mode="edge")
            up, down, left, right = padded[:, :-2, 1:-1], padded[:, 2:, 1:-1], padded[:, 1:-1, :-2], padded[:, 1:-1, 2:]
            smooth = (up + down + left + right + 2 * layer) / 6
            for response in (np.hypot(right - left, down - up), layer - smooth):
                columns.append(np.percentile(response, [1, 5, 25, 50, 75, 95, 99], axis=(1, 2)).T)
                columns.append(np.stack([np.abs(response).mean(axis=(1, 2)), (response**3).mean(axis=(1, 2))], axis=1))
            if scale < 3:
                edge = smooth.shape[1] // 2
                layer = smooth[:, : 2 * edge, : 2 * edge].reshape(len(smooth), edge, 2, edge, 2).mean(axis=(2, 4))
    return np.hstack(columns)


def accuracy(train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray) -> float:
    """Test accuracy of a logistic regression; the best of three strengths, in favour of whoever is measured."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scores = []
    for strength in (0.1, 1.0, 10.0):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=3000))
        scores.append(model.fit(train, train_labels).score(test, test_labels))
    return float(max(scores))


def vit_features(images: np.ndarray, checkpoint: str) -> np.ndarray:
    import timm
    import torch

    net = timm.create_model("vit_tiny_patch16_224", checkpoint_path=checkpoint).eval()
    rows = []
    with torch.no_grad():
        for batch in np.array_split(images, max(1, len(images) // 32)):
            inputs = torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 127.5 - 1
            rows.append(net.forward_head(net.forward_features(inputs), pre_logits=True).numpy())
    return np.concatenate(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", help="timm's ViT-Ti/16 (augreg) weights")
    parser.add_argument("--num-per-class", type=int, default=90)
    parser.add_argument("--num-test-per-class", type=int, default=60)
    arguments = parser.parse_args()

    data = synthetic_derm(arguments.num_per_class, arguments.num_test_per_class, num_workers=2)
    images, labels = {}, {}
    for split in ("train", "test"):
        records = data.official(split)
        images[split] = np.stack([record["image"] for record in records])
        labels[split] = np.array([record["label"] for record in records])
    print(f"{len(images['train'])} training and {len(images['test'])} test images, 7 classes; test accuracy:")
    features = {
        "mean colours": mean_colours,
        "colour statistics": colour_statistics,
        "structure, no colour": lambda x: structure_statistics(x, colour_contrasts=False),
        "structure and colour contrasts": lambda x: structure_statistics(x, colour_contrasts=True),
    }
    if arguments.checkpoint:
        features["frozen ViT-Ti/16"] = lambda x: vit_features(x, arguments.checkpoint)
        features["frozen ViT-Ti/16, grey"] = lambda x: vit_features(
            np.repeat(x.mean(axis=3, keepdims=True), 3, axis=3), arguments.checkpoint
        )
    for name, function in features.items():
        train, test = function(images["train"]), function(images["test"])
        print(f"  {name}: {accuracy(train, labels['train'], test, labels['test']):.3f}", flush=True)


if __name__ == "__main__":
    main()
