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

"""The report of a benchmark: what a sweep says, in a page that anybody can read."""

from __future__ import annotations

from monai_ept.benchmark.report.contents import Report
from monai_ept.benchmark.report.folder import read_folder
from monai_ept.benchmark.report.report import build_report, save_report
from monai_ept.benchmark.report.results import CellResult, SweepResults
from monai_ept.benchmark.report.tracked import read_tracked

__all__ = ["CellResult", "Report", "SweepResults", "build_report", "read_folder", "read_tracked", "save_report"]
