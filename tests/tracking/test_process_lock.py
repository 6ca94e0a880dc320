# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import multiprocessing
import os
import signal

from monai_ept.tracking.process_lock import ProcessLock


def test_a_lock_has_one_holder_and_its_death_frees_it(tmp_path):
    """Also when worker processes of the holder live on, as those of a DataLoader do for seconds."""
    path = tmp_path / "lock"
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def hold() -> None:
        lock = ProcessLock(path)
        worker = context.Process(target=signal.pause)
        theirs.send((lock.acquire(), worker.start(), worker.pid))
        signal.pause()

    holder = context.Process(target=hold)
    holder.start()
    held, _, worker = ours.recv()
    lock = ProcessLock(path)
    try:
        assert held and not lock.acquire()
        os.kill(holder.pid, signal.SIGKILL)
        holder.join()
        os.kill(worker, 0)  # still there
        assert lock.acquire()
        assert not ProcessLock(path).acquire()  # nor twice in one process
        lock.release()
        with ProcessLock(path):
            assert not lock.acquire()
    finally:
        os.kill(worker, signal.SIGKILL)


def test_a_lock_is_found_where_its_folder_goes(tmp_path):
    (tmp_path / "old").mkdir()
    lock = ProcessLock(tmp_path / "old" / "lock")
    assert not lock.is_at(lock.path) and lock.acquire() and lock.is_at(lock.path)
    (tmp_path / "old").rename(tmp_path / "new")
    assert not lock.is_at(lock.path) and lock.is_at(tmp_path / "new" / "lock")
    assert not ProcessLock(tmp_path / "new" / "other").is_at(tmp_path / "new" / "lock")
    lock.release()
    assert not lock.is_at(tmp_path / "new" / "lock")
