# SPDX-License-Identifier: Apache-2.0

"""Threads that predict while others change what the bank holds."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from monai_ept.serving import TaskBank
from tests.backbones import images_for, timm_vit
from tests.serving.tuned import at_the_first_block, bank_of, tuned

SECONDS = 60  # nobody waits so long unless something hangs


@pytest.fixture
def held_up(tmp_path):
    """A bank with tasks old and steady, the delta of one that may come, and what is called in the midst of a pass."""
    vit = timm_vit()
    tuned(vit, 7, method="lora").save_delta(tmp_path / "new.safetensors")
    with at_the_first_block(vit) as called:
        bank, _ = bank_of(vit, tmp_path, {"task": {}, "steady": {"method": "lora"}, "alone": {"method": "ln"}})
        yield bank, tmp_path, called


def test_what_happens_in_the_midst_of_a_prediction_changes_nothing_for_it(held_up):
    bank, folder, called = held_up
    images, names = images_for(bank.vit, 3), ["task", "alone", "steady"]
    before = bank(images, tasks=names)

    def change():
        called.clear()
        bank.add("task", folder / "new.safetensors", replace=True)
        bank.add("more", folder / "new.safetensors")
        bank.remove("steady")
        bank.remove("alone")

    called.append(change)
    during = bank(images, tasks=names)
    assert bank.tasks == ("task", "more")
    assert all(torch.equal(now, then) for now, then in zip(during, before, strict=True))
    after = bank(images, tasks="task")
    assert not torch.allclose(after[0], before[0], atol=0.1)
    torch.testing.assert_close(after, bank(images, tasks="more"))


def test_two_predictions_inside_the_backbone_at_once_go_their_own_ways(held_up):
    bank, _, called = held_up
    images = images_for(bank.vit, 2)
    alone = {name: torch.stack(bank(images, tasks=name)) for name in ("task", "steady")}
    both = threading.Barrier(2)
    called.append(lambda: both.wait(SECONDS))  # each goes on when the other is as far
    with ThreadPoolExecutor(2) as threads:
        answers = dict(zip(alone, threads.map(lambda name: torch.stack(bank(images, tasks=name)), alone), strict=True))
    for name, expected in alone.items():
        torch.testing.assert_close(answers[name], expected)


def test_of_two_that_add_one_name_at_once_one_is_told(tmp_path):
    vit, begin = timm_vit(), threading.Barrier(8)
    tuned(vit).save_delta(tmp_path / "net.safetensors")
    bank = TaskBank(vit)

    def add(_: int) -> str:
        begin.wait(SECONDS)
        try:
            bank.add("task", tmp_path / "net.safetensors")
        except ValueError as error:
            return str(error)
        return "added"

    with ThreadPoolExecutor(8) as threads:
        said = sorted(threads.map(add, range(8)))
    assert said[0] == "added" and all("has a task 'task' already" in one for one in said[1:])
    assert len(said) == 8 and bank.tasks == ("task",)


def test_no_request_is_lost_and_each_answer_is_of_the_old_task_or_the_new(held_up):
    bank, folder, _ = held_up
    images, names = images_for(bank.vit, 3), ["steady", "task", "alone"]
    old = bank(images, tasks=names)
    bank.add("new", folder / "new.safetensors")
    new = bank(images, tasks=["steady", "new", "alone"])
    assert not torch.allclose(old[1], new[1], atol=0.1)
    done, seen, requests = threading.Event(), {"old": 0, "new": 0}, []

    def predict() -> None:
        asked = 0
        while not done.is_set() or asked < 5:
            asked += 1
            answer = bank(images, tasks=names)
            torch.testing.assert_close(answer[0], old[0])
            torch.testing.assert_close(answer[2], old[2])
            which = "old" if (answer[1] - old[1]).abs().max() < (answer[1] - new[1]).abs().max() else "new"
            torch.testing.assert_close(answer[1], {"old": old, "new": new}[which][1])
            seen[which] += 1
        requests.append(asked)

    def change() -> None:
        for round in range(10):
            bank.add("task", folder / f"{'task' if round % 2 else 'new'}.safetensors", replace=True)
            bank.add(f"more {round}", folder / "new.safetensors")
            bank.remove(f"more {round - 1}" if round else "new")

    with ThreadPoolExecutor(4) as threads:
        predicting = [threads.submit(predict) for _ in range(3)]
        threads.submit(change).result(SECONDS)
        done.set()
        for one in predicting:
            one.result(SECONDS)
    assert len(requests) == 3 and all(seen.values())
    assert bank.tasks == ("task", "steady", "alone", "more 9")
