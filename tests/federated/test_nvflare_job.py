# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_ept import TunedViT
from monai_ept.engines.recipe import recipe_of
from monai_ept.federated import trained_tensors
from monai_ept.federated.nvflare_job import DeltaExecutor, federated_job, simulate
from monai_ept.networks.embedded_prompt import EmbeddedPrompt
from tests.bundles.cases import DERM, ROOT

try:
    import nvflare
except ImportError:
    nvflare = None

SMALL = {"source_options": DERM, "img_size": 32, "batch_size": 4}
SITES = {f"site-{number}": {"shots": 1 + number, "seed": number} for number in (1, 2, 3)}


@pytest.mark.skipif(nvflare is not None, reason="NVFlare is installed here")
def test_without_nvflare_it_says_what_to_install():
    with pytest.raises(ImportError, match=r"needs NVFlare: pip install monai_ept\[federated\]"):
        federated_job(str(ROOT / "ept_derm"), SITES)


with_nvflare = pytest.mark.skipif(nvflare is None, reason="NVFlare is an extra: pip install monai_ept[federated]")


@with_nvflare
def test_what_nvflare_writes_holds_no_image_and_no_name():
    from nvflare.apis.fl_constant import ReservedKey
    from nvflare.apis.fl_context import FLContext
    from nvflare.app_common.abstract.fl_model import FLModel
    from nvflare.app_common.decomposers import common_decomposers
    from nvflare.app_common.utils.fl_model_utils import FLModelUtils
    from nvflare.fuel.utils import fobs

    common_decomposers.register()
    context = FLContext()
    context.set_prop(ReservedKey.IDENTITY_NAME, "north")
    executor = DeltaExecutor(str(ROOT / "ept_derm"), {"rounds": 2, "least": 1, "train_kwargs": {**SMALL, "shots": 2}})
    server = TunedViT("embedded", 7, method="ept", img_size=32)
    recipe_of({"name": "tune", "keep_solved": False}).prepare(server)
    start = {name: tensor.numpy() for name, tensor in trained_tensors(server).items()}
    sums, trained = (
        executor.execute(task, FLModelUtils.to_shareable(FLModel(params=start)), context, None)
        for task in ("sums", "train")
    )
    client = executor._algo
    size = sum(array.nbytes for array in start.values())
    assert size < len(fobs.dumps(trained)) < 1.05 * size
    written = fobs.dumps(sums) + fobs.dumps(trained)
    secrets = {str(record[key]).encode() for record in client.training.split.train for key in ("id", "group")}
    for at in range(len(client.training.split.train)):
        image = client.training.dataset("train")[at]["image"].numpy()
        secrets.add(image[0, len(image) // 2].tobytes())
    assert len(secrets) > 20 and b"num_images" in written
    assert not [secret for secret in secrets if secret in written]


@with_nvflare
@pytest.mark.slow
def test_three_sites_of_the_simulator(tmp_path):
    job = federated_job(str(ROOT / "ept_derm"), SITES, rounds=2, least=1, settings=SMALL)
    net = TunedViT.from_delta(simulate(job, tmp_path))
    assert net.class_names == ["mel", "nv", "bcc", "akiec", "bkl", "df", "vasc"]
    prompts = [module for module in net.modules() if isinstance(module, EmbeddedPrompt)]
    assert len(prompts) == 4
    assert min(prompt.sink.abs().max() for prompt in prompts) > 1e-3  # they start at 0, and have learnt
    assert not list(tmp_path.rglob("custom"))  # no code was sent
