# SPDX-License-Identifier: Apache-2.0

"""Records, few-shot splits, samplers and transforms; each source of data has a file in ``sources``."""

from __future__ import annotations

from monai_ept.data.check_records import validate_records
from monai_ept.data.episode_sampler import EpisodeBatchSampler
from monai_ept.data.few_shot import few_shot_split
from monai_ept.data.records import DataError, Record, RecordSet
from monai_ept.data.seeded_loader import PerSampleRandom, SeededDataLoader
from monai_ept.data.sources.registry import list_sources, load_source, register_source
from monai_ept.data.split import FewShotSplit
from monai_ept.data.transforms import eval_transforms, train_transforms

__all__ = [
    "DataError",
    "EpisodeBatchSampler",
    "FewShotSplit",
    "PerSampleRandom",
    "Record",
    "RecordSet",
    "SeededDataLoader",
    "eval_transforms",
    "few_shot_split",
    "list_sources",
    "load_source",
    "register_source",
    "train_transforms",
    "validate_records",
]
