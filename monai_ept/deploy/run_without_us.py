# SPDX-License-Identifier: Apache-2.0

"""The program that runs a shipped bundle in a process where this package cannot be imported: no module to import."""

import json
import pathlib
import sys

__all__: list[str] = []


class _Absent:
    """Stands before all that finds modules, and lets ours not be found."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "monai_ept":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _run(workflow_class, bundle: str, images: list, formats: list, sigmoid: bool, out: str) -> None:
    for name in formats:
        changes = {} if name == "onnx" else {"network_def": f"@networks#{name}"}
        workflow = workflow_class(
            config_file=str(pathlib.Path(bundle, "configs", "inference.json")),
            workflow_type="infer",
            logging_file=False,
            bundle_root=bundle,
            datalist=[{"image": image, "id": str(index)} for index, image in enumerate(images)],
            output_dir=str(pathlib.Path(out, name)),
            device="cpu",
            **changes,
        )
        workflow.initialize()
        if name == "onnx":
            _onnx(workflow, pathlib.Path(bundle, "models", "model.onnx"), pathlib.Path(out, name), sigmoid)
        else:
            workflow.run()
        workflow.finalize()


def _onnx(workflow, model, out, sigmoid: bool) -> None:
    """MONAI has no network of ONNX: its transforms, then the runtime."""
    import numpy
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    rows = []
    for batch in workflow.parser.get_parsed_content("dataloader"):
        (answer,) = session.run(None, {"image": numpy.asarray(batch["image"].as_tensor())})
        logits = torch.from_numpy(answer)
        probabilities = logits.sigmoid() if sigmoid else logits.softmax(-1)
        answers = zip(batch["id"], probabilities.tolist(), strict=True)
        rows += [",".join(map(str, [identity, *answer])) for identity, answer in answers]
    out.mkdir(parents=True)
    out.joinpath("predictions.csv").write_text("\n".join(["id", *rows]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.meta_path.insert(0, _Absent())
    from monai.bundle import ConfigWorkflow

    for bundle in json.loads(sys.stdin.read()):
        _run(ConfigWorkflow, **bundle)
