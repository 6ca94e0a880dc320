# SPDX-License-Identifier: Apache-2.0

"""Addresses that are none of MLflow's, journals and run.json that are damaged or not ours, names that it refuses."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from monai_ept.handlers import MLflowTracking
from monai_ept.tracking import open_run, register_model
from monai_ept.tracking.search_runs import search_runs
from tests.bad_inputs.case import BadInput, parameters, refuse

NOWHERE = "http://127.0.0.1:9"
OPENING = {
    "kind": "open",
    "id": "abc123",
    "run_name": "a",
    "experiment": "e",
    "tracking_uri": NOWHERE,
    "role": "training",
}
ABOUT = {key: OPENING[key] for key in ("id", "run_name", "experiment", "tracking_uri")}
TRAIN = {"config": "ept_derm/train.yaml", "shots": 1, "img_size": 32, "run_dir": "run", "track": True}
END = {"kind": "status", "status": "FINISHED", "time": 1}


def address(name: str, uri: str, *says: str, make: Callable[[Path], Any] = lambda folder: None) -> BadInput:
    """An address for ``monai-ept sync``."""
    return BadInput(f"address-{name}", says, make, command=["sync", "--tracking-uri", uri])


def database(name: str, *says: str, make: Callable[[Path], Any]) -> BadInput:
    """What lies where the database should be, for a training."""
    store = "sqlite:///here/mlflow.db"
    return BadInput(f"database-{name}", says, make, call=lambda folder: MLflowTracking("a", tracking_uri=store))


def journal(name: str, content: Any, *says: str) -> BadInput:
    """The journal of a run, for ``monai-ept sync``."""
    return BadInput(f"journal-{name}", says, lambda folder: write_journal(folder, content), command=["sync", "run"])


def run_file(name: str, content: Any, *says: str) -> BadInput:
    """The ``run.json`` of a training, which is to be registered."""
    return BadInput(
        f"run-file-{name}",
        says,
        lambda folder: (folder / "run.json").write_text(text_of(content)),
        call=lambda folder: register_model(None, "derm", folder, example=None),
    )


def model_name(name: str, given: Any, *says: str) -> BadInput:
    """A name for the registry, where all else is right."""
    return BadInput(
        f"model-name-{name}",
        ["registered model's name", "without / and :", *says],
        lambda folder: (folder / "run.json").write_text(json.dumps({**ABOUT, "run_id": "1"})),
        call=lambda folder: register_model(None, given, folder, example=None),
    )


def record(name: str, says: list[str], **given: Any) -> BadInput:
    """What a training is to be recorded as."""
    return BadInput(f"record-{name}", says, call=lambda folder: MLflowTracking(**{"run_name": "a", **given}))


def text_of(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(content)


def write_journal(folder: Path, *records: Any) -> Path:
    place = folder / "run" / "tracking" / "20260101-000000-1"
    place.mkdir(parents=True)
    (place / "journal.jsonl").write_bytes(
        b"".join(item if isinstance(item, bytes) else text_of(item).encode() + b"\n" for item in records)
    )
    (place / "lock").touch()
    (place.parent / "create.lock").touch()
    return place


def write(name: str, content: bytes) -> Callable[[Path], Any]:
    def make(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    return make


def other_database(folder: Path) -> None:
    (folder / "here").mkdir()
    with closing(sqlite3.connect(folder / "here" / "mlflow.db")) as connection, connection:
        connection.execute("CREATE TABLE songs (title TEXT)")


def damaged_database(folder: Path) -> None:
    other_database(folder)
    with open(folder / "here" / "mlflow.db", "r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3000)


def in_environment(uri: str) -> Callable[[Path], Any]:
    def call(folder: Path) -> None:
        os.environ["MLFLOW_TRACKING_URI"] = uri
        try:
            open_run(folder / "run", "a", "e")
        finally:
            del os.environ["MLFLOW_TRACKING_URI"]

    return call


def without(key: str, content: dict) -> dict:
    return {name: value for name, value in content.items() if name != key}


CASES = [
    address("unknown", "ftp://host/runs", "ftp:", "which MLflow does not know", "'http'"),
    address("misspelled", "htpp://host:5000", "htpp:", "did you mean 'http'"),
    address("old-name", "postgres://me:secret@host/mlflow", "postgres:", "did you mean 'postgresql'"),
    address("no-scheme", "localhost:5000", "localhost:5000", "write http://localhost:5000"),
    address("no-scheme-number", "10.0.0.1:5000/mlflow", "write http://10.0.0.1:5000/mlflow"),
    address("no-host", "http://", "names no host", "http://HOST:PORT"),
    address("no-host-path", "https:///mlflow", "names no host"),
    address("one-slash", "http:/host:5000", "names no host"),
    address("no-host-but-user", "http://me:secret@:5000", "names no host"),
    address("port-word", "http://host:port", "no address", "its port is no number", "http://HOST:PORT"),
    address("port-large", "http://host:99999", "no address", "its port is no number up to 65535"),
    address("port-zero", "http://host:0", "names no port"),
    address("space", "http://my host:5000", "has a space", "one word"),
    address("two-lines", "http://host:5000\nhttp://other:5000", "line's end", "one word"),
    address("page", "http://me:secret@host:5000/#/experiments/1", "is a page", "write http://host:5000."),
    address("slash-in-password", "http://me:secret/word@host:5000", "no address", "'http://host:5000'"),
    address("half-ipv6", "http://[::1:5000", "no address", "http://HOST:PORT"),
    address("folder", "./mlruns", "is a folder", "sqlite:///PATH/mlflow.db"),
    address("file", "file:///tmp/mlruns", "is a folder", "sqlite:///PATH/mlflow.db"),
    address("windows-folder", "C:\\mlruns", "is a folder", "sqlite:///PATH/mlflow.db"),
    address("sqlite-nothing", "sqlite://", "names no file", "vanish", "sqlite:///PATH/mlflow.db"),
    address("sqlite-no-path", "sqlite:///", "names no file", "vanish"),
    address("sqlite-memory", "sqlite:///:memory:", "names no file", "vanish"),
    address("sqlite-memory-file", "sqlite:///file:x?mode=memory&uri=true", "names no file", "vanish"),
    address("sqlite-host", "sqlite://host/mlflow.db", "names no file", "sqlite:///PATH/mlflow.db"),
    address("sqlite-two-slashes", "sqlite:mlflow.db", "names no file", "sqlite:///PATH/mlflow.db"),
    address("sqlite-slash", "sqlite:///runs/", "is a folder", "sqlite:///runs/mlflow.db"),
    address("sqlite-folder", "sqlite:///runs", "is a folder", make=lambda folder: (folder / "runs").mkdir()),
    address("driver", "mysql+nosuch://me:secret@host/mlflow", "no address", "mysql.nosuch", "postgresql://HOST/NAME"),
    address("driver-away", "mssql+pymssql://me:secret@host/mlflow", "needs the package 'pymssql'", "install it"),
    address("database-port", "postgresql://me:secret@host:port/mlflow", "no address", "tracking_uri"),
    BadInput(
        "address-number", ["tracking_uri", "5000"], call=lambda folder: open_run("run", "a", "e", tracking_uri=5000)
    ),
    BadInput(
        "address-in-environment",
        ["MLFLOW_TRACKING_URI 'http://host:port'", "http://HOST:PORT"],
        call=in_environment("http://me:secret@host:port"),
    ),
    BadInput("address-to-search", ["is a folder"], call=lambda folder: search_runs("runs")),
    BadInput(
        "address-to-compare",
        ["there is no sqlite:", "none.db"],
        command=["compare", "--tracking-uri", "sqlite:///none.db"],
    ),
    database("text", "here/mlflow.db", "not a database", "another file", make=write("here/mlflow.db", b"text " * 500)),
    database("other", "here/mlflow.db", "another program's", "songs", "another file", make=other_database),
    database("damaged", "here/mlflow.db", "put it aside", make=damaged_database),
    database("below-a-file", "here/mlflow.db", "is no folder", make=write("here", b"")),
    database("is-folder", "is a folder", "sqlite:///here/mlflow.db/mlflow.db", make=write("here/mlflow.db/x", b"")),
    BadInput("sync-nothing", ["nowhere", "does not exist", "pass the folder"], command=["sync", "nowhere"]),
    BadInput("sync-file", ["a.txt", "is a file"], write("a.txt", b""), command=["sync", "a.txt"]),
    BadInput("sync-empty", ["holds no run", "pass the folder"], command=["sync"]),
    BadInput("sync-images", ["images", "holds no run"], write("images/a.png", b""), command=["sync", "images"]),
    BadInput("sync-no-journal", ["holds no run"], write("run/tracking/x/y.json", b""), command=["sync", "run"]),
    BadInput("sync-journal-folder", ["no run"], write("run/tracking/x/journal.jsonl/y", b""), command=["sync", "run"]),
    BadInput(
        "sync-pipe",
        ["no run"],
        lambda folder: (
            (folder / "tracking" / "x").mkdir(parents=True),
            os.mkfifo(folder / "tracking" / "x" / "journal.jsonl"),
        ),
        command=["sync"],
    ),
    BadInput(
        "sync-one-of-two",
        ["two", "not exist"],
        lambda folder: write_journal(folder, OPENING, END),
        command=["sync", "two"],
    ),
    *(
        journal(name, content, "1 of 1", "run/tracking/", "first line is damaged", "delete")
        for name, content in {
            "empty-line": "",
            "text": "once upon a time",
            "list": [1, 2],
            "number": 17,
            "zeros": b"\0" * 300 + b"\n",
            "half-a-line": json.dumps(OPENING)[:40].encode(),
            "not-utf-8": b'{"kind": "open", "id": "\xff"}\n',
            "deep": '{"kind": ' + "[" * 100_000,
            "half-a-character": {**OPENING, "run_name": "\ud800"},
            "other-kind": END,
            "no-id": without("id", OPENING),
            "no-name": without("run_name", OPENING),
            "no-address": without("tracking_uri", OPENING),
            "id-number": {**OPENING, "id": 5},
            "id-query": {**OPENING, "id": "' OR name != '"},
            "address-list": {**OPENING, "tracking_uri": ["http://host"]},
            "experiment-none": {**OPENING, "experiment": None},
            "time-text": {**OPENING, "time": "noon"},
            "time-large": {**OPENING, "time": 10**30},
        }.items()
    ),
    journal("of-a-stranger", {**OPENING, "tracking_uri": "http://evil:5000"}, "http://evil:5000", "--tracking-uri"),
    journal("with-password", {**OPENING, "tracking_uri": "http://me:secret@evil"}, "http://evil", "--tracking-uri"),
    journal(
        "of-a-file", {**OPENING, "tracking_uri": "sqlite:////tmp/evil.db"}, "sqlite:////tmp/evil.db", "--tracking-uri"
    ),
    journal("of-no-address", {**OPENING, "tracking_uri": "ftp://x"}, "ftp://x", "--tracking-uri"),
    BadInput(
        "sync-server-away",
        ["1 of 1", "stay here", f"{NOWHERE} does not answer (connection refused)", "try again later"],
        lambda folder: write_journal(folder, OPENING, END),
        command=["sync", "--tracking-uri", NOWHERE],
    ),
    BadInput(
        "sync-no-profile",
        ["1 of 1", "databricks://nobody does not let you in", "set DATABRICKS_HOST and DATABRICKS_TOKEN"],
        lambda folder: write_journal(folder, OPENING, END),
        command=["sync", "--tracking-uri", "databricks://nobody"],
        slow=True,
    ),
    run_file("text", "once upon a time", "run.json is damaged", "delete it"),
    run_file("empty", "", "run.json is damaged"),
    run_file("list", [1], "run.json is damaged"),
    run_file("deep", "[" * 100_000, "run.json is damaged"),
    run_file("no-id", without("id", ABOUT), "run.json is damaged"),
    run_file("id-query", {**ABOUT, "id": "' OR"}, "run.json is damaged"),
    run_file("run-number", {**ABOUT, "run_id": 5}, "run.json is damaged"),
    run_file("address-none", {**ABOUT, "tracking_uri": None}, "run.json is damaged"),
    run_file("not-sent", ABOUT, "no run that has reached MLflow", "monai-ept sync"),
    run_file("of-a-stranger", {**ABOUT, "run_id": "1", "tracking_uri": "http://evil"}, "http://evil", "tracking_uri"),
    BadInput(
        "run-file-to-resume",
        ["run.json is damaged"],
        write("run/run.json", b"{"),
        call=lambda folder: MLflowTracking("a", artifacts_dir="run", resume=True),
    ),
    model_name("slash", "derm/ept", "'derm/ept'"),
    model_name("colon", "derm:1"),
    model_name("empty", ""),
    model_name("spaces", "  "),
    model_name("none", None, "None"),
    model_name("lines", "derm\nept"),
    model_name("long", "x" * 251),
    BadInput(
        "training-address",
        ["tracking_uri 'http://host:port'", "http://HOST:PORT"],
        bundle={**TRAIN, "tracking_uri": "http://me:secret@host:port"},
        slow=True,
    ),
    BadInput(
        "training-database",
        ["here/mlflow.db", "another program's"],
        other_database,
        bundle={**TRAIN, "tracking_uri": "sqlite:///here/mlflow.db"},
        slow=True,
    ),
    BadInput("training-experiment", ["experiment", "1 to 500"], bundle={**TRAIN, "experiment": "x" * 501}, slow=True),
    record("experiment-empty", ["experiment", "1 to 500"], experiment=""),
    record("experiment-number", ["experiment", "5"], experiment=5),
    record("experiment-long", ["experiment", "1 to 500"], experiment="x" * 501),
    record("experiment-lines", ["experiment", "one line"], experiment="a\nb"),
    record("tags-text", ["tags", "mapping", "'sweep'"], tags="sweep"),
    record("tags-list", ["tags", "mapping"], tags=["sweep"]),
    record("params-list", ["params", "mapping"], params=[1]),
    BadInput("run-tags", ["tags", "mapping"], call=lambda folder: open_run("run", "a", "e", tags="sweep")),
    BadInput("run-experiment", ["experiment"], call=lambda folder: open_run("run", "a", None)),
]


@pytest.mark.parametrize("case", parameters(CASES))
def test_refused(case, tmp_path, monkeypatch):
    assert "secret" not in refuse(case, tmp_path, monkeypatch)
