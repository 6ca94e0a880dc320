# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import DataLoader, Dataset

from monai_ept.data import EpisodeBatchSampler
from tests.data.conftest import toy


@settings(max_examples=100, deadline=None)
@given(
    n_way=st.integers(1, 4),
    k_shot=st.integers(1, 3),
    q_query=st.integers(1, 5),
    seed=st.integers(0, 9),
    images=st.integers(1, 3),
)
def test_episodes_have_their_shape_and_do_not_leak(
    n_way: int, k_shot: int, q_query: int, seed: int, images: int
) -> None:
    data = toy(classes=4, groups=9, images=images)
    sampler = EpisodeBatchSampler.from_dataset(Dataset(data.records), n_way, k_shot, q_query, episodes=4, seed=seed)
    episodes = list(sampler)
    assert len(episodes) == len(sampler) == 4
    for episode in episodes:
        support, query = sampler.split([data.records[index] for index in episode])
        assert len(support) == n_way * k_shot and len(query) == n_way * q_query
        assert len(set(episode)) == len(episode)
        assert not {r["group"] for r in support} & {r["group"] for r in query}
        classes = [r["label"] for r in support][::k_shot]
        assert len(set(classes)) == n_way
        assert [r["label"] for r in support] == [c for c in classes for _ in range(k_shot)]
        assert [r["label"] for r in query] == [c for c in classes for _ in range(q_query)]


def make(**options: int) -> EpisodeBatchSampler:
    labels = [record["label"] for record in toy().records]
    return EpisodeBatchSampler(labels, 2, 1, 2, **{"episodes": 6, **options})  # type: ignore[arg-type]


def test_pinned_and_reproducible() -> None:
    assert list(make(seed=1))[:2] == [[28, 15, 34, 31, 13, 19], [7, 32, 6, 0, 25, 29]]
    assert list(make(seed=1)) == list(make(seed=1)) != list(make(seed=2))


def test_epochs_differ_and_come_back() -> None:
    sampler = make()
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first
    sampler.set_epoch(0)
    assert list(sampler) == first


@pytest.mark.parametrize("replicas", [2, 3, 4])
def test_ranks_share_the_episodes_of_one_process(replicas: int) -> None:
    ranks = [list(make(rank=rank, num_replicas=replicas)) for rank in range(replicas)]
    assert len({len(episodes) for episodes in ranks}) == 1  # otherwise DDP would hang
    together = [ranks[n % replicas][n // replicas] for n in range(replicas * len(ranks[0]))]
    assert together[:6] == list(make())
    assert len(set(map(tuple, together))) == len(together)


def test_rank_comes_from_torch_distributed(tmp_path: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        sampler = make()
        assert (sampler.rank, sampler.num_replicas) == (0, 1)
    finally:
        torch.distributed.destroy_process_group()


def test_works_with_a_monai_loader() -> None:
    dataset = Dataset([{**record, "image": torch.zeros(1)} for record in toy().records])
    sampler = EpisodeBatchSampler.from_dataset(dataset, 3, 1, 2, episodes=5)
    batches = list(DataLoader(dataset, batch_sampler=sampler))
    assert len(batches) == 5 and batches[0]["label"].shape == (9,)


def test_small_classes_are_left_out_or_named() -> None:
    labels = [0] * 5 + [1] * 5 + [2]
    assert EpisodeBatchSampler(labels, 2, 1, 2, 1).classes == [0, 1]
    with pytest.raises(ValueError, match=r"only 2 of 3 classes have them, these have not .2: 1 in 1 groups"):
        EpisodeBatchSampler(labels, 3, 1, 2, 1)
    with pytest.raises(ValueError, match="only 0 of 2"):  # all images of a class are one patient's
        EpisodeBatchSampler([0, 0, 0, 1, 1, 1], 2, 1, 1, 1, groups=list("aaabbb"))
    with pytest.raises(TypeError, match="multi-label"):
        EpisodeBatchSampler([[0, 1], [1, 0]], 1, 1, 1, 1)  # type: ignore[list-item]
    with pytest.raises(ValueError, match="k_shot is 0"):
        EpisodeBatchSampler(labels, 2, 0, 2, 1)
    with pytest.raises(ValueError, match="rank is 2"):
        make(rank=2, num_replicas=2)
    with pytest.raises(TypeError, match="list of dictionaries"):
        EpisodeBatchSampler.from_dataset(Dataset([1, 2]), 1, 1, 1, 1)
