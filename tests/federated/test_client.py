# SPDX-License-Identifier: Apache-2.0

"""Three hospitals with images of their own in files, a whole federation of them, and all bytes that it sends."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from monai.fl.utils.constants import ExtraItems, ModelType, WeightType
from monai.fl.utils.exchange_object import ExchangeObject
from PIL import Image

from monai_ept import TunedViT
from monai_ept.data import load_source
from monai_ept.engines.recipe import recipe_of
from monai_ept.federated import DeltaAlgo, federated_average, put_trained, solve_from_sums, trained_tensors
from tests.bundles.cases import DERM, ROOT

pytestmark = pytest.mark.filterwarnings(
    "ignore:executing the bundle config", "ignore:.*class ", "ignore:no image is labelled"
)

SHOTS = {"north": 2, "south": 3, "east": 2}
SMALL = {"img_size": 32, "views": "one", "batch_size": 4, "steps_per_epoch": 5, "split#val": "shots"}


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory):
    """Folders of classes, in which files are called after patients; the south has no blood vessels."""
    pictures = load_source("synthetic_derm", num_per_class=18, num_test_per_class=1, img_size=32)
    folders = {name: tmp_path_factory.mktemp(name) for name in SHOTS}
    for index, record in enumerate(pictures.records):
        name = list(SHOTS)[index % 3]
        label = pictures.class_names[record["label"]]
        if (name, label) != ("south", "vasc"):
            (folders[name] / label).mkdir(exist_ok=True)
            Image.fromarray(np.asarray(record["image"])).save(folders[name] / label / f"Meier{index:03d}_skin.png")
    return folders


@pytest.fixture(scope="module")
def federation(hospitals):
    """Clients, the server's network, and everything that was sent in two rounds."""
    given = {"source": "folder", "source_options": {"group_pattern": r"(Meier\d+)_"}, **SMALL}
    clients = []
    for number, (name, folder) in enumerate(hospitals.items()):
        own = {**given, "dataset_dir": str(folder), "shots": SHOTS[name], "seed": number, "test_fraction": 0.2}
        client = DeltaAlgo(str(ROOT / "ept_derm"), rounds=2, train_kwargs=own)
        client.initialize({ExtraItems.CLIENT_NAME: name})
        clients.append(client)
    server = TunedViT("embedded", 7, method="ept", img_size=32)
    recipe_of({"name": "tune", "views": "one", "keep_solved": False}).prepare(server)
    sent = [[client.get_sums() for client in clients]]
    solve_from_sums(server, [one.weights for one in sent[0]])
    for _ in range(2):
        start = trained_tensors(server)
        for client in clients:
            client.train(ExchangeObject(weights=start))
        sent += [[client.get_weights() for client in clients], [ExchangeObject(weights=start)]]
        put_trained(server, federated_average(start, sent[-2]))
    trained = ExchangeObject(weights=trained_tensors(server))
    sent.append([client.get_sums(trained) for client in clients])
    solve_from_sums(server, [one.weights for one in sent[-1]])
    return clients, server, sent


def packed(sent):
    """All that is sent, as bytes."""
    buffer = io.BytesIO()
    torch.save({"weights": sent.weights, "statistics": sent.statistics}, buffer)
    return buffer.getvalue()


def test_no_image_and_no_name_is_in_any_byte_that_travels(federation, hospitals):
    """As torch writes it; tests/federated/test_nvflare_job.py looks at what NVFlare writes."""
    clients, _, sent = federation
    bytes_sent = b"".join(packed(one) for round_ in sent for one in round_)
    secrets = {b"Meier", b"_skin", b".png", b"hospital", *(str(folder).encode() for folder in hospitals.values())}
    for client in clients:
        for record in client.training.split.train:
            secrets |= {str(record[key]).encode() for key in ("id", "group", "image")}
    images = [client.training.dataset("train")[at]["image"] for client in clients for at in range(3)]
    plain = [np.asarray(Image.open(path)) for folder in hospitals.values() for path in folder.glob("*/*.png")]
    for pixels in [*(np.asarray(image, dtype=np.float32) for image in images), *plain]:
        row = np.ascontiguousarray(pixels[len(pixels) // 2])
        secrets.add(row.tobytes()[:32])
    assert len(secrets) > 100 and len(bytes_sent) > 100_000
    assert not [secret for secret in secrets if secret in bytes_sent]
    assert b"num_images" in bytes_sent and b"head.fc.weight" in bytes_sent  # what is there would be found


def test_a_round_is_as_large_as_the_folded_delta(federation, tmp_path):
    _, server, sent = federation
    server.fold().save_delta(tmp_path / "delta.safetensors")
    size = (tmp_path / "delta.safetensors").stat().st_size
    for one in [*sent[1], *sent[2]]:
        travels = sum(tensor.numel() * tensor.element_size() for tensor in one.weights.values())
        assert abs(travels - size) < 0.05 * size
        assert one.weights.keys() == server.delta_tensors().keys()


@pytest.mark.parametrize(("readout", "most"), [(4, 70_000), ("pooled", 12_000)])
def test_a_round_of_the_embedded_backbone_with_a_hundred_prompts(readout, most):
    net = TunedViT("embedded", 7, method="ept", prompt_length=100, readout=readout)
    assert sum(tensor.numel() * tensor.element_size() for tensor in trained_tensors(net).values()) <= most


def test_clients_say_what_they_weigh_and_no_more(federation):
    clients, _, sent = federation
    for client, one in zip(clients, sent[1], strict=True):
        assert one.weight_type == WeightType.WEIGHT_DIFF
        assert one.statistics == {
            "num_images": len(client.training.split.train),
            "backbone": client.training.net.fingerprint(),
            "num_executed_iterations": 5,
        }
    assert [one.statistics["num_images"] for one in sent[1]] == [14, 18, 14]


def test_rounds_train_and_go_along_one_schedule(federation):
    clients, _, sent = federation
    for round_ in (sent[1], sent[3]):
        assert all(tensor.abs().max() > 0 for one in round_ for tensor in one.weights.values())
    assert [client.trainer.state.epoch for client in clients] == [2, 2, 2]
    assert all(group["lr"] == 0 for client in clients for group in client.trainer.optimizer.param_groups)


def test_the_result_is_a_delta_that_every_client_can_judge(federation, tmp_path):
    clients, server, _ = federation
    server.save_delta(tmp_path / "delta.safetensors")
    again = TunedViT.from_delta(tmp_path / "delta.safetensors")
    found = [client.evaluate(ExchangeObject(weights=trained_tensors(again))).metrics for client in clients]
    assert all(0 <= one["balanced_accuracy"] <= 1 for one in found)
    assert np.mean([one["auc"] for one in found]) > 0.55  # of pictures that none has trained on; by chance .5


def test_whole_networks_are_neither_taken_nor_given(federation):
    client = federation[0][0]
    whole = ExchangeObject(weights=client.training.net.state_dict())
    for refuse in (client.train, client.evaluate):
        with pytest.raises(ValueError, match="more weights of the frozen backbone have come"):
            refuse(whole)
    with pytest.raises(ValueError, match="files of whole networks never leave"):
        client.get_weights({ExtraItems.MODEL_TYPE: ModelType.BEST_MODEL})


def test_a_client_that_lacks_a_class_has_its_images_where_others_have_them(federation):
    """The south's folders, in the order of the alphabet, have other numbers than the network's classes."""
    clients, _, sent = federation
    train = clients[1].training.split.train
    names = list(clients[1].training.class_names)
    assert names == ["mel", "nv", "bcc", "akiec", "bkl", "df", "vasc"]
    assert {names[record["label"]] for record in train} == set(names) - {"vasc"}
    assert all(record["id"].startswith(names[record["label"]]) for record in train)
    assert "factor.6" in sent[0][0].weights and "factor.6" not in sent[0][1].weights


def test_a_client_with_a_class_that_the_network_has_not_is_refused(hospitals):
    given = {"source": "folder", "dataset_dir": str(hospitals["north"]), "class_names": ["mel", "nv"], **SMALL}
    with pytest.raises(RuntimeError) as caught:
        DeltaAlgo(str(ROOT / "ept_derm"), train_kwargs=given).initialize()
    said = []
    error = caught.value
    while error is not None:
        said.append(str(error))
        error = error.__cause__
    assert "and the network mel, nv: give all clients the same class_names." in said[-1]


def test_what_comes_too_early_or_is_something_else_is_refused():
    client = DeltaAlgo(str(ROOT / "ept_derm"), train_kwargs={"shots": 1, **SMALL, "source_options": DERM})
    client.initialize()
    with pytest.raises(ValueError, match="train comes before get_weights"):
        client.get_weights()
    with pytest.raises(ValueError, match="an ExchangeObject is expected, got dict"):
        client.train({})
    with pytest.raises(ValueError, match=r"class 'mel' has 1 image here, whose features its sums would give away"):
        client.get_sums()
