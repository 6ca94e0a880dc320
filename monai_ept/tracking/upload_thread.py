# SPDX-License-Identifier: Apache-2.0

"""
The thread that uploads a run beside a training, and how long the end of a run waits for it.

A training itself waits for nothing. The end of a run waits for what has not been sent yet, but for a server no longer
than one question to it may take or a tenth of the time that the run has taken, whichever is more. The rest is in the
journal, for ``monai-ept sync``.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from monai_ept.tracking.address import database_path, without_password
from monai_ept.tracking.journal import Journal
from monai_ept.tracking.mlflow_client import open_client, trouble_of
from monai_ept.tracking.uploader import TrackingError, Uploader

__all__ = ["UploadThread"]

PAUSE = 1.0
"""Seconds between two uploads: what comes meanwhile goes in one request."""
PAUSE_DOWN = 30.0
"""Seconds until a store that could not be reached is tried again, by whichever run of this process."""
SLOW = 1.0
"""Seconds after which a question that failed was one to a silent server, which other runs need not ask too."""
GIVE_UP = 120.0
"""Seconds without any progress after which the end of a run no longer waits for a local database."""

_silent: dict[str, float] = {}
"""Servers that did not answer in time, and when that was: a sweep has many runs, and one wait is enough for all."""

logger = logging.getLogger(__name__)


class UploadThread(threading.Thread):
    """Uploads a run's journals beside a training, those that earlier processes left first, until told to finish."""

    def __init__(self, earlier: list[Journal], journal: Journal, uri: str, on_run: Callable[[str], None]) -> None:
        super().__init__(name="monai_ept tracking", daemon=True)
        self.pid = os.getpid()
        self.done = False
        self.last_word: dict[str, Any] | None = None
        self._earlier = earlier
        self._uri = uri
        self._client: Any = None
        self._uploader = Uploader(journal, uri, self._shared_client, on_run)
        self._closing = threading.Event()
        self._warned = False
        self._began = time.monotonic()

    @property
    def experiment_id(self) -> str:
        """The experiment of the run; empty until the store has been reached."""
        return self._uploader.experiment_id

    def finish(self) -> None:
        """Upload the rest, and wait for it; but not for long for a server, however slowly it answers."""
        self._closing.set()
        asked = self._uploader.last_arrival = time.monotonic()
        longest = max(_one_question(), (asked - self._began) / 10)
        while self.is_alive():
            self.join(0.1)
            now = time.monotonic()
            if database_path(self._uri) is not None:
                if now - self._uploader.last_arrival > GIVE_UP:
                    break
            elif now - asked > longest:
                _silent[self._uri] = now
                logger.warning(
                    "MLflow at %s is slow: the end of the run has waited %.0f seconds for it and waits no longer.",
                    without_password(self._uri),
                    longest,
                )
                break
        self._uploader.stopped = True

    def run(self) -> None:
        pause = PAUSE
        tries = 1
        silent = _silent.get(self._uri, -PAUSE_DOWN) + PAUSE_DOWN - time.monotonic()
        if silent > 0 and self._closing.wait(silent):
            return
        while not self._uploader.stopped:
            closing = self._closing.is_set()
            began = time.monotonic()
            try:
                self._upload()
            except TrackingError as error:
                logger.warning("%s", error)
                return
            except Exception as error:
                self._warn(error)
                if time.monotonic() - began > SLOW and database_path(self._uri) is None:
                    _silent[self._uri] = time.monotonic()
                tries -= 1
                if closing and tries <= 0:
                    return
                # A short pause if it was there until now, a long one if it stays away.
                pause = PAUSE if tries > 0 else PAUSE_DOWN
            else:
                pause, tries = PAUSE, 2
                if closing:
                    self.done = not self._uploader.stopped
                    return
            if closing:
                time.sleep(pause)
            elif self._closing.wait(pause) and pause == PAUSE_DOWN:
                return  # it was not there a moment ago: nobody waits for a time-out again

    def _upload(self) -> None:
        while self._earlier:
            self._upload_earlier(self._earlier[0])
            self._earlier.pop(0)
        self._uploader.upload()
        if self.last_word is not None and self._closing.is_set():
            self._uploader.act(self.last_word)

    def _upload_earlier(self, journal: Journal) -> None:
        """What the process before left behind; one that is still at work uploads by itself."""
        if journal.reopen():
            try:
                uploader = Uploader(journal, self._uri, self._shared_client)
                if not uploader.done:
                    uploader.upload()
            finally:
                journal.close()

    def _shared_client(self) -> Any:
        if self._client is None:
            self._client = open_client(self._uri)
        return self._client

    def _warn(self, error: Exception) -> None:
        if not self._warned and not self._uploader.stopped:
            self._warned = True
            logger.warning("%s; nothing is lost, the records are kept here.", trouble_of(error, self._uri))


def _one_question() -> float:
    """Seconds that MLflow waits for one answer, as the user has set them."""
    try:
        return float(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"])
    except (KeyError, ValueError):
        return 10.0
