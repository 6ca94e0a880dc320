# SPDX-License-Identifier: Apache-2.0

"""
How much of a training's time is the network's: steps of ``Training`` beside a bare loop on the same tensors.

    python tools/measure/loop_share.py                   # on a card if there is one
    python tools/measure/loop_share.py --backbone embedded --batch-sizes 4 --epochs 3      # anywhere, in a minute

The bare loop is forward, loss, backward and optimizer, on one batch that lies on the device. Epochs of the training,
with its loader, random views, handlers and history, take turns with epochs of the bare loop; the median of the ratios
is printed. The first epoch of each is not counted.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from ignite.engine import Events

from monai_ept import TunedViT
from monai_ept.data import few_shot_split, load_source
from monai_ept.engines import Training
from monai_ept.networks.precision import autocast
from monai_ept.reporting.markdown import markdown_table


def now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def share(backbone: str, batch_size: int, *, device: torch.device, epochs: int, steps: int, augment: bool) -> list[str]:
    """A row of the table: milliseconds of a step in the bare loop and in the training, and their ratio."""
    torch.manual_seed(0)
    data = load_source("synthetic_derm")
    net = TunedViT(backbone, data.num_classes, class_names=data.class_names)
    recipe = {"name": "train", "epochs": epochs, "batch_size": batch_size, "steps_per_epoch": steps}
    recipe |= {"augment": augment, "random_views": not augment, "amp": "auto"}
    training = Training(net, few_shot_split(data, shots=10), recipe, device=device, progress=False)
    trainer, optimizer, loss = training.trainer, training.optimizer, training.loss
    batch = next(iter(training.train_loader))
    images, labels = torch.as_tensor(batch["image"]).to(device), batch["label"].to(device)
    began, took, bare = [0.0], [], []

    def begin(_: object) -> None:
        began[0] = now(device)

    def end(_: object) -> None:
        took.append((now(device) - began[0]) / steps)
        state = {name: value.clone() for name, value in net.state_dict().items()}
        start = now(device)
        for _step in range(steps):
            optimizer.zero_grad(set_to_none=True)
            with autocast(device, "auto"):
                value = loss(net(images), labels).mean()
            value.backward()
            optimizer.step()
        bare.append((now(device) - start) / steps)
        net.load_state_dict(state)

    trainer.add_event_handler(Events.EPOCH_STARTED, begin)
    trainer.add_event_handler(Events.ITERATION_COMPLETED(every=steps), end)
    training.train()
    ratio = statistics.median(b / t for b, t in zip(bare[1:], took[1:], strict=True))
    about = "seen by the loader, one by one" if augment else "random views of the batch"
    times = [f"{1000 * statistics.median(values[1:]):.1f}" for values in (bare, took)]
    return [backbone, str(batch_size), about, *times, f"{ratio:.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="vit_base_patch16_224")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[4, 32])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20, help="of an epoch")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    rows = [["backbone", "batch", "images", "bare step, ms", "step of a training, ms", "bare / training"]]
    for batch_size in args.batch_sizes:
        for augment in (False, True):
            how = {"epochs": args.epochs, "steps": args.steps, "augment": augment}
            rows.append(share(args.backbone, batch_size, device=torch.device(args.device), **how))
    print(markdown_table(rows))


if __name__ == "__main__":
    main()
