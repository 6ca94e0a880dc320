# SPDX-License-Identifier: Apache-2.0

"""
The same as an application of MONAI Deploy: its operators load, select, preprocess and infer.

    python app/app.py --input FOLDER_OF_DICOM --output FOLDER --model models/model.ts

The inference operator takes the loader out of the bundle's preprocessing, and gets an image from another of its
operators, with columns before rows and other number types than in the training. Here the loader that was taken out
reads the files of the series, so that the network sees what it was trained on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from monai.deploy.conditions import CountCondition
from monai.deploy.core import Application, IOType
from monai.deploy.operators.dicom_data_loader_operator import DICOMDataLoaderOperator
from monai.deploy.operators.dicom_series_selector_operator import DICOMSeriesSelectorOperator
from monai.deploy.operators.monai_bundle_inference_operator import IOMapping, MonaiBundleInferenceOperator

from monai_ept.deploy.dicom_app import report
from monai_ept.metrics.image_answer import answer

__all__ = ["ClassifySeriesOperator", "DICOMClassifier"]

STUDIES, SELECTED = "dicom_study_list", "study_selected_series_list"


class ClassifySeriesOperator(MonaiBundleInferenceOperator):
    """
    Infers with the bundle on each selected series, and writes its report.

    Args:
        fragment: the application.
        output_folder: of the reports.
        kwargs: what the inference operator takes beside.

    Raises:
        RuntimeError: (at the end of its work) naming what could not be read.
    """

    def __init__(self, fragment: Any, *args: Any, output_folder: Path, **kwargs: Any) -> None:
        self.output_folder = output_folder
        self.about = json.loads(Path(__file__).with_name("about.json").read_text(encoding="utf-8"))
        self._load: list[Any] = []
        self._path = ""
        self._said: dict[str, float] = {}
        self._ports: tuple[Any, ...] = ()
        series = IOMapping(SELECTED, list, IOType.IN_MEMORY)
        super().__init__(fragment, *args, input_mapping=[series], output_mapping=[], **kwargs)

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Report on all series that were selected."""
        self._ports = op_input, op_output, context
        problems = []
        for study in op_input.receive(SELECTED):
            for selected in study.selected_series:
                headers = [one.get_native_sop_instance() for one in selected.series.get_sop_instances()]
                said, wrong = report(self, [one for one in headers if "Rows" in one], self.output_folder)
                problems += wrong
                print(said, flush=True)
        if problems:
            raise RuntimeError("\n".join(problems))

    def answer(self, path: str) -> dict[str, Any]:
        """What the bundle says of an image, or of the folder of a volume's slices."""
        self._path = path
        super().compute(*self._ports)
        return answer(self._said, self.about["task"], self.about["prediction_sets"])

    def _get_compose(self, name: str, disallowed: Any) -> Any:
        compose = self._parser.get_parsed_content(name)
        steps = list(compose.transforms)
        kept = super()._get_compose(name, disallowed)
        if name == self._bundle_config_names.preproc_name:
            self._load = [step for step in steps if step not in kept.transforms]
        return kept

    def _receive_input(self, name: str, *_: Any) -> tuple[Any, dict[str, Any]]:
        data: Any = {name: self._path}
        for step in self._load:
            data = step(data)
        return data[name], data[name].meta

    def post_process(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep the probabilities, for which the operator has no output."""
        processed = super().post_process(data, *args, **kwargs)
        self._said = processed["probabilities"]
        return processed

    def _send_output(self, *_: Any) -> None:
        """Reports are files."""


class DICOMClassifier(Application):
    """From a folder of DICOM to reports."""

    def compose(self) -> None:
        """Load all studies, select all series, and report on each."""
        context = Application.init_app_context(self.argv)
        load = DICOMDataLoaderOperator(
            self, CountCondition(self, 1), input_folder=Path(context.input_path), name="load_studies"
        )
        select = DICOMSeriesSelectorOperator(self, name="select_series")
        classify = ClassifySeriesOperator(
            self, app_context=context, output_folder=Path(context.output_path), name="classify_series"
        )
        self.add_flow(load, select, {(STUDIES, STUDIES)})
        self.add_flow(select, classify, {(SELECTED, SELECTED)})


if __name__ == "__main__":
    DICOMClassifier().run()
