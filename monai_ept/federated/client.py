# SPDX-License-Identifier: Apache-2.0

"""A hospital's part of a federation: MONAI's ``ClientAlgo`` around a bundle, exchanging what the method trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems, FlPhase, FlStatistics, WeightType
from monai.fl.utils.exchange_object import ExchangeObject

from monai_ept.checks import check_whole
from monai_ept.engines.training import Training
from monai_ept.federated.average import BACKBONE, NUM_IMAGES
from monai_ept.federated.exchange import put_trained, trained_tensors
from monai_ept.federated.feature_sums import feature_sums

__all__ = ["RECIPE", "DeltaAlgo"]

RECIPE = {"recipe": "tune", "keep_solved": False}
"""Settings of a bundle in a federation: a kept head that no round changes would have to be found from sums as well."""

_HERE = {
    **RECIPE,
    "training#folder": None,
    "data": "$ept.with_classes(ept.load_data(**@data_settings), @class_names)",
}
"""How a bundle is changed for a client: trained from the solved head, not written, with classes that others have."""


class DeltaAlgo(MonaiAlgo):
    """
    MONAI's ``MonaiAlgo`` for our bundles, of which kilobytes travel: never the frozen weights, neither in nor out.

    A federation of it begins with ``get_sums``, of which the server solves the head, see ``solve_from_sums``; then
    come rounds of ``train`` and ``get_weights``, of which the server takes the mean, see ``federated_average``; and
    ``get_sums`` again, for the head of what was trained. All rounds go along one schedule of the recipe. A client need
    not have all classes. Nothing is written or tracked here.

    Args:
        bundle_root: folder of the bundle.
        rounds: that are planned, one or more epochs each; the recipe's schedule is as long.
        local_epochs: of a round.
        least: images that a class must have here, see ``feature_sums``.
        config_train_filename: configuration of the training within that folder, or several.
        train_kwargs: settings of the bundle: dataset_dir, shots, class_names, backbone, …; the recipe is "tune" by
            default, and ``{"split#val": "shots"}`` holds out images to ``evaluate`` on.
        settings: of ``MonaiAlgo``: config_filters_filename, …

    Example::

        algo = DeltaAlgo("bundles/ept_derm", rounds=4, train_kwargs={"dataset_dir": "our_images", "shots": 10})
        algo.initialize({ExtraItems.CLIENT_NAME: "hospital"})
        algo.train(ExchangeObject(weights=from_the_server))
        to_the_server = algo.get_weights()
    """

    training: Training
    trainer: Any  # which initialize builds, as these
    evaluator: Any
    train_workflow: Any

    def __init__(
        self,
        bundle_root: str,
        *,
        rounds: int = 4,
        local_epochs: int = 1,
        least: int = 2,
        config_train_filename: str | list[str] = "configs/train.yaml",
        train_kwargs: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        epochs = check_whole("rounds", rounds) * check_whole("local_epochs", local_epochs)
        self.least = check_whole("least", least)
        super().__init__(
            bundle_root,
            local_epochs=local_epochs,
            config_train_filename=config_train_filename,
            train_kwargs={**_HERE, "epochs": epochs, **(train_kwargs or {})},
            **{"config_evaluate_filename": None, **settings},
        )

    def initialize(self, extra: dict | None = None) -> None:
        """Build the parts of the training, as ``MonaiAlgo`` does; the evaluator is that of its validation images."""
        super().initialize(extra)
        self.training = self.train_workflow.parser.get_parsed_content("training")
        self.evaluator = self.evaluator or self.train_workflow.evaluator

    def get_sums(self, data: ExchangeObject | None = None, extra: dict | None = None) -> ExchangeObject:
        """
        Sums of the features of the training images, with which the server solves the head.

        Args:
            data: what the server has sent, where the network is to see images with that; as it is by default.
            extra: as in other methods.

        Raises:
            ValueError: when what has come is not exactly what the method trains, or a class has so few images that its
                sums would give them away.
        """
        part = self.training
        if data is not None:
            self._put(data, extra)
        features, labels = part.look(part.net, part.solving_loader, device=part.device, amp=part.recipe.amp)
        names: dict[str, Any] = {
            "task": part.task,
            "class_names": part.class_names,
            "num_classes": part.net.num_classes,
        }
        return self._out(feature_sums(features, labels, least=self.least, **names), WeightType.WEIGHTS, {}, extra)

    def train(self, data: ExchangeObject, extra: dict | None = None) -> None:
        """
        Train from what the server has sent, for as many epochs as a round has.

        Raises:
            ValueError: when it is not exactly what the method trains.
        """
        self.phase = FlPhase.TRAIN
        self._put(data, extra)
        self.global_weights = trained_tensors(self.training.net)
        state = self.trainer.state
        self.iter_of_start_time = state.iteration
        state.max_epochs = state.epoch + self.local_epochs
        self.trainer.run()

    def get_weights(self, extra: dict | None = None) -> ExchangeObject:
        """
        The difference between what has been trained here and what the server had sent.

        Raises:
            ValueError: when whole networks are asked for, or nothing was trained yet.
        """
        self.phase = FlPhase.GET_WEIGHTS
        if ExtraItems.MODEL_TYPE in (extra or {}):
            raise ValueError(
                "files of whole networks never leave: ask for the weights of the round, without MODEL_TYPE."
            )
        if self.global_weights is None:
            raise ValueError("nothing was trained yet: train comes before get_weights.")
        now = trained_tensors(self.training.net)
        steps = self.trainer.state.iteration - self.iter_of_start_time
        difference = {name: tensor - self.global_weights[name] for name, tensor in now.items()}
        return self._out(difference, WeightType.WEIGHT_DIFF, {FlStatistics.NUM_EXECUTED_ITERATIONS.value: steps}, extra)

    def evaluate(self, data: ExchangeObject, extra: dict | None = None) -> ExchangeObject:
        """
        Metrics of what the server has sent, on the validation images; none where no images are held out.

        Raises:
            ValueError: when it is not exactly what the method trains.
        """
        self.phase = FlPhase.EVALUATE
        self._put(data, extra)
        self.evaluator.run()
        metrics = {name: value for name, value in self.evaluator.state.metrics.items() if isinstance(value, float)}
        return self._filtered(self.post_evaluate_filters, ExchangeObject(metrics=metrics), extra)

    def _put(self, data: ExchangeObject, extra: dict | None) -> None:
        if not isinstance(data, ExchangeObject):
            raise ValueError(f"an ExchangeObject is expected, got {type(data).__name__}.")
        put_trained(self.training.net, self._filtered(self.pre_filters, data, extra).weights or {})

    def _out(self, tensors: dict, kind: WeightType, more: dict[str, Any], extra: dict | None) -> ExchangeObject:
        said = {NUM_IMAGES: len(self.training.split.train), BACKBONE: self.training.net.fingerprint(), **more}
        sent = ExchangeObject(weights=tensors, weight_type=kind, statistics=said)
        return self._filtered(self.post_weight_filters, sent, extra)

    @staticmethod
    def _filtered(filters: Any, data: ExchangeObject, extra: dict | None) -> ExchangeObject:
        for one in filters or ():
            data = one(data, extra or {})
        return data
