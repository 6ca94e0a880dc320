# SPDX-License-Identifier: Apache-2.0

"""The hub is a server of this machine, or a cache without a network."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from monai_ept import TunedViT
from monai_ept.networks import create_backbone
from tests.networks.other_models import drawn, into_hub_cache, save_for_timm

ARGS = {"img_size": 32, "depth": 1, "embed_dim": 32, "num_heads": 2}
X = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    model = drawn(timm.create_model("vit_tiny_patch16_224", num_classes=0, **ARGS))
    return model, save_for_timm(model, tmp_path_factory.mktemp("model"), **ARGS)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def offline(cache, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return cache


@pytest.fixture
def hub(cache, monkeypatch, model):
    """A hub with one model, one that wants its licence accepted, and no other."""

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self._answer()

        def do_GET(self):
            self.wfile.write(self._answer())

        def _answer(self):
            owner, *_, name = self.path.strip("/").split("/")
            path = model[1] / name
            code, error = (403, "GatedRepo") if owner == "gated" else (401, "RepoNotFound")
            if owner == "ours":
                code, error = (200, "") if path.is_file() else (404, "EntryNotFound")
            body = path.read_bytes() if code == 200 else b""
            self.send_response(code)
            for key, value in (
                ("X-Error-Code", error),
                ("X-Repo-Commit", "f" * 40),
                ("ETag", f'"{name}"'),
                ("Content-Length", str(len(body))),
            ):
                self.send_header(key, value)
            self.end_headers()
            return body

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.partition("/{repo_id}")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "".join(template[1:]))
    yield server
    server.shutdown()
    server.server_close()


def test_a_model_in_the_cache_needs_no_network(model, offline):
    into_hub_cache(model[1], offline, "someone/small-vit")
    net = TunedViT("hf-hub:someone/small-vit", 2, pretrained=True, method="linear").eval()
    assert torch.equal(net.features(X), model[0](X)) and net.backbone_name == "hf-hub:someone/small-vit"


def test_a_model_that_is_not_in_the_cache(offline):
    says = r"hf-hub:someone/other: config.json is not in the cache .* \(offline\): run 'hf download someone/other'"
    with pytest.raises(ConnectionError, match=says):
        create_backbone("hf-hub:someone/other", pretrained=True)


def test_weights_that_are_not_in_the_cache(model, offline):
    into_hub_cache(model[1], offline, "someone/small-vit")
    for path in offline.glob("*/snapshots/*/pytorch_model.bin"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match="has no weights that are known here .* or they are not in the hub's"):
        create_backbone("hf-hub:someone/small-vit", pretrained=True)
    assert len(create_backbone("hf-hub:someone/small-vit").blocks) == 1


def test_a_model_is_fetched_once_and_then_in_the_cache(model, hub, monkeypatch):
    name = f"hf-hub:ours/small-vit@{'f' * 40}"
    assert torch.equal(create_backbone(name, pretrained=True).eval()(X), model[0](X))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert torch.equal(create_backbone(name, pretrained=True).eval()(X), model[0](X))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gated/model", "gated/model: its authors give it to those who have accepted its licence: accept it at http"),
        ("nobody/model", "the hub has no such model, or shows it only to its owners"),
    ],
)
def test_a_model_that_the_hub_does_not_give(hub, name, says):
    with pytest.raises(ConnectionError, match=says) as caught:
        create_backbone(f"hf-hub:{name}", pretrained=True)
    assert "\n" not in str(caught.value)


def test_weights_in_several_files(model, tmp_path):
    """What transformers writes of a model that is too large for one file."""
    state = model[0].state_dict()
    parts = {"a.safetensors": list(state)[:5], "b.safetensors": list(state)[5:]}
    for file, keys in parts.items():
        save_file({key: state[key] for key in keys}, tmp_path / file)
    index = ", ".join(f'"{key}": "{file}"' for file, keys in parts.items() for key in keys)
    (tmp_path / "model.safetensors.index.json").write_text(f'{{"weight_map": {{{index}}}}}')
    (tmp_path / "config.json").write_text((model[1] / "config.json").read_text())
    assert torch.equal(create_backbone(f"local-dir:{tmp_path}", pretrained=True).eval()(X), model[0](X))


def test_a_folder_as_weights_says_how_images_are_prepared(model, tmp_path):
    """The architecture has a name of its own then."""
    settings = {key: value for key, value in ARGS.items() if key != "img_size"}
    ours = create_backbone("vit_tiny_patch16_224", pretrained=model[1], img_size=32, backbone_settings=settings)
    assert torch.equal(ours.eval()(X), model[0](X)) and ours.built_from["settings"]["mean"] == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("hf-hub:uni", "is no repository of the hub: write it as hf-hub:owner/name"),
        ("hf-hub:a/b/c", "is no repository of the hub"),
        ("MahmoodLab/UNI", "write hf-hub:MahmoodLab/UNI if it is one of the hub"),
        ("local-dir:nowhere", "nowhere is no folder: pass the folder"),
        ("local-dir:.", "has neither config.json nor open_clip_config.json"),
    ],
)
def test_names_of_nothing(name, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=says):
        create_backbone(name)


@pytest.mark.parametrize("content", ["<html>", "[1]"])
def test_a_damaged_configuration(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match="config.json of local-dir:.* is no"):
        create_backbone(f"local-dir:{tmp_path}")
