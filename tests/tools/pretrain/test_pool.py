# SPDX-License-Identifier: Apache-2.0

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from tools.pretrain.pool import Pool, make_pool


def test_a_pool_holds_what_was_made(pool):
    read = Pool(pool, 580).read([0, 101, 579])
    assert read["image"].shape == (3, 32, 32, 3) and read["image"].dtype == torch.uint8
    from tools.pretrain import make_picture

    picture = make_picture(0, 101, 32)
    assert torch.equal(read["image"][1], torch.from_numpy(picture.image))
    assert torch.equal(read["choices"][1], torch.from_numpy(picture.choices))
    assert read["described"].isfinite().all()
    assert list(make_pool(pool, 580, size=32, chunk=60)) == []  # nothing is lacking
    with pytest.raises(ValueError, match="holds a pool of .* use another folder"):
        list(make_pool(pool, 580, size=48, chunk=60))
    with pytest.raises(FileNotFoundError, match="00010.safetensors is not there: make the pool of 900 pictures first"):
        Pool(pool, 900)
    with pytest.raises(FileNotFoundError, match="is no pool of pictures"):
        Pool(pool.parent, 580)
