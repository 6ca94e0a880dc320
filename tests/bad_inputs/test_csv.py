# SPDX-License-Identifier: Apache-2.0

"""Tables that do not say what is on which image."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.bad_inputs.case import BadInput, parameters, refuse
from tests.bad_inputs.images import load, picture

GOOD = "image,label\na.png,benign\nb.png,malignant\nc.png,benign\nd.png,malignant\n"
MANY = "image,x,y\na.png,0,1\nb.png,1,0\nc.png,1,1\nd.png,0,0\n"


def table(content: str | bytes, name: str = "labels.csv"):
    """Four pictures beside a table."""

    def make(folder: Path) -> None:
        for seed, image in enumerate("abcd"):
            picture(folder / "data" / f"{image}.png", seed)
        content_of = content if isinstance(content, bytes) else content.encode()
        (folder / "data" / name).write_bytes(content_of)

    return make


def instead(old: str, new: str, of: str = GOOD):
    assert of.count(old) == 1
    return table(of.replace(old, new))


CASES = [
    BadInput("no-table", ["labels.csv", "does not exist"], lambda at: (at / "data").mkdir(), call=load("csv")),
    BadInput(
        "a-folder",
        ["labels.csv", "is a folder"],
        lambda at: (at / "data/labels.csv").mkdir(parents=True),
        call=load("csv"),
    ),
    BadInput(
        "a-pipe",
        ["labels.csv", "is a named pipe"],
        lambda at: ((at / "data").mkdir(), os.mkfifo(at / "data/labels.csv"))[0],
        call=load("csv"),
    ),
    BadInput("empty", ["labels.csv", "no header line"], table(""), call=load("csv")),
    BadInput(
        "only-a-header", ["not a single record"], table("image,label\n"), call=load("csv", class_names=["a", "b"])
    ),
    BadInput(
        "latin-1",
        ["labels.csv", "not UTF-8"],
        table("image,label\na.png,gutartig für\n".encode("latin-1")),
        call=load("csv"),
    ),
    BadInput("utf-16", ["labels.csv", "not UTF-8"], table(GOOD.encode("utf-16")), call=load("csv")),
    BadInput("excel", ["labels.csv", "not UTF-8"], table(b"PK\x03\x04\xff\xfe\x00" * 20), call=load("csv")),
    BadInput(
        "cell-of-200-kb",
        ["labels.csv", "line 2", "field larger than field limit"],
        instead("benign\nb", "b" * 200_000 + "\nb"),
        call=load("csv"),
    ),
    BadInput(
        "cell-of-200-kb-to-check",
        ["line 2", "cannot be read as a table"],
        instead("benign\nb", "b" * 200_000 + "\nb"),
        command=["check", "data", "--source", "csv"],
    ),
    BadInput("header-of-200-kb", ["line 1", "field larger"], table("i" * 200_000 + "\n"), call=load("csv")),
    BadInput(
        "column-twice",
        ["labels.csv: column 'label' is there 2 times", "rename or remove"],
        table("image,label,label\na.png,x,y\nb.png,y,x\n"),
        call=load("csv"),
    ),
    BadInput(
        "image-column-twice",
        ["column 'image' is there 2 times"],
        table("image,image,label\na.png,b.png,x\nc.png,d.png,y\n"),
        call=load("csv"),
    ),
    BadInput(
        "group-column-twice",
        ["column 'group' is there 2 times"],
        table("image,label,group,group\na.png,x,1,2\nb.png,y,3,4\n"),
        call=load("csv"),
    ),
    BadInput(
        "split-column-thrice",
        ["column 'split' is there 3 times"],
        table("image,label,split,split,split\na.png,x,train,test,val\nb.png,y,test,train,val\n"),
        call=load("csv"),
    ),
    BadInput(
        "no-label-column",
        ["no column 'label'", "'image', 'diagnosis'"],
        instead("label", "diagnosis"),
        call=load("csv"),
    ),
    BadInput("no-group-column", ["no column 'patient'"], table(GOOD), call=load("csv", group="patient")),
    BadInput("no-columns-named", ["label names no column"], table(GOOD), call=load("csv", label=[])),
    BadInput(
        "cell-too-many",
        ["labels.csv:3", "3 cells"],
        instead("b.png,malignant", "b.png,malignant,yes"),
        call=load("csv"),
    ),
    BadInput("cell-too-few", ["labels.csv:3", "1 cells"], instead("b.png,malignant", "b.png"), call=load("csv")),
    BadInput("quotation-mark-left-open", ["labels.csv:5"], instead("d.png,", '"d.png,'), call=load("csv")),
    BadInput("no-image", ["labels.csv:3", "column 'image' is empty"], instead("b.png", ""), call=load("csv")),
    BadInput(
        "no-label", ["labels.csv:3", "column 'label' is empty"], instead("b.png,malignant", "b.png,"), call=load("csv")
    ),
    *[
        BadInput(
            f"label-{name}",
            ["labels.csv:3", f"label {cell!r} says that there is none", "class_names"],
            instead("b.png,malignant", f"b.png,{cell}"),
            call=load("csv"),
        )
        for name, cell in {
            "nan": "NaN",
            "lower-nan": "nan",
            "r-na": "NA",
            "pandas-na": "<NA>",
            "excel-na": "#N/A",
            "sql-null": "NULL",
        }.items()
    ],
    BadInput(
        "label-nan-to-check",
        ["says that there is none"],
        instead("b.png,malignant", "b.png,NaN"),
        command=["check", "data", "--source", "csv"],
    ),
    BadInput(
        "nan-among-numbers",
        ["labels.csv:3", "label 'NaN' says that there is none"],
        table("image,label\na.png,0\nb.png,NaN\nc.png,1\nd.png,1\n"),
        call=load("csv"),
    ),
    BadInput(
        "half-a-class",
        ["labels.csv:3", "'0.5' is not a whole number"],
        table("image,label\na.png,0\nb.png,0.5\nc.png,1\nd.png,1\n"),
        call=load("csv"),
    ),
    BadInput(
        "class-below-zero",
        ["label -1 is out of range"],
        table("image,label\na.png,0\nb.png,-1\nc.png,1\nd.png,1\n"),
        call=load("csv"),
    ),
    BadInput(
        "class-of-millions",
        ["label 1000000 is out of range"],
        table("image,label\na.png,0\nb.png,1000000\nc.png,1\nd.png,1\n"),
        call=load("csv"),
    ),
    BadInput(
        "class-left-out",
        ["class '1' has no image"],
        table("image,label\na.png,0\nb.png,2\nc.png,0\nd.png,2\n"),
        call=load("csv"),
    ),
    BadInput("one-class", ["only one class, 'benign'"], table(GOOD.replace("malignant", "benign")), call=load("csv")),
    BadInput(
        "one-class-of-numbers", ["only one class, '0'"], table("image,label\na.png,0\nb.png,0\n"), call=load("csv")
    ),
    BadInput(
        "mistyped-class",
        ["unknown class 'malignat'", "did you mean 'malignant'"],
        instead("b.png,malignant", "b.png,malignat"),
        call=load("csv", class_names=["benign", "malignant"]),
    ),
    BadInput(
        "two-of-many",
        ["label '2' in column 'x' is neither 0 nor 1"],
        instead("c.png,1,1", "c.png,2,1", MANY),
        call=load("csv", label=["x", "y"]),
    ),
    BadInput(
        "nan-of-many",
        ["label 'nan' in column 'y'"],
        instead("c.png,1,1", "c.png,1,nan", MANY),
        call=load("csv", label=["x", "y"]),
    ),
    BadInput(
        "names-that-do-not-fit",
        ["2 label columns, but 3 class names"],
        table(MANY),
        call=load("csv", label=["x", "y"], class_names=["x", "y", "z"]),
    ),
    BadInput(
        "two-at-once",
        ["labels.csv:2", "0 of the columns x, y are 1"],
        table("image,x,y\na.png,0,0\nb.png,1,0\nc.png,0,1\n"),
        call=load("csv", label=["x", "y"], task="multiclass"),
    ),
    BadInput("unknown-task", ["task 'regression' is not known"], table(GOOD), call=load("csv", task="regression")),
    BadInput(
        "unknown-part",
        ["labels.csv:3", "split 'holdout' is none of train, val, test"],
        table("image,label,split\na.png,x,train\nb.png,y,holdout\nc.png,y,test\n"),
        call=load("csv"),
    ),
    BadInput(
        "delimiter-of-two", ["delimiter ';;' must be one character"], table(GOOD), call=load("csv", delimiter=";;")
    ),
    BadInput("missing-image", ["labels.csv:3", "x.png", "does not exist"], instead("b.png", "x.png"), call=load("csv")),
    BadInput(
        "image-twice",
        ["labels.csv:3", "'a.png' is already used by labels.csv:2"],
        instead("b.png,malignant", "a.png,benign"),
        call=load("csv", check_images="none"),
    ),
    BadInput(
        "image-outside",
        ["labels.csv:3", "outside the data folder"],
        lambda at: (instead("b.png", "../b.png")(at), picture(at / "b.png"))[0],
        call=load("csv"),
    ),
    BadInput(
        "image-by-its-full-path",
        ["labels.csv:3", "outside the data folder"],
        instead("b.png", "/etc/hostname"),
        call=load("csv"),
    ),
]


@pytest.mark.parametrize("case", parameters(CASES))
def test_refused(case, tmp_path, monkeypatch):
    refuse(case, tmp_path, monkeypatch)
