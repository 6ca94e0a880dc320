# SPDX-License-Identifier: Apache-2.0

"""The journal of a run: what is to be recorded, first of all on the local disk.

A journal is a folder ``tracking/<time>-<id>/`` in the run's folder, written by one process. ``journal.jsonl`` has one
record per line; ``sent.json`` says how far it has been uploaded, and to where; ``files`` holds artifacts that lie
outside the run's folder. Several journals of one run share its id: that of the training, and those of what resumed or
evaluated it.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from monai_ept.files import WriteError, write_whole
from monai_ept.tracking.process_lock import ProcessLock

__all__ = ["FOLDER", "RECORDS", "STATUSES", "Journal", "Record"]

FOLDER = "tracking"
STATUSES = ("FINISHED", "FAILED", "KILLED")
RECORDS = "journal.jsonl"
SENT = "sent.json"


class Record(NamedTuple):
    """A record, and where in the file it ends."""

    content: dict[str, Any]
    end: int


class Journal:
    """The records of one process for one run, in a folder ``RUN/tracking/…``."""

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder)
        self.lock = ProcessLock(self.folder / "lock")
        self._file: Any = None
        self._guard = threading.Lock()
        self._pid = os.getpid()

    @classmethod
    def create(cls, run_folder: str | os.PathLike, opening: dict[str, Any]) -> Journal:
        """Begin a journal in a run's folder; ``opening`` has at least the run's ``id``."""
        # Nanoseconds keep journals of the same second in order, the random part those of two processes apart. Both come
        # from one look at the clock: the second may end between two.
        seconds, nanoseconds = divmod(time.time_ns(), 10**9)
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(seconds))
        name = f"{stamp}-{nanoseconds:09d}-{opening['id'][:8]}-{uuid.uuid4().hex[:4]}"
        journal = cls(Path(run_folder) / FOLDER / name)
        try:
            journal.folder.mkdir(parents=True)
            journal.lock.acquire()
            journal._file = open(journal.folder / RECORDS, "ab")  # noqa: SIM115, it is open as long as the run is
            journal.append("open", **opening)
        except OSError as error:
            journal.close()
            shutil.rmtree(journal.folder, ignore_errors=True)
            raise WriteError(
                f"cannot write the records of a run into {journal.folder} ({error.strerror or error}): make room, "
                "choose another folder, or train without tracking."
            ) from error
        return journal

    def reopen(self) -> bool:
        """Take over a journal whose process has ended, to write to it; False when the process is still there."""
        if not self.lock.acquire():
            return False
        complete = max((record.end for record in self.read()), default=0)
        if complete < self.size:
            os.truncate(self.folder / RECORDS, complete)  # half a line, of a killed process
        self._file = open(self.folder / RECORDS, "ab")  # noqa: SIM115, it is open until close
        return True

    @property
    def run_folder(self) -> Path:
        """The folder of the run that it belongs to."""
        return self.folder.parent.parent

    def append(self, kind: str, **content: Any) -> None:
        """Write a record. A process that was forked off writes nothing: the records are its parent's."""
        if os.getpid() != self._pid:
            return
        line = json.dumps({"kind": kind, **_plain(content)}, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        with self._guard:
            if self._file is None:
                raise ValueError(f"journal {self.folder} is closed, or belongs to another process.")
            before = self._file.tell()
            try:
                self._file.write(line)
                self._file.flush()
            except OSError:
                # A full disk: half a line must not stay in the way of the next one, also not in the buffer.
                self._file = _reopened(self._file, self.folder / RECORDS, before)
                raise

    def keep(self, path: str | os.PathLike) -> str:
        """A file or folder as the journal names it: relative to the run's folder, and copied if it lies outside."""
        path, root = Path(path).absolute(), self.run_folder.absolute()
        if not path.resolve().is_relative_to(root.resolve()):  # where links lead is what counts when it is uploaded
            place = self.folder / "files" / uuid.uuid4().hex[:8] / path.name
            place.parent.mkdir(parents=True)
            shutil.copytree(path, place) if path.is_dir() else shutil.copy2(path, place)
            path = place.absolute()
        if not path.is_relative_to(root):
            path, root = path.resolve(), root.resolve()
        return path.relative_to(root).as_posix()

    def read(self, offset: int = 0) -> Iterator[Record]:
        """The records from a place on; a line that is still being written is left for later."""
        with open(self.folder / RECORDS, "rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                offset += len(line)
                yield Record(_record(line), offset)

    @property
    def opening(self) -> dict[str, Any]:
        """The first record: id, name and store of the run; empty when the file is damaged."""
        first = next(self.read(), None)
        return first.content if first and first.content.get("kind") == "open" else {}

    @property
    def size(self) -> int:
        """Bytes written."""
        return (self.folder / RECORDS).stat().st_size

    @property
    def sent(self) -> dict[str, Any]:
        """How far it has been uploaded: ``uri``, ``run_id`` and ``offset``."""
        try:
            sent = json.loads((self.folder / SENT).read_text(encoding="utf-8"))
            offset = max(0, min(int(sent["offset"]), self.size))
            return {"uri": str(sent["uri"]), "run_id": str(sent["run_id"]), "offset": offset}
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return {}

    def set_sent(self, uri: str, run_id: str, offset: int) -> None:
        """Remember how far it has been uploaded."""
        write_whole(self.folder / SENT, json.dumps({"uri": uri, "run_id": run_id, "offset": offset}) + "\n")

    def close(self) -> None:
        """Write no more, and let others upload it."""
        with self._guard:
            if self._file is not None:
                self._file.close()
                self._file = None
        self.lock.release()


def _reopened(file: Any, path: Path, size: int) -> Any:
    with suppress(OSError):
        file.close()
    os.truncate(path, size)
    return open(path, "ab")


def _record(line: bytes) -> dict[str, Any]:
    """A record in which everything is of its kind; empty for one that is damaged, by a crash or by anybody's hand."""
    try:
        content = json.loads(line)
        json.dumps(content, ensure_ascii=False).encode()  # halves of a character are no text
        return content if _FIELDS[content["kind"]](content) else {}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return {}


def _are(kind: type, *values: Any) -> bool:
    return all(isinstance(value, kind) and not isinstance(value, bool) for value in values)


def _whole(*values: Any) -> bool:
    """Whether they are numbers that a database has room for."""
    return _are(int, *values) and all(abs(value) < 2**63 for value in values)


_FIELDS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "open": lambda has: (
        _are(str, has["id"], has["run_name"], has["experiment"], has["tracking_uri"], has.get("role", ""))
        and has["id"].isalnum()
        and ("parent" not in has or (has["parent"]["id"].isalnum() and _are(str, has["parent"]["run_name"])))
        and _whole(has.get("time", 0))
    ),
    "metrics": lambda has: (
        _whole(has["time"], has["step"]) and all(float(value) is not None for value in has["metrics"].values())
    ),
    "params": lambda has: _are(dict, has["params"]),
    "tags": lambda has: _are(dict, has["tags"]),
    "artifact": lambda has: _are(str, has["path"], has["folder"]),
    "dataset": lambda has: (
        has["dataset"].keys() == {"name", "digest", "source_type", "source", "schema", "profile"}
        and _are(str, *has["dataset"].values())
    ),
    "model": lambda has: _are(str, has["name"], has["path"], *has["params"].values()) and bool(has["name"]),
    "status": lambda has: has["status"] in (*STATUSES, "RUNNING") and _whole(has["time"]),
}
"""What a record of each kind has, and whether it is right."""


def _plain(value: Any) -> Any:
    """The same with numbers that JSON has no word for as text, which ``float`` reads."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
