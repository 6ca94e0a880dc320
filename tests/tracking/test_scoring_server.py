# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from monai_ept.data import load_source
from monai_ept.metrics.conformal import PredictionSets
from monai_ept.runs import network_transforms
from monai_ept.tracking import open_run, register_model
from monai_ept.tracking.served_images import FOLDER
from tests.dicom_files import write_dicom
from tests.tracking.conftest import free_port
from tests.tracking.scenes import NAMES, trained, wait_until


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Images that a server may read, beside one that it may not."""
    place = tmp_path_factory.mktemp("served")
    picture = load_source("synthetic_derm").records[0]["image"]
    Image.fromarray(np.asarray(picture)).save(place / "a.jpg", quality=90)
    grey = np.random.default_rng(0).integers(0, 4000, (90, 70), dtype=np.uint16)
    write_dicom(place / "inside" / "a.dcm", grey, interpretation="MONOCHROME1")
    (place / "inside" / "out.jpg").symlink_to(place / "a.jpg")
    return place


@pytest.fixture(scope="module")
def served(place, empty_database, tmp_path_factory):
    """What ``mlflow models serve`` answers about a registered model, and the network itself."""
    net = trained("test_vit", "ept", prompt_length=4, img_size=64)
    net.prediction_sets = PredictionSets(0.9, 0.6, groups=40, images=40, source="validation")
    here = tmp_path_factory.mktemp("registry")
    shutil.copy(empty_database, here / "mlflow.db")
    uri = f"sqlite:///{here / 'mlflow.db'}"
    with open_run(here / "run", "ept", "serving", tracking_uri=uri):
        pass
    model = register_model(net, "derm", here / "run", example=np.zeros((1, 3, 64, 64)), tracking_uri=uri)
    port = free_port()
    command = [*(sys.executable, "-m", "mlflow", "models", "serve", "-m", model.uri, "--env-manager", "local")]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    # MLflow looks for uvicorn on the path.
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": uri, FOLDER: str(place / "inside")}
    with open(here / "log", "wb") as log:
        process = subprocess.Popen(command, cwd=here, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        yield Served(f"http://127.0.0.1:{port}", process, here / "log"), net
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Served:
    def __init__(self, address: str, process: subprocess.Popen, log: Path) -> None:
        self.address = address

        def answers() -> bool:
            if process.poll() is not None:
                pytest.fail(log.read_text()[-3000:])
            with suppress(OSError), urllib.request.urlopen(f"{address}/ping", timeout=5):
                return True
            return False

        wait_until(answers)

    def ask(self, body: object, kind: str = "application/json") -> tuple[int, str]:
        """The status and the text of an answer; a body that is no bytes goes as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.address}/invocations", content, {"Content-Type": kind} if kind else {})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@pytest.mark.slow
def test_a_server_takes_files_and_paths_and_answers_as_the_network(served, place):
    server, net = served
    jpeg, dicom = place / "a.jpg", place / "inside" / "a.dcm"
    assert 5_000 < jpeg.stat().st_size < 100_000
    with torch.inference_mode():
        seen = [network_transforms(net)({"image": str(path)})["image"] for path in (jpeg, dicom)]
        expected = net(torch.stack(seen)).softmax(-1).numpy()
    assert np.abs(expected[0] - expected[1]).max() > 0.01
    sent = [base64.b64encode(path.read_bytes()).decode() for path in (jpeg, dicom)]
    mix = [{"image": sent[0]}, {"path": "a.dcm"}, {"image": sent[1]}]
    csv = "image\n" + "\n".join(sent)
    for body, kind, which in (
        ({"dataframe_split": {"columns": ["image"], "data": [[sent[0]]]}}, "application/json", [0]),
        ({"dataframe_records": mix}, "application/json", [0, 1, 1]),
        ({"inputs": {"image": sent}}, "application/json", [0, 1]),
        ({"instances": [{"image": one} for one in sent]}, "application/json", [0, 1]),
        (csv.encode(), "text/csv", [0, 1]),
    ):
        status, text = server.ask(body, kind)
        assert status == 200, text
        rows = json.loads(text)["predictions"]
        assert len(rows) == len(which)
        for row, index in zip(rows, which, strict=True):
            assert np.allclose([row["probabilities"][name] for name in NAMES], expected[index], atol=1e-5)
            assert row["class"] == NAMES[expected[index].argmax()]
            assert abs(row["probability"] - expected[index].max()) < 1e-5
            (held,), (sure,) = net.prediction_sets.decide(expected[[index]], "multiclass")
            assert row["set"] == [name for name, there in zip(NAMES, held, strict=True) if there]
            assert row["sure"] == bool(sure)
    status, text = server.ask({"inputs": torch.stack(seen).tolist()})
    assert status == 200 and np.allclose(json.loads(text)["predictions"], expected, atol=1e-5)


@pytest.mark.slow
def test_a_server_refuses_with_one_sentence_and_never_with_the_image(served, place):
    server, _ = served
    content = (place / "a.jpg").read_bytes()
    good = base64.b64encode(content).decode()

    def split(*values: object, column: str = "image") -> dict:
        return {"dataframe_split": {"columns": [column], "data": [[value] for value in values]}}

    cases = [
        (split(good, good[:400]), "row 2 of 2: the image cannot be read"),
        (split(good[1:]), "row 1 of 1: 'image' is no base64"),
        (split(base64.b64encode(b"%PDF-1.7" + content).decode()), "row 1 of 1: the image is no PNG, JPEG"),
        (split(None), "there is neither"),
        (split(12), "is of type int"),
        (split(good, column="picture"), "neither a column 'image'"),
        (split(), "the request has 0 rows"),
        (split(*["aaaa"] * 101), "the request has 101 rows"),
        (split("../a.jpg", column="path"), "row 1 of 1: 'path' leads out"),
        (split("a.dcm", "out.jpg", column="path"), "row 2 of 2: 'path' leads out"),
        (split("b.dcm", column="path"), "row 1 of 1: the image does not exist"),
        ({"inputs": [[1.0, 2.0]]}, "images have shape"),
        ({"inputs": [good]}, "neither a table"),
        ({"prompt": good}, "the request has neither"),
        ({"dataframe_split": {"columns": ["image"], "data": good}}, "the request cannot be read"),
        ({"dataframe_split": {"columns": ["image", "path"], "data": [[good]]}}, "the request cannot be read"),
        ({"image": good}, "the request cannot be read"),
        ([good], "the request cannot be read"),
        (json.dumps(split(good)).encode()[:-3], "the request cannot be read"),
        (content, "the request cannot be read"),
    ]
    for body, said in cases:
        status, text = server.ask(body)
        assert status == 400 and said in json.loads(text)["message"], (said, status, text[:500])
        never = ["Traceback", tempfile.gettempdir(), *(good[start : start + 12] for start in (0, 1, 200, 3000))]
        assert not [one for one in never if one in text] and len(text) < 500, text[:800]
    status, text = server.ask(content, "text/csv")
    assert status == 400 and "the request cannot be read" in text and len(text) < 500
    for kind in ("image/jpeg", None):
        status, text = server.ask(content, kind)
        assert status == 415 and len(text) < 500
