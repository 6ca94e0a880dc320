# SPDX-License-Identifier: Apache-2.0

"""``monai-ept adapt``."""

from __future__ import annotations

import argparse

from monai_ept.command_line import Command, yaml_options

__all__ = ["COMMAND"]

_SETTINGS = ("steps", "batch_size", "lr", "temperature", "views", "amp")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", help="a folder of images, in any folders of its own; no labels are needed or read")
    what = parser.add_argument_group("the network that will be trained")
    what.add_argument("--backbone", required=True, help="a timm model, or embedded")
    what.add_argument("--pretrained", default="true", help="its weights: a path, true (hub) or false (%(default)s)")
    what.add_argument("--backbone-settings", metavar="YAML", help="of its architecture: {init_values: 1.0e-5}")
    what.add_argument("--method", default="[ln, bias]", help="as YAML: a name, or {name: lora, rank: 8} (%(default)s)")
    what.add_argument("--img-size", type=int, help="size of the images (the backbone's own)")
    data = parser.add_argument_group("a data set instead of a folder of images")
    data.add_argument("--source", help="how the folder is read, see docs/data.md; its test images are left out")
    data.add_argument("--option", nargs="+", default=[], metavar="NAME=VALUE", help="options of the source")
    data.add_argument("--split", metavar="FILE", help="leave out what this split tests and validates on, too")
    how = parser.add_argument_group("how it is adapted")
    how.add_argument("--steps", type=int, help="of the optimizer (120)")
    how.add_argument("--batch-size", type=int, help="images per step, each seen twice (128)")
    how.add_argument("--lr", type=float, help="learning rate (what suits the method)")
    how.add_argument("--temperature", type=float, help="of the contrastive loss (0.15)")
    how.add_argument("--views", help="one, upright, or turned where up has no meaning (upright)")
    how.add_argument("--amp", help="auto, bfloat16, float16 or off (auto: half precision on CUDA only)")
    how.add_argument("--seed", type=int, default=0, help="of all that is random (%(default)s)")
    how.add_argument("--device", help="such as cpu or cuda (cuda if there is a card)")
    how.add_argument("--num-workers", type=int, default=0, help="processes that load images (%(default)s)")
    parser.add_argument("--out", default="adapted", metavar="FOLDER", help="folder of the result (./adapted)")
    parser.add_argument("--resume", action="store_true", help="go on with an adaptation that ended early")
    parser.add_argument("--overwrite", action="store_true", help="replace an adaptation that is in that folder")


def _run(args: argparse.Namespace) -> None:
    """Adapt, and say where the result is and what to do with it."""
    from monai_ept.bundle.images_to_predict import find_images
    from monai_ept.data import FewShotSplit, Record, RecordSet, load_source
    from monai_ept.engines.adaptation import adapt
    from monai_ept.engines.adaptation_settings import adaptation_of
    from monai_ept.engines.setting_checks import check_settings
    from monai_ept.runs.build_network import make_network
    from monai_ept.yaml_file import load_yaml

    settings = {name: getattr(args, name) for name in _SETTINGS}
    adaptation_of(settings)  # what is wrong with them is said before images are read, which may take long
    method = load_yaml(args.method, "--method")
    built = {
        "backbone": args.backbone,
        "img_size": args.img_size,
        "method": method,
        "backbone_settings": load_yaml(args.backbone_settings or "{}", "--backbone-settings"),
    }
    check_settings(
        network=built,
        **{"seed": args.seed, "device": args.device, "num_workers": args.num_workers},
    )
    if args.source is None and (args.option or args.split):
        raise ValueError("--option and --split go with a data set: name its --source, folder for one.")
    records: list[Record] | RecordSet
    split = None
    if args.source is None:
        records = find_images(args.images)
    else:
        records = data = load_source(args.source, args.images, **yaml_options("--option", args.option))
        split = None if args.split is None else FewShotSplit.load(args.split, data)
    net = make_network(
        ["any", "other"],  # the head has no part in it
        pretrained=args.pretrained,
        seed=args.seed,
        **built,
    )
    result = adapt(
        net,
        records,
        settings=settings,
        split=split,
        out_dir=args.out,
        seed=args.seed,
        resume=args.resume,
        overwrite=args.overwrite,
        device=args.device,
        num_workers=args.num_workers,
    )
    print(f"adapted     {result.path} ({result.path.stat().st_size / 1000:,.0f} kB), to {result.images} images")
    print("start from  it with net.start_from(…) in Python, --adapted in a bundle, adapted: in a sweep")


COMMAND = Command(
    "adapt",
    "Adapt a method's own parameters to images without labels, for trainings to start from. "
    "It learns by contrast, in minutes to hours, and goes on where it was interrupted.",
    _add_arguments,
    _run,
)
