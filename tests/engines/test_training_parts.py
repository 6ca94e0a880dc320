# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_ept.engines import Training, make_loss
from monai_ept.metrics.positive_class import PositiveClass
from tests.engines.scenes import CLASSES, pictures, small_net, small_split

RECIPE = {"name": "train", "epochs": 2, "lr": 1e-2, "num_resamples": 5}


def parts(recipe=RECIPE, val="shots", **options):
    data = pictures()
    return Training(small_net(), small_split(data, val=val), recipe, data=data, progress=False, **options)


def test_each_part_follows_from_the_recipe():
    one = parts({**RECIPE, "batch_size": 5, "optimizer": "sgd", "momentum": 0.5, "class_weighting": True})
    assert one.train_loader.batch_size == 5 and len(one.train_loader) == 3
    assert isinstance(one.optimizer, torch.optim.SGD) and one.optimizer.param_groups[0]["momentum"] == 0.5
    assert one.scheduler is not None and one.evaluator is None and one.checkpoint is None and one.network is one.net
    assert isinstance(one.loss, type(make_loss("multiclass"))) and one.class_names == CLASSES
    assert parts({**RECIPE, "schedule": "constant"}).scheduler is None
    assert parts({**RECIPE, "val_interval": 1}).evaluator is not None
    assert parts({**RECIPE, "val_interval": 1}, val="none").evaluator is None
    assert [len(one.dataset(part)) for part in ("train", "val", "test")] == [12, 12, 12]


def test_images_to_train_on_are_augmented_and_others_never():
    one = parts({**RECIPE, "augment": True})
    first, second = (one.dataset("train")[0]["image"] for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(one.dataset("test")[0]["image"], one.dataset("test")[0]["image"])
    plain = parts({**RECIPE, "augment": False})
    assert torch.equal(plain.dataset("train")[0]["image"], plain.dataset("train")[0]["image"])
    assert plain.solving_loader.dataset is plain.dataset("train") and one.solving_loader.dataset is not one.dataset(
        "train"
    )


def test_what_was_given_takes_the_place_of_a_part():
    class Wrapped(nn.Module):
        pass

    def transform(record):
        return {**record, "image": torch.zeros(3, 64, 64)}

    network = Wrapped()
    one = parts(network=network, train_transform=transform, eval_transform=transform)
    assert one.network is network and one.transform("train") is one.transform("eval") is transform
    assert not one.dataset("test")[0]["image"].any()


def test_the_record_of_more_epochs_differs_in_nothing_else():
    one = parts()
    longer = one.record_at(7)
    assert longer["recipe"] == {**one.record["recipe"], "epochs": 7} and longer["params"]["epochs"] == 7
    assert {key: value for key, value in longer.items() if key not in ("recipe", "params")} == {
        key: value for key, value in one.record.items() if key not in ("recipe", "params")
    }


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"recipe": {**RECIPE, "select": "val"}, "val": "none"}, "needs validation images and the split has none"),
        ({"recipe": {**RECIPE, "key_metric": "aucc"}}, "key_metric 'aucc' is not known"),
        ({"positive": PositiveClass("pink")}, "pink"),
        ({"seed": -1}, "seed"),
    ],
)
def test_what_does_not_go_together_is_said_at_once(options, says):
    with pytest.raises(ValueError, match=says):
        parts(**options)


def test_a_trainer_takes_arguments_of_monais():
    assert parts().make_trainer(max_epochs=5).state.max_epochs == 5
    with pytest.raises(ValueError, match="the trainer has no 'max_epoch': did you mean 'max_epochs'"):
        parts().make_trainer(max_epoch=5)
