# SPDX-License-Identifier: Apache-2.0

"""MedMNIST files: 2-D and 3-D, of any size."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from monai_ept.data.check_records import too_few_classes, validate_records
from monai_ept.data.image_file import check_sizes, reason
from monai_ept.data.records import DataError, Record, RecordSet, Task

__all__ = ["medmnist"]

_ORGANS_2D = "bladder,femur-left,femur-right,heart,kidney-left,kidney-right,liver,lung-left,lung-right,pancreas,spleen"
_CLASS_NAMES = {
    "pathmnist": "adipose,background,debris,lymphocytes,mucus,smooth muscle,normal colon mucosa,"
    "cancer-associated stroma,colorectal adenocarcinoma epithelium",
    "chestmnist": "atelectasis,cardiomegaly,effusion,infiltration,mass,nodule,pneumonia,pneumothorax,consolidation,"
    "edema,emphysema,fibrosis,pleural,hernia",
    "dermamnist": "akiec,bcc,bkl,df,mel,nv,vasc",
    "octmnist": "choroidal neovascularization,diabetic macular edema,drusen,normal",
    "pneumoniamnist": "normal,pneumonia",
    "breastmnist": "malignant,normal or benign",
    "bloodmnist": "basophil,eosinophil,erythroblast,immature granulocytes,lymphocyte,monocyte,neutrophil,platelet",
    "organamnist": _ORGANS_2D,
    "organcmnist": _ORGANS_2D,
    "organsmnist": _ORGANS_2D,
    "nodulemnist3d": "benign,malignant",
    "adrenalmnist3d": "normal,hyperplasia",
    "fracturemnist3d": "buckle rib fracture,nondisplaced rib fracture,displaced rib fracture",
    "vesselmnist3d": "vessel,aneurysm",
    "synapsemnist3d": "inhibitory synapse,excitatory synapse",
}


def medmnist(
    dataset_dir: str | Path,
    file: str | None = None,
    *,
    class_names: Sequence[str] | None = None,
    check_images: str = "quick",
) -> RecordSet:
    """Read a MedMNIST file with its official splits; the images are kept in memory.

    The files name no patients, so every image is a group of its own (AdrenalMNIST3D, for one, has two glands of each
    patient; its official splits keep patients apart, a few-shot choice within them cannot).

    Args:
        dataset_dir: the folder, or the ``.npz`` file itself.
        file: file name in the folder, e.g. "adrenalmnist3d_64.npz"; may be left out if there is only one.
        class_names: names in label order; default those of the MedMNIST set the file is named after, or numbers.
        check_images: "none" skips the check of the arrays.

    Raises:
        DataError: listing every problem, such as a missing key.

    Returns:
        the validated records.

    Example::

        data = medmnist("data/medmnist", "adrenalmnist3d_64.npz")
    """
    path = _npz(Path(dataset_dir), file)
    try:
        check_sizes(path)
        with np.load(path, allow_pickle=False) as content:
            arrays = {key: content[key] for key in content.files if key.endswith(("_images", "_labels"))}
            keys = list(content.files)
    except Exception as error:  # of a damaged archive: errors of zipfile, zlib, struct and tokenize
        raise DataError(str(path), [f"the file cannot be read as npz ({reason(error)})"]) from None

    splits = ["train", *(split for split in ("val", "test") if any(key.startswith(f"{split}_") for key in arrays))]
    needed = [f"{split}_{part}" for split in splits for part in ("images", "labels")]
    problems = [f"there is no key {key!r}; the keys are {', '.join(keys)}" for key in needed if key not in arrays]
    if not problems:
        counts = {split: (len(arrays[f"{split}_images"]), len(arrays[f"{split}_labels"])) for split in splits}
        problems = [f"{n} {split} images, but {m} labels" for split, (n, m) in counts.items() if n != m]
    if not problems:
        problems += [
            f"{key} holds {arrays[key].dtype} instead of numbers"
            for key in needed
            if arrays[key].dtype.kind not in "biuf"
        ]
        kinds = {(arrays[f"{split}_images"].ndim, arrays[f"{split}_labels"].ndim) for split in splits}
        shapes = ", ".join(f"{key} {arrays[key].shape}" for key in needed)
        if any(not (3 <= images <= 5 and 1 <= labels <= 2) for images, labels in kinds):
            problems.append(f"these are no images and labels: the shapes are {shapes}")
        elif len(kinds) > 1:
            problems.append(f"the splits hold different things: the shapes are {shapes}")
    if problems:
        raise DataError(str(path), problems)

    labels = {split: arrays[f"{split}_labels"].reshape(len(arrays[f"{split}_labels"]), -1) for split in splits}
    multilabel = labels["train"].shape[1] > 1
    names = list(class_names or _known_names(path)) or _numbers(labels, multilabel)
    records: list[Record] = []
    for split in splits:
        for index, (image, row) in enumerate(zip(arrays[f"{split}_images"], labels[split], strict=True)):
            # numpy's whole numbers become Python's; anything else is left for the check to complain about
            values = [value.item() for value in row]
            identity = f"{split}_{index:06d}"
            label = values if multilabel else values[0]
            records.append({"image": image, "label": label, "group": identity, "id": identity, "split": split})
    task: Task = "multilabel" if multilabel else "multiclass"
    problems = [] if multilabel else too_few_classes(names)
    data = RecordSet(path.stem, records, tuple(names), task, _spatial_dims(arrays["train_images"]))
    places = [f"{path.name}, {record['id']}" for record in records]
    return validate_records(data, where=places, problems=problems, check_images=check_images)


def _npz(path: Path, file: str | None) -> Path:
    if file is not None:
        path = path / file
    elif path.is_dir():
        found = sorted(path.glob("*.npz"))
        if len(found) != 1:
            names = ", ".join(entry.name for entry in found) or "none"
            raise DataError(str(path), [f"name the file to read; npz files in this folder: {names}"])
        path = found[0]
    if not path.is_file():
        raise DataError(str(path), ["the file does not exist"])
    return path


def _known_names(path: Path) -> list[str]:
    match = re.match(r"[a-z]+mnist(?:3d)?", path.stem.lower())
    return _CLASS_NAMES.get(match.group(0), "").split(",") if match and match.group(0) in _CLASS_NAMES else []


def _numbers(labels: dict[str, np.ndarray], multilabel: bool) -> list[str]:
    if multilabel:
        return [str(number) for number in range(labels["train"].shape[1])]
    # No class may be empty, so a number as large as there are images is a slip, not a class.
    every = np.concatenate([values.ravel() for values in labels.values()])
    return [str(number) for number in range(int(every[every < len(every)].max(initial=0)) + 1)]


def _spatial_dims(images: np.ndarray) -> int:
    """Grey or colour images are 2-D; a fourth axis that is no colour makes volumes."""
    if images.ndim == 5:
        return 3
    return 2 if images.ndim == 3 or images.shape[-1] in (1, 3, 4) else 3
