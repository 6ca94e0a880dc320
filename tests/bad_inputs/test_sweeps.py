# SPDX-License-Identifier: Apache-2.0

"""Sweep files that no sweep can be made of, folders that hold none, and reports of what is not there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from monai_ept.benchmark.plan.expand import sweep_cells
from monai_ept.benchmark.plan.sweep_file import sweep_from
from monai_ept.benchmark.run import ray_pool
from tests.bad_inputs.case import BadInput, parameters, refuse

SOURCE = {"name": "synthetic_derm", "num_per_class": 3, "num_test_per_class": 1, "img_size": 32}
GOOD = {
    "name": "tiny",
    "sources": [SOURCE],
    "backbones": [{"name": "embedded", "img_size": 32}],
    "shots": [1],
    "samplings": 1,
    "recipe": {"epochs": 1},
    "methods": ["linear", "ept"],
}
RUN = ["benchmark", "run", "s.yaml", "--no-track"]
REPORT = ["benchmark", "report", "s"]


def text(content: str | bytes):
    """The sweep file as it stands."""

    def make(folder: Path) -> None:
        (folder / "s.yaml").write_bytes(content.encode() if isinstance(content, str) else content)

    return make


def file(name: str, says: list[str], /, *arguments: str, **changes) -> BadInput:
    """A good sweep file with changes."""
    content = {key: value for key, value in {**GOOD, **changes}.items() if value != "GONE"}
    return BadInput(name, says, text(yaml.safe_dump(content)), [*RUN, *arguments])


def written(name: str, says: list[str], content: str | bytes) -> BadInput:
    """A sweep file that is no good YAML."""
    return BadInput(name, says, text(content), RUN)


def option(name: str, says: list[str], *arguments: str) -> BadInput:
    """A good sweep file and a bad command."""
    return BadInput(name, says, text(yaml.safe_dump(GOOD)), [*RUN, *arguments])


def method(name: str, says: list[str], entry: object, **changes) -> BadInput:
    """One bad method."""
    return file(name, says, methods=[entry], **changes)


def begun(change=lambda folder, cells: None):
    """A sweep's folder ``s`` beside its file, with one finished cell, and then something wrong."""

    def make(folder: Path) -> None:
        sweep = sweep_from(GOOD)
        text(yaml.safe_dump(GOOD))(folder)
        cells = sweep_cells(sweep)
        for cell in cells:
            (folder / "s" / "cells" / cell.id).mkdir(parents=True)
            (folder / "s" / "cells" / cell.id / "cell.json").write_text(json.dumps(cell.to_json()))
        (folder / "s" / "sweep.yaml").write_text(sweep.to_yaml())
        change(folder / "s", [folder / "s" / "cells" / cell.id for cell in cells])

    return make


def finished(**content):
    """Make every cell finished, with that in its result."""
    metrics = {"balanced_accuracy": 0.5, "accuracy": 0.5}

    def change(folder: Path, cells: list[Path]) -> None:
        for cell in cells:
            (cell / "result.json").write_text(json.dumps({"status": "finished", "metrics": metrics, **content}))

    return change


def in_each(name: str, content: str):
    """Write a file into every cell."""
    return lambda folder, cells: [(cell / name).write_text(content) for cell in cells]


YAML = [
    written("empty-file", ["s.yaml", "must be a mapping with 'sources'"], ""),
    written("a-list", ["must be a mapping"], "- a\n- b\n"),
    written("a-word", ["must be a mapping"], "sweep"),
    written("open-bracket", ["s.yaml is no YAML", "line 2, column 1"], "sources: [a\n"),
    written("tab", ["is no YAML", "line 2"], "name: x\n\tshots: 1\n"),
    written("two-colons", ["is no YAML", "line 1"], "name: x: y\n"),
    written("open-quote", ["is no YAML", "end of stream in line 2"], "name: 'x\n"),
    written("zero-byte", ["is no YAML", "position 6"], b"name: \x00\n"),
    written("latin-1", ["s.yaml is not in UTF-8 in line 2", "save it"], b"name: x\nsources: [\xe4]\n"),
    written("two-documents", ["is no YAML", "another document in line 2"], "name: x\n---\nname: y\n"),
    written("no-such-alias", ["is no YAML", "undefined alias 'b'"], "name: *b\n"),
    written("alias-of-itself", ["the alias in line 1 contains itself"], "methods: &m [*m]\n"),
    written("a-billion", ["more than 50,000 values"], "".join(
        f"{'abcdefgh'[n]}: &{n + 1} [{', '.join([f'*{n}' if n else '1'] * 10)}]\n" for n in range(8)
    )),
    written("too-deep", ["nested more than 50 deep"], "methods: " + "[" * 500),
    written("python-object", ["!!python/object/apply:os.system in line 1"],
            "name: !!python/object/apply:os.system [ls]"),
    written("python-name", ["!!python/name:os.system"], "name: !!python/name:os.system"),
    written("own-tag", ["!mine in line 1"], "name: !mine x\n"),
    written("bytes", ["!!binary in line 1"], "name: !!binary aGk=\n"),
    written("key-twice", ["the key 'shots' stands in line 2 and again in line 4"],
            "name: x\nshots: 1\nseeds: 1\nshots: 2\n"),
    written("inner-key-twice", ["the key 'lr' stands in line 1 and again"], "recipe: {lr: 1, epochs: 2, lr: 2}\n"),
    written("method-key-twice", ["'rank'", "line 3", "line 4"], "methods:\n- method: lora\n  rank: 2\n  rank: 4\n"),
    written("number-as-key", ["the key '1' in line 1 is no text", "quotation marks"], "1: 2\n"),
    written("list-as-key", ["in line 1 is no text"], "? [a, b]\n: 1\n"),
    written("huge-file", ["more than 4 MB"], "#" * (2**22 + 1)),
    written("endless-digits", ["cannot be taken"], "shots: " + "9" * 5000),
    BadInput("no-file", ["sweep file s.yaml does not exist", "pass the path"], command=RUN),
    BadInput("a-folder", ["s.yaml is no file"], lambda folder: (folder / "s.yaml").mkdir(), RUN),
    BadInput("a-pipe", ["s.yaml is no file"], lambda folder: os.mkfifo(folder / "s.yaml"), RUN),
    BadInput("a-dead-link", ["does not exist"], lambda folder: (folder / "s.yaml").symlink_to("nowhere"), RUN),
]  # fmt: skip

KEYS = [
    file("unknown-key", ["'method' is no part of a sweep", "did you mean 'methods'?"], method=["ept"]),
    file("no-sources", ["s.yaml", "needs 'sources'"], sources="GONE"),
    file("empty-sources", ["needs 'sources'"], sources=[]),
    file("no-methods", ["needs 'methods'"], methods="GONE"),
    file("empty-methods", ["needs 'methods'"], methods=[]),
    file("name-up", ["name '..'", "not of dots alone"], name=".."),
    file("name-here", ["name '.'", "not of dots alone"], name="."),
    file("name-with-slash", ["name '../x'", "letters"], name="../x"),
    file("name-absolute", ["name '/tmp/x'", "letters"], name="/tmp/x"),
    file("name-with-newline", ["becomes a folder"], name="a\nb"),
    file("name-too-long", ["at most 100 letters"], name="a" * 300),
    file("name-a-list", ["becomes a folder"], name=["a"]),
    file("source-typo", ["source 'synthetic_drem'", "did you mean 'synthetic_derm'?"], sources=["synthetic_drem"]),
    file("source-a-number", ["source None is not known"], sources=[5]),
    file("source-without-name", ["source None is not known"], sources=[{"label": "x"}]),
    file("source-twice", ["sources names", "twice"], sources=[SOURCE, {**SOURCE, "label": "again"}]),
    file("source-option-typo", ["has no option 'num_per_clas'"], sources=[{**SOURCE, "num_per_clas": 3}]),
    file("source-option-text", ["'synthetic_derm' cannot be loaded", "num_per_class"],
         sources=[{**SOURCE, "num_per_class": "x"}]),
    file("source-option-negative", ["num_per_class is -3"], sources=[{**SOURCE, "num_per_class": -3}]),
    file("source-label-a-list", ["label of a source must be a text"], sources=[{**SOURCE, "label": ["a"]}]),
    file("source-label-two-lines", ["label of a source", "one line"], sources=[{**SOURCE, "label": "a\nb"}]),
    file("source-by", ["by 'patient' is not known"], sources=[{**SOURCE, "by": "patient"}]),
    file("source-sampling", ["sampling 'frehs' is not known"], sources=[{**SOURCE, "sampling": "frehs"}]),
    file("source-test-fraction", ["test_fraction must be a number", "2"], sources=[{**SOURCE, "test_fraction": 2}]),
    file("official-test-and-fraction", ["has an official test split"], sources=[{**SOURCE, "test_fraction": 0.5}]),
    file("no-published-list", ["has no published list"], sources=[{**SOURCE, "sampling": "published"}]),
    file("no-data-folder", ["the data of 'folder' cannot be used", "does not exist"],
         sources=[{"name": "folder", "dataset_dir": "nowhere"}]),
    file("no-data-dir", ["reads from disk, so give dataset_dir"], sources=[{"name": "folder"}]),
    file("no-variable", ["environment variable NO_SUCH_DATA", "set it"],
         sources=[{"name": "folder", "dataset_dir": "${NO_SUCH_DATA}/x"}]),
    file("second-source-missing", ["'csv'", "does not exist"],
         sources=[SOURCE, {"name": "csv", "dataset_dir": "none"}]),
    file("backbone-typo", ["backbone 'embeded' is not a timm model"], backbones=["embeded"]),
    file("backbone-resnet", ["not a vision transformer"], backbones=["resnet18"]),
    file("backbone-empty", ["backbones is empty"], backbones=[]),
    file("backbone-without-name", ["has no name"], backbones=[{"pretrained": True}]),
    file("backbone-key-typo", ["has no 'image_size'", "img_size"], backbones=[{"name": "embedded", "image_size": 32}]),
    file("backbone-twice", ["backbones names", "twice"], backbones=["embedded", "embedded"]),
    file("weights-missing", ["there is no file weights.safetensors", "pretrained"],
         backbones=[{"name": "embedded", "pretrained": "weights.safetensors"}]),
    file("weights-a-number", ["pretrained must be true, false or the path"],
         backbones=[{"name": "embedded", "pretrained": 5}]),
    file("image-negative", ["img_size must be a whole number"], backbones=[{"name": "embedded", "img_size": -32}]),
    file("image-of-words", ["img_size must be a whole number"], backbones=[{"name": "embedded", "img_size": "big"}]),
    file("image-huge", ["img_size must be at most 4096"], backbones=[{"name": "embedded", "img_size": 224000}]),
    file("image-off-patch", ["not a multiple of the patch size"], backbones=[{"name": "embedded", "img_size": 30}]),
    file("shots-empty", ["shots is empty"], shots=[]),
    file("shots-zero", ["shots must be a whole number of at least 1"], shots=[0]),
    file("shots-half", ["shots must be a whole number"], shots=[0.5]),
    file("shots-words", ["shots must be a whole number"], shots=["five"]),
    file("shots-true", ["shots must be a whole number"], shots=[True]),
    file("shots-twice", ["shots names 1 twice"], shots=[1, 1]),
    file("samplings-zero", ["samplings must be a whole number of at least 1"], samplings=0),
    file("samplings-negative-seed", ["samplings must be a whole number of at least 0"], samplings=[-1]),
    file("samplings-twice", ["samplings names 1 twice"], samplings=[1, 2, 1]),
    file("samplings-a-million", ["samplings asks for 1,000,000", "100,000"], samplings=1_000_000),
    file("samplings-a-million-dry", ["samplings asks for 1,000,000"], "--dry-run", samplings=1_000_000),
    file("samplings-beyond-memory", ["samplings asks for 1,000,000,000,000"], samplings=10**12),
    file("seeds-words", ["seeds must be a whole number"], seeds="x"),
    file("seeds-huge", ["seeds has the seed", "4294967295"], seeds=[2**40]),
    file("too-many-cells", ["asks for 160,000 cells", "100,000", "take fewer"], samplings=40_000, shots=[1, 2]),
    file("too-many-grid-points", ["cells", "take fewer"], val="shots",
         methods=[{"method": "ept", "grid": {key: [n / 100 for n in range(1, 99)] for key in ("lr", "momentum",
             "max_norm")}}]),
    file("val-typo", ["val 'shot' is not known", "did you mean 'shots'?"], val="shot"),
    file("val-a-list", ["val ['rest'] is not known"], val=["rest"]),
    file("reference-typo", ["reference 'linaer' is no method of this sweep", "did you mean 'linear'?"],
         reference="linaer"),
    file("reference-a-list", ["reference must be a text"], reference=["ept"]),
    file("reference-of-several", ["reference 'ept' is no method"], reference="ept",
         methods=["linear", {"method": "ept", "prompt_length": [5, 10]}]),
    file("metric-typo", ["metric of 'synthetic_derm' 'acuracy' is not known", "did you mean 'accuracy'?"],
         metric="acuracy"),
    file("metric-of-another-task", ["'exact_match' is not known"], metric="exact_match"),
    file("metric-of-no-source", ["metric is given for 'derm'", "'synthetic_derm'"], metric={"derm": "auc"}),
    file("metric-a-number", ["metric must be a name"], metric=5),
    file("metric-a-list", ["metric names auc and map for all sources"], metric=["auc", "map"]),
]  # fmt: skip

METHODS = [
    method("method-typo", ["method 'etp' is not registered", "did you mean"], "etp"),
    method("method-a-number", ["5 must be a name, or a mapping"], 5),
    method("method-without-method", ["must be a name, or a mapping with 'method'"], {"label": "x"}),
    method("method-empty-list", ["method must be a name"], {"method": []}),
    file("method-twice", ["'linear' and 'again' of sweep 'tiny' are the same"],
         methods=["linear", {"method": "linear", "label": "again"}]),
    method("setting-typo", ["did you mean 'prompt_length'"], {"method": "ept", "prompt_lenght": 5}),
    method("setting-negative", ["prompt_length"], {"method": "ept", "prompt_length": -5}),
    method("setting-words", ["prompt_length"], {"method": "ept", "prompt_length": "long"}),
    method("setting-beyond-memory", ["prompt_length", "at most 10000"], {"method": "ept", "prompt_length": 10**9}),
    method("setting-overflows", ["prompt_length", "at most 10000"], {"method": "ept", "prompt_length": 10**18}),
    method("rank-ten-million", ["rank is 100000000", "choose 1 to 256"], {"method": "lora", "rank": 10**8}),
    method("layer-that-is-not-there", ["prompt_layers has 99"], {"method": "ept", "prompt_layers": [99]}),
    method("embedding-typo", ["embed"], {"method": "ept", "embed": "concatt"}),
    method("no-values", ["prompt_length of method 'ept' is an empty list"], {"method": "ept", "prompt_length": []}),
    method("settings-beside-a-list", ["put them inside the list"], {"method": ["ept", "ln"], "rank": 3}),
    method("frozen-word", ["frozen must be true or false"], {"method": "ept", "frozen": "yes please"}),
    method("label-a-list", ["label must be a text"], {"method": "ept", "label": ["x"]}),
    method("label-too-long", ["label must be a text of one line and at most 100"],
           {"method": "ept", "label": "x" * 1000}),
    method("grid-without-val", ["set val: shots"], {"method": "ept", "grid": {"lr": [0.1]}}),
    method("grid-a-number", ["lr must be a list of values"], {"method": "ept", "grid": {"lr": 0.1}}, val="shots"),
    method("grid-empty", ["lr must be a list of values, got []"], {"method": "ept", "grid": {"lr": []}}, val="shots"),
    method("grid-a-list", ["grid of method 'ept' must be a mapping"], {"method": "ept", "grid": [0.1]}, val="shots"),
    method("grid-typo", ["'larning'"], {"method": "ept", "grid": {"larning": [1]}}, val="shots"),
    method("grid-of-a-list-of-methods", ["settings rank", "beside a list of methods"], {"method": ["ept", "ln"],
           "grid": {"rank": [1]}}, val="shots"),
    method("factors-a-list", ["factors of method 'ept' must be a mapping"], {"method": "ept", "factors": [1]}),
    file("recipe-typo", ["recipe 'papers' is not known", "did you mean 'paper'?"], recipe="papers"),
    file("recipe-a-number", ["a recipe is a name or a mapping"], recipe=5),
    file("recipe-key-typo", ["a recipe has no 'epoch'", "did you mean 'epochs'"], recipe={"epoch": 5}),
    file("no-epochs", ["epochs must be a whole number of at least 1"], recipe={"name": "train", "epochs": 0}),
    file("negative-batch", ["batch_size must be a whole number"], recipe={"batch_size": -4}),
    file("rate-of-words", ["lr must be a number above 0"], recipe={"lr": "fast"}),
    file("rate-infinite", ["lr must be a number above 0"], recipe={"lr": float("inf")}),
    file("rate-nan", ["lr must be a number above 0"], recipe={"lr": float("nan")}),
    file("best-epoch", ["a sweep takes the last epoch"], recipe={"select": "val"}, val="shots"),
]  # fmt: skip

OPTIONS = [
    option("set-without-value", ["--set 'shots' has no value", "KEY=VALUE"], "--set", "shots"),
    option("set-bad-yaml", ["--set shots is no YAML"], "--set", "shots=["),
    option("set-key-twice", ["--set recipe", "'lr'"], "--set", "recipe={lr: 1, lr: 2}"),
    option("set-nothing-there", ["--set methods.7", "nothing at '7'"], "--set", "methods.7=ept"),
    option("set-unknown", ["'a' is no part of a sweep"], "--set", "a.b=1"),
    option("set-name-up", ["not of dots alone"], "--set", "name=.."),
    option("no-workers", ["workers must be a whole number of at least 1"], "--workers", "0"),
    option("workers-words", ["--workers", "'two'"], "--workers", "two"),
    option("no-threads", ["threads must be a whole number"], "--threads", "-1"),
    option("no-time", ["cell_timeout must be a number above 0"], "--cell-timeout", "0"),
    option("time-nan", ["cell_timeout must be a number"], "--cell-timeout", "nan"),
    option("device-typo", ["device 'gpu' is not known", "cpu"], "--device", "gpu"),
    option("device-that-is-not-there", ["device 'cuda:77' is not there", "cpu"], "--device", "cuda:77"),
    option("device-typo-dry", ["device 'gpu' is not known"], "--dry-run", "--device", "gpu"),
    option("out-a-file", ["s.yaml", "choose another --out"], "--out", "s.yaml"),
    BadInput("store-a-folder", ["is a folder, which MLflow no longer takes"], text(yaml.safe_dump(GOOD)),
             ["benchmark", "run", "s.yaml", "--tracking-uri", "./mlruns"]),
]  # fmt: skip


def _other(folder: Path) -> None:
    text(yaml.safe_dump(GOOD))(folder)
    (folder / "s").mkdir()
    (folder / "s" / "thesis.tex").write_text("x")


FOLDERS = [
    BadInput("folder-of-something-else", ["folder s holds 'thesis.tex' and no sweep"], _other, [*RUN, "--out", "s"]),
    BadInput("folder-of-another-sweep", ["holds sweep 'other', not 'tiny'"],
             begun(lambda s, _: (s / "sweep.yaml").write_text("name: other\n")), [*RUN, "--out", "s"]),
    BadInput("folder-with-broken-file", ["sweep.yaml is no YAML"],
             begun(lambda s, _: (s / "sweep.yaml").write_text("name: [")), [*RUN, "--out", "s"]),
    BadInput("folder-with-a-list", ["holds sweep None"],
             begun(lambda s, _: (s / "sweep.yaml").write_text("- 1\n")), [*RUN, "--out", "s"]),
    BadInput("folder-with-empty-file", ["holds sweep None"],
             begun(lambda s, _: (s / "sweep.yaml").write_text("")), [*RUN, "--out", "s"]),
    BadInput("defaults-have-changed", ["prompt_length=7", "that default is"],
             begun(in_each("cell.json", json.dumps({"methods": [{"prompt_length": 7}]}))),
             [*RUN, "--out", "s"]),
    BadInput("report-of-nothing", ["s is not the folder of a sweep"], command=REPORT),
    BadInput("report-of-a-file", ["s is not the folder"], lambda folder: (folder / "s").write_text(""), REPORT),
    BadInput("report-of-an-empty-folder", ["not the folder of a sweep"], lambda folder: (folder / "s").mkdir(), REPORT),
    BadInput("report-of-no-cells", ["no finished cell of 0"],
             lambda folder: (folder / "s" / "cells").mkdir(parents=True),
             REPORT),
    BadInput("report-of-a-file-as-cells", ["not the folder of a sweep"],
             begun(lambda s, _: (s / "cells").rename(s / "c") and (s / "cells").write_text("")), REPORT),
    BadInput("report-too-early", ["no finished cell of 2, 0 failed"], begun(), REPORT),
    BadInput("report-of-failures", ["no finished cell of 2, 2 failed", "out of memory"],
             begun(finished(status="failed", error="out of memory")), REPORT),
    *(
        BadInput(f"result-{name}", ["no finished cell of 2"], begun(in_each("result.json", content)), REPORT)
        for name, content in [
            ("empty", ""), ("half", '{"status": "fini'), ("a-list", "[1]"), ("a-number", "5"),
            ("of-no-status", '{"metrics": {}, "status": null}'), ("of-odd-status", '{"status": "done"}'),
            ("with-odd-counts", '{"status": "finished", "count": [1], "metrics": {"auc": 1}}'),
            ("with-odd-metrics", '{"status": "finished", "metrics": [1]}'),
            ("very-deep", "[" * 100_000),
        ]
    ),
    *(
        BadInput(f"cell-{name}", ["no finished cell of 2"], begun(in_each("cell.json", content)), REPORT)
        for name, content in [("empty", ""), ("a-list", "[]"), ("without-id", "{}"),
                              ("with-odd-grid", '{"id": 1, "grid": 5}')]
    ),
    BadInput("report-metric", ["metric 'speed' is not known"], begun(finished()), [*REPORT, "--metric", "speed"]),
    BadInput("report-metric-of-no-source", ["metric is given for 'x'"],
             begun(finished()), [*REPORT, "--metric", "x=auc"]),
    BadInput("report-two-metrics", ["metric names accuracy and auc"], begun(finished()),
             [*REPORT, "--metric", "accuracy", "auc"]),
    BadInput("report-reference", ["reference 'vpt' has no finished cell"],
             begun(finished()), [*REPORT, "--reference", "vpt"]),
    BadInput("report-into-a-file", ["cannot write into the folder"], begun(finished()), [*REPORT, "--out", "s.yaml"],
             slow=True),
    BadInput("report-of-nobody", ["name either the sweep's folder, or --sweep"], command=["benchmark", "report"]),
    BadInput("report-of-both", ["name either"], command=[*REPORT, "--sweep", "x"]),
    BadInput("report-without-database", ["there is no sqlite", "mlflow.db"],
             command=["benchmark", "report", "--sweep", "x"]),
    BadInput("report-quoted", ["without quotation marks"], command=["benchmark", "report", "--sweep", "a' or '1"]),
    BadInput("compare-without-database", ["there is no sqlite", "mlflow.db"], command=["compare"]),
    BadInput("compare-tag-without-value", ["--tag 'x' has no value", "NAME=VALUE"], command=["compare", "--tag", "x"]),
    BadInput("compare-in-a-folder", ["is a folder, which MLflow no longer takes"],
             command=["compare", "--tracking-uri", "mlruns"]),
    BadInput("no-such-shipped-sweep", ["sweep 'quik' does not come", "did you mean 'quick'?"],
             command=["sweep", "copy", "quik"]),
]  # fmt: skip


@pytest.mark.parametrize("case", parameters([*YAML, *KEYS, *METHODS, *OPTIONS, *FOLDERS]))
def test_refused(case, tmp_path, monkeypatch):
    refuse(case, tmp_path, monkeypatch)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense"])
def test_no_cluster_is_waited_for(address, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed: pip install monai_ept[ray]")
    monkeypatch.setattr(ray_pool, "CONNECT_TIMEOUT", 5.0)
    refuse(option("no-cluster", ["there is no Ray cluster at", address], "--ray", address), tmp_path, monkeypatch)
