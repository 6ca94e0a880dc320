# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import base64
import io

import numpy as np
import pandas
import pytest
import torch
from mlflow.exceptions import MlflowException
from PIL import Image

from monai_ept.runs import network_transforms
from monai_ept.tracking.pyfunc_bank import _load_pyfunc
from tests.tracking.bank_scenes import bank_folder


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A bank as MLflow loads it, and the networks of its tasks."""
    place = tmp_path_factory.mktemp("bank")
    nets = bank_folder(place)
    return _load_pyfunc(str(place / "bank")), nets


def picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (40 + seed, 50, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def alone(net, content: bytes, place, **options) -> torch.Tensor:
    """Logits of an image by the network of a task."""
    (place / "image").write_bytes(content)
    with torch.inference_mode():
        return net(network_transforms(net, **options)({"image": str(place / "image")})["image"][None])[0]


def test_each_row_is_answered_as_its_task_alone_answers(served, tmp_path, monkeypatch):
    model, nets = served
    monkeypatch.setattr("monai_ept.tracking.pyfunc_bank.CHUNK", 4)
    order = ["derm", "chest", "derm", "colon", "chest", "derm", "colon", "colon", "derm"]
    images = [picture(index % 3) for index in range(len(order))]
    found = model.predict(pandas.DataFrame({"task": order, "image": images}))
    assert list(found["task"]) == order
    for index, name in enumerate(order):
        said = found.iloc[index]
        window = {"intensity_range": (50, 150)} if name == "chest" else {}
        logits = alone(nets[name], images[index], tmp_path, **window)
        expected = (logits.sigmoid() if name == "chest" else logits.softmax(-1)).numpy()
        assert list(said["probabilities"]) == nets[name].class_names
        np.testing.assert_allclose(list(said["probabilities"].values()), expected, atol=1e-5)
        if name == "chest":
            assert said["class"] == [one for one, value in said["probabilities"].items() if value >= 0.5]
        else:
            assert said["class"] == nets[name].class_names[expected.argmax()]
        if name == "derm":
            enough = [one for one, value in said["probabilities"].items() if value >= 0.4]
            assert said["set"] == (enough or [said["class"]]) and said["sure"] is (len(enough) == 1)
        else:  # which have no prediction sets
            assert said["set"] is None and said["sure"] is None
    assert len({str(said) for said in found["probabilities"]}) >= 6


@pytest.mark.parametrize("form", ["columns", "rows", "wrapped"])
def test_requests_in_all_forms_that_mlflow_makes_of_them(form, served):
    model, _ = served
    sent = [base64.b64encode(picture(seed)).decode() for seed in (0, 1)]
    tables = {
        "columns": {"task": np.array(["colon", "derm"]), "image": np.array(sent)},
        "rows": [{"task": "colon", "image": sent[0]}, {"image": sent[1], "task": "derm"}],
        "wrapped": [
            {"task": np.array(name), "image": np.array(one)} for name, one in zip(("colon", "derm"), sent, strict=True)
        ],
    }
    found = model.predict(tables[form])
    assert list(found["task"]) == ["colon", "derm"]
    assert [len(said) for said in found["probabilities"]] == [2, 3]


GOOD = base64.b64encode(picture(0)).decode()


@pytest.mark.parametrize(
    "wrong, said",
    [
        (
            [{"image": GOOD}],
            "the request has no column 'task', which says of each row what to answer: derm, chest, colon.",
        ),
        ([{"task": "derm"}], "the request has neither a column 'image'"),
        (
            [{"task": "derm", "image": GOOD}, {"task": "secret", "image": GOOD}],
            "row 2 of 2: 'task' is none of this bank's",
        ),
        ([{"task": None, "image": GOOD}], "row 1 of 1: 'task' is none of this bank's: there is derm, chest, colon$"),
        ([{"task": ["derm"], "image": GOOD}], "row 1 of 1: 'task' is none of this bank's"),
        ([{"task": GOOD, "image": "derm"}], "row 1 of 1: 'task' is none of this bank's"),
        ([{"task": "derm", "image": GOOD[:80]}], "row 1 of 1: the image cannot be read"),
        ([{"task": "derm", "image": ""}], "row 1 of 1: 'image' is empty"),
        (np.zeros((1, 3, 64, 64)), "a bank takes a table with the columns 'task' and 'image' or 'path'"),
        ({"task": ["derm"] * 101, "image": [GOOD] * 101}, "the request has 101 rows"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence_without_what_was_sent(wrong, said, served):
    with pytest.raises(MlflowException, match=said) as caught:
        served[0].predict(wrong)
    assert caught.value.get_http_status_code() == 400
    assert GOOD[:12] not in str(caught.value) and "secret" not in str(caught.value)


def test_of_many_tasks_some_are_named(served):
    model, _ = served
    few, model._transforms = model._transforms, {f"task {index}": None for index in range(14)}
    try:
        with pytest.raises(MlflowException, match=r"there is task 0, .*, task 9 and 4 more$"):
            model.predict([{"task": "derm", "image": GOOD}])
    finally:
        model._transforms = few
