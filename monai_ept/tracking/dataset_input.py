# SPDX-License-Identifier: Apache-2.0

"""A few-shot split as MLflow's page shows a data set: its name, digest, source, columns and counts."""

from __future__ import annotations

import json
from typing import Any

from monai_ept.data.split import FewShotSplit

__all__ = ["dataset_of"]

_COLUMNS = {"image": "string", "label": "long", "group": "string", "id": "string"}


def dataset_of(split: FewShotSplit) -> dict[str, str]:
    """
    What ``mlflow.entities.Dataset`` takes.

    Args:
        split: the split. Its hash is the digest: the same digest, the same images in the same parts.

    Example::

        >>> run.log_dataset(dataset_of(split))
    """
    origin = split.origin or {}
    about = {"source": origin.get("source", split.source), "options": origin.get("options") or {}}
    folder = origin.get("dataset_dir")
    kind, where = ("local", {"uri": folder, **about}) if folder else ("code", {"tags": about})
    multilabel = any(isinstance(record["label"], (list, tuple)) for record in split.train[:1])
    columns = [
        {"name": name, "type": "string" if multilabel and name == "label" else kind_of, "required": True}
        for name, kind_of in _COLUMNS.items()
    ]
    counts: dict[str, Any] = {key: value for key, value in split.summary.items() if key != "joined"}
    parts = {part: len(getattr(split, part)) for part in ("train", "val", "test")}
    return {
        "name": split.source[:500],
        "digest": split.hash,
        "source_type": kind,
        "source": json.dumps(where, default=str, ensure_ascii=False),
        "schema": json.dumps({"mlflow_colspec": columns}),
        "profile": json.dumps({"num_rows": sum(parts.values()), **parts, "settings": split.settings, **counts}),
    }
