# Copyright (c) The monai_ept developers
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#     http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Records, few-shot splits, samplers and transforms; each source of data has a file in ``sources``."""

from __future__ import annotations

from monai_ept.data.episodes import EpisodeBatchSampler
from monai_ept.data.few_shot import few_shot_split
from monai_ept.data.random_state import PerSampleRandom, SeededDataLoader
from monai_ept.data.records import DataError, Record, RecordSet
from monai_ept.data.sources.registry import list_sources, load_source, register_source
from monai_ept.data.split import FewShotSplit
from monai_ept.data.transforms import eval_transforms, train_transforms
from monai_ept.data.validate import validate_records

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
