# SPDX-License-Identifier: Apache-2.0

"""
The same as an application of MONAI Deploy: its operators load, select, preprocess and infer.

    python app --input FOLDER_OF_DICOM --output FOLDER --model models/model.ts

The inference operator takes the loader out of the bundle's preprocessing, and gets an image from another of its operators,
with columns before rows and other number types than in the training. Here the loader that was taken out reads the files of the
series, so that the network sees what it was trained on.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

from monai.deploy.core import AppContext, Application, IOType
from monai.deploy.operators.dicom_data_loader_operator import DICOMDataLoaderOperator
from monai.deploy.operators.dicom_series_selector_operator import DICOMSeriesSelectorOperator
from monai.deploy.operators.monai_bundle_inference_operator import (
    IOMapping,
    MonaiBundleInferenceOperator,
)

from monai_ept.deploy.dicom_app import report
from monai_ept.metrics.image_answer import answer

__all__ = ["ClassifySeriesOperator", "DICOMClassifier"]


class ClassifySeriesOperator(MonaiBundleInferenceOperator):
    """Infers with the bundle on each selected series, and writes its report.

    Args:
        output_folder: of the reports.
    """

    SELECTED = "study_selected_series_list"

    def __init__(self, fragment: Any, *args: Any, output_folder: Path, **kwargs: Any) -> None:
        self.output_folder = output_folder
        self.about = json.loads(Path(__file__).with_name("about.json").read_text(encoding="utf-8"))
        self.problems: list[str] = []
        self._load: list[Any] = []
        self._path = ""
        self._said: dict[str, Any] = {}
        super().__init__(fragment, *args, input_mapping=[IOMapping(self.SELECTED, list, IOType.IN_MEMORY)], output_mapping=[], **kwargs)

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        self._ports = op_input, op_output, context
        for study in op_input.receive(self.SELECTED):
            for selected in study.selected_series:
                headers = [one.get_native_sop_instance() for one in selected.series.get_sop_instances()]
                said, wrong = report(self, [one for one in headers if "Rows" in one], self.output_folder)
                self.problems += wrong
                logging.info(said)
        for problem in self.problems:
            logging.error(problem)

    def answer(self, path: str) -> dict[str, Any]:
        """What the bundle says of an image, or of the folder of a volume's slices."""
        self._path = path
        super().compute(*self._ports)
        return answer(self._said, self.about["task"], self.about["prediction_sets"])

    def _get_compose(self, name: str, disallowed: list[str]) -> Any:
        whole = list(self._parser.get_parsed_content(name).transforms)
        kept = super()._get_compose(name, disallowed)
        if name == self._bundle_config_names.preproc_name:
            self._load = [step for step in whole if step not in kept.transforms]
        return kept

    def _receive_input(self, name: str, op_input: Any, context: Any) -> tuple[Any, dict[str, Any]]:
        data: dict[str, Any] = {name: self._path}
        for step in self._load:
            data = step(data)
        return data[name], data[name].meta

    def post_process(self, data: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        # The first of the batch: the operator hands on all of it.
        return super().post_process(data[0].cpu(), *args, **kwargs)

    def _send_output(self, value: Any, name: str, *_: Any) -> None:
        ...
