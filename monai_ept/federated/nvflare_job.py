# SPDX-License-Identifier: Apache-2.0

"""
A federation run by NVFlare: a controller for its server, an executor for its clients, and the job of both.

NVFlare is an extra: ``pip install monai_ept[federated]``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.fl.utils.constants import ExtraItems, WeightType
from monai.fl.utils.exchange_object import ExchangeObject
from monai.utils import optional_import

from monai_ept.engines.recipe import recipe_of
from monai_ept.federated.average import BACKBONE, federated_average
from monai_ept.federated.client import RECIPE, DeltaAlgo
from monai_ept.federated.exchange import check_plain, put_trained, trained_tensors
from monai_ept.federated.feature_sums import solve_from_sums
from monai_ept.files import usable_folder, write_whole
from monai_ept.model import TunedViT
from monai_ept.runs.build_network import make_network
from monai_ept.runs.training_record import DELTA_FILE

__all__ = ["DeltaController", "DeltaExecutor", "federated_job", "simulate"]

_Controller: Any = optional_import(
    "nvflare.app_common.workflows.model_controller", name="ModelController", as_type="base"
)[0]
_Executor: Any = optional_import("nvflare.apis.executor", name="Executor", as_type="base")[0]


class DeltaController(_Controller):
    """
    The server: solves the head of sums, takes the mean of what clients have learnt from there, solves the head of
    that, and writes the delta.

    Args:
        bundle_root: folder of the bundle, on the server.
        settings: of the bundle that decide the network: backbone, method, readout, …
        rounds: of training after the head is solved; none by default.
    """

    def __init__(self, bundle_root: str, settings: dict[str, Any] | None = None, rounds: int = 0) -> None:
        super().__init__(persistor_id="")
        self.bundle_root, self.settings, self.rounds = bundle_root, settings, rounds

    def run(self) -> None:
        """All rounds; the result is ``delta.safetensors`` in the server's folder of the job."""
        net = _network_of(self.bundle_root, self.settings or {})
        for round_ in range(self.rounds + 1):
            if round_:
                start = trained_tensors(net)
                put_trained(net, federated_average(start, self._ask(net, "train", start)))
            if round_ in (0, self.rounds):
                solve_from_sums(net, [one.weights or {} for one in self._ask(net, "sums", trained_tensors(net))])
        net.save_delta(Path(self.get_run_dir()) / DELTA_FILE)

    def _ask(self, net: TunedViT, task: str, tensors: Mapping[str, torch.Tensor]) -> list[ExchangeObject]:
        sent = [_received(model) for model in self.send_model_and_wait(task_name=task, data=_model(tensors))]
        if any((one.statistics or {})[BACKBONE] != net.fingerprint() for one in sent):
            raise ValueError("a client has another frozen backbone than the server: give all of them the same weights.")
        return sent


class DeltaExecutor(_Executor):
    """
    A client: a ``DeltaAlgo`` that does what the controller asks for.

    Args:
        bundle_root: folder of the bundle, at the client.
        settings: other arguments of ``DeltaAlgo``.
    """

    def __init__(self, bundle_root: str, settings: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.bundle_root, self.settings = bundle_root, settings
        self._algo: DeltaAlgo | None = None

    def execute(self, task_name: str, shareable: Any, fl_ctx: Any, abort_signal: Any) -> Any:
        """The sums, or a round."""
        if self._algo is None:
            check_plain(self.settings)
            self._algo = DeltaAlgo(self.bundle_root, **(self.settings or {}))
            self._algo.initialize({ExtraItems.CLIENT_NAME: fl_ctx.get_identity_name()})
        utils, _ = optional_import("nvflare.app_common.utils.fl_model_utils", name="FLModelUtils")
        received = _received(utils.from_shareable(shareable))
        if task_name == "sums":
            return utils.to_shareable(_model_of(self._algo.get_sums(received)))
        self._algo.train(received)
        return utils.to_shareable(_model_of(self._algo.get_weights()))


def federated_job(
    bundle_root: str,
    sites: Mapping[str, Mapping[str, Any]],
    *,
    rounds: int = 0,
    local_epochs: int = 1,
    least: int = 2,
    settings: Mapping[str, Any] | None = None,
) -> Any:
    """
    A job for NVFlare's simulator or for its servers.

    Args:
        bundle_root: folder of the bundle, where server and sites find it.
        sites: settings of each by its name: dataset_dir, shots, …
        rounds: of training after the head is solved; none by default.
        local_epochs: of a round.
        least: images that a class must have at a site, see ``feature_sums``.
        settings: what all have in common: backbone, method, …

    Raises:
        ImportError: where NVFlare is not installed.

    Returns:
        an ``nvflare.job_config.api.FedJob``, which brings no code: server and sites have this package, and allow its
        classes.

    Example::

        job = federated_job("bundles/ept_derm", {"site-1": {"dataset_dir": "a"}, "site-2": {"dataset_dir": "b"}})
        delta = simulate(job, "build/federation")
    """
    make_job, there = optional_import("nvflare.job_config.api", name="FedJob")
    if not there:
        raise ImportError("federated_job needs NVFlare: pip install monai_ept[federated]")
    root, common = str(Path(bundle_root).absolute()), dict(settings or {})
    job = make_job(name=Path(root).name, min_clients=len(sites))
    job.set_app_packages(["monai_ept"])
    job.to_server(DeltaController(root, common, rounds))
    for site, own in sites.items():
        of_client = {"rounds": max(1, rounds), "local_epochs": local_epochs, "least": least}
        executor = DeltaExecutor(root, {**of_client, "train_kwargs": {**common, **own}})
        job.to(executor, site, tasks=["sums", "train"])
    return job


def simulate(job: Any, workspace: str | Path) -> Path:
    """
    Run a job on this machine, server and sites as processes of their own.

    Args:
        job: of ``federated_job``.
        workspace: folder for all that they write.

    Raises:
        RuntimeError: when it has failed.

    Returns:
        the delta that has come out.
    """
    allowed, _ = optional_import("nvflare.app_common.default_component_policy", name="DEFAULT_CLASS_ALLOW_LIST")
    local = usable_folder(Path(workspace) / "local")
    policy = {"format_version": 2, "class_allow_list": [*allowed, __name__]}
    write_whole(local / "resources.json", json.dumps(policy, indent=1))
    delta = Path(workspace) / "server" / "simulate_job" / DELTA_FILE
    delta.unlink(missing_ok=True)
    # A thread for each site, or NVFlare would start sites anew in each round.
    if job.simulator_run(str(workspace), threads=len(job.clients)) or not delta.is_file():
        raise RuntimeError(
            f"the federation has failed: log.txt in {workspace}/server and in the sites' folders says why."
        )
    return delta


def _network_of(bundle_root: str, settings: Mapping[str, Any]) -> TunedViT:
    """The network of a bundle as the recipe has it begin, without any image."""
    parser = ConfigParser()
    parser.read_config(str(Path(bundle_root) / "configs" / "train.yaml"))
    parser.update({**RECIPE, **settings})
    names, network, recipe = map(parser.get_parsed_content, ("class_names", "network_settings", "recipe_settings"))
    net = make_network(names, **network)
    recipe_of(recipe).prepare(net)
    return net


def _model(tensors: Mapping[str, torch.Tensor], **said: Any) -> Any:
    """What NVFlare sends: arrays, which it writes without pickle."""
    model, _ = optional_import("nvflare.app_common.abstract.fl_model", name="FLModel")
    return model(params={name: tensor.numpy() for name, tensor in tensors.items()}, meta=said)


def _model_of(sent: ExchangeObject) -> Any:
    return _model(sent.weights or {}, kind=str(sent.weight_type), **(sent.statistics or {}))


def _received(model: Any) -> ExchangeObject:
    tensors = {name: torch.as_tensor(array) for name, array in model.params.items()}
    kind = model.meta.get("kind")
    return ExchangeObject(weights=tensors, weight_type=kind and WeightType(kind), statistics=dict(model.meta))
