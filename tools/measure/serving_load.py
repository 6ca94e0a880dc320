# SPDX-License-Identifier: Apache-2.0

"""
A registered bank under load: many clients ask ``mlflow models serve`` about many tasks, and a tenth of them wrongly.

    python -m tools.measure.serving_load
    python -m tools.measure.serving_load --backbone vit_base_patch16_224 --img-size 224

What each task says of each image is known beforehand, from its network alone. Every answer is compared with that, and
what is broken must be refused in one sentence. Then the server is killed, started again, and asked about each task.
The exit status is 1 if an answer was lost, mixed up or wrong.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import queue
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from monai_ept import TunedViT
from monai_ept.metrics import probabilities_of
from monai_ept.networks import create_backbone
from monai_ept.runs import network_transforms, write_bank
from monai_ept.synthetic.derm import DERM_CLASSES, render_derm
from monai_ept.tracking import BankTask, register_bank
from tests.dicom_files import write_dicom

TASKS: dict[str, dict[str, Any]] = {
    "derm": {"num_classes": 7, "method": "ept"},
    "colon": {"num_classes": 2, "method": "lora", "rank": 4},
    "chest": {"num_classes": 5, "method": "linear", "views": "upright", "multilabel": True, "keep_aspect": True},
    "retina": {"num_classes": 3, "method": "ept", "prompt_length": 20},
    "breast": {"num_classes": 2, "method": "ln"},
}
MOST_DIFFERENT = 1e-5


class Asked(NamedTuple):
    """A request, and what each of its rows is to say; None for one that is to be refused."""

    body: bytes
    expected: list[tuple[str, list[float]]] | None
    kind: str = "good"


class Answered(NamedTuple):
    asked: Asked
    status: int
    text: str
    seconds: float


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="a registered bank under load")
    parser.add_argument("--backbone", default="vit_tiny_patch16_224", help="(%(default)s)")
    parser.add_argument("--img-size", type=int, default=224, help="(%(default)s)")
    parser.add_argument("--requests", type=int, default=200, help="(%(default)s)")
    parser.add_argument("--clients", type=int, default=8, help="(%(default)s)")
    parser.add_argument("--rows", type=int, default=3, help="of a request, at most (%(default)s)")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        return measure(args, Path(place))


def measure(args: argparse.Namespace, place: Path) -> int:
    """Build a bank, ask it, kill it, ask it again; the exit status."""
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{place / 'mlflow.db'}"
    tasks, said = make_tasks(args, place, images := make_images(place))
    write_bank(place / "bank", tasks, pretrained=place / "backbone.pth")
    uri = register_bank(place / "bank", "hospital").uri
    size = sum(path.stat().st_size for path in (place / "bank" / "deltas").iterdir())
    weights = (place / "bank" / "backbone.safetensors").stat().st_size
    print(f"{uri}: {len(tasks)} tasks with {size / 1e3:,.0f} kB beside a backbone of {weights / 1e6:,.1f} MB")
    rng = random.Random(0)
    requests = [
        broken(rng, images) if index % 10 == 9 else good(rng, images, said, args.rows) for index in range(args.requests)
    ]
    rng.shuffle(requests)
    wrong: list[str] = []
    with served(uri, place) as address:
        answered = [ask(address, one) for one in requests[: args.requests // 5]]  # warm, and alone
        alone = [one.seconds for one in answered[5:] if one.asked.expected is not None]
        began = time.perf_counter()
        answered = under_load(address, requests, args.clients)
        seconds = time.perf_counter() - began
        wrong += [problem for one in answered if (problem := judge(one))]
    lost = len(requests) - len(answered)
    good_ones = [one.seconds for one in answered if one.asked.expected is not None]
    print(
        f"{len(answered)} of {len(requests)} requests of {args.clients} clients answered in {seconds:.1f} s: "
        f"{len(good_ones)} with {sum(len(one.expected or ()) for one in requests)} images, "
        f"{len(answered) - len(good_ones)} broken ones; wrong or mixed up: {len(wrong)}"
    )
    print(f"one request at a time: {in_milliseconds(alone)}; under load: {in_milliseconds(good_ones)}")
    one_each = [request_of([(name, 0)], images, said) for name in tasks]
    with served(uri, place) as address:
        again = [problem for one in one_each if (problem := judge(ask(address, one)))]
    print(f"killed and started again: {len(one_each) - len(again)} of {len(one_each)} tasks answer as before")
    for problem in wrong + again:
        print(problem, file=sys.stderr)
    return 1 if lost or wrong or again else 0


def in_milliseconds(seconds: list[float]) -> str:
    """Median and p95."""
    return f"median {1000 * statistics.median(seconds):.0f} ms, p95 {1000 * np.quantile(seconds, 0.95):.0f} ms"


def make_images(place: Path, number: int = 12) -> list[bytes]:
    """Files of drawn lesions, as PNG, JPEG and DICOM in turn."""
    for index in range(number):
        name = DERM_CLASSES[index % len(DERM_CLASSES)]
        pixels = render_derm(name, seed=0, lesion=index, view=0, img_size=180 + 10 * index)
        path = place / f"{index}.img"
        if index % 3 == 2:
            write_dicom(path, pixels, interpretation="RGB")
        else:
            Image.fromarray(pixels).save(path, ("PNG", "JPEG")[index % 3])
    return [(place / f"{index}.img").read_bytes() for index in range(number)]


def make_tasks(
    args: argparse.Namespace, place: Path, images: list[bytes]
) -> tuple[dict[str, BankTask], dict[tuple[str, int], list[float]]]:
    """Adapters with every number at random, and what the network of each says of each image."""
    tasks, said = {}, {}
    torch.manual_seed(0)
    weights = place / "backbone.pth"
    torch.save(create_backbone(args.backbone, img_size=args.img_size).state_dict(), weights)
    for name, about in TASKS.items():
        settings = dict(about)
        kind = "multilabel" if settings.pop("multilabel", False) else "multiclass"
        options = {key: settings.pop(key) for key in ("keep_aspect",) if key in settings}
        names = [f"{name} {index}" for index in range(settings["num_classes"])]
        net = TunedViT(args.backbone, pretrained=weights, img_size=args.img_size, class_names=names, **settings)
        for group in net.trainable_parameters(lr=1.0):
            for param in group["params"]:
                torch.nn.init.normal_(param, std=0.1)
        net.eval().save_delta(place / f"{name}.safetensors")
        tasks[name] = BankTask(place / f"{name}.safetensors", kind, options)
        transform = network_transforms(net, **options)
        with torch.inference_mode():
            for index in range(len(images)):
                seen = transform({"image": str(place / f"{index}.img")})["image"]
                said[name, index] = probabilities_of(net(seen[None]), kind)[0].tolist()
    return tasks, said


def good(rng: random.Random, images: list[bytes], said: dict[tuple[str, int], list[float]], most: int) -> Asked:
    """A request of a few images, each with a task of its own."""
    return request_of(rng.choices(list(said), k=rng.randint(1, most)), images, said)


def request_of(rows: list[tuple[str, int]], images: list[bytes], said: dict[tuple[str, int], list[float]]) -> Asked:
    """The request of these tasks of these images."""
    cells = [[name, base64.b64encode(images[index]).decode()] for name, index in rows]
    return Asked(_json(cells), [(name, said[name, index]) for name, index in rows])


def broken(rng: random.Random, images: list[bytes]) -> Asked:
    """A request that is wrong in one of its rows, or as a whole."""
    image, others = rng.choice(images), [["derm", base64.b64encode(rng.choice(images)).decode()]]
    text = base64.b64encode(image).decode()
    bodies = {
        "cut off": _json([*others, ["colon", base64.b64encode(image[: len(image) // 3]).decode()]]),
        "no such task": _json([*others, ["colour", text]]),
        "no task": _json([[None, text]]),
        "no column": json.dumps({"dataframe_records": [{"image": text}]}).encode(),
        "no base64": _json([["colon", text[1:] + "!"], *others]),
        "no image": _json([["chest", base64.b64encode(b"nothing at all").decode()]]),
        "no bytes": _json([["chest", ""]]),
        "no body": b"",
        "no JSON": _json([["derm", text]])[:-9],
        "the image itself": image,
    }
    kind = rng.choice(list(bodies))
    return Asked(bodies[kind], None, kind)


def _json(cells: list[list[str | None]]) -> bytes:
    return json.dumps({"dataframe_split": {"columns": ["task", "image"], "data": cells}}).encode()


@contextlib.contextmanager
def served(uri: str, place: Path) -> Iterator[str]:
    """``mlflow models serve`` of a registered model, which is killed in the end; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [*(sys.executable, "-m", "mlflow", "models", "serve", "-m", uri, "--env-manager", "local")]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    # MLflow looks for uvicorn on the path.
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    with open(place / "log", "ab") as log:
        process = subprocess.Popen(
            command, cwd=place, env=os.environ | {"PATH": path}, stdout=log, stderr=log, start_new_session=True
        )
    try:
        address = f"http://127.0.0.1:{port}"
        while not _answers(address):
            if process.poll() is not None:
                raise RuntimeError(f"the server did not start: {(place / 'log').read_text()[-2000:]}")
            time.sleep(0.1)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(address: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/ping", timeout=5):
        return True
    return False


def ask(address: str, asked: Asked) -> Answered:
    """One request, with the time until its whole answer is there."""
    request = urllib.request.Request(f"{address}/invocations", asked.body, {"Content-Type": "application/json"})
    began = time.perf_counter()
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            status, text = answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read().decode()
    return Answered(asked, status, text, time.perf_counter() - began)


def under_load(address: str, requests: list[Asked], clients: int) -> list[Answered]:
    """All requests by so many clients at once; who gets no answer is missing."""
    waiting: queue.SimpleQueue[Asked] = queue.SimpleQueue()
    for one in requests:
        waiting.put(one)
    answered: list[Answered] = []

    def client() -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                one = waiting.get_nowait()
                with contextlib.suppress(OSError):
                    answered.append(ask(address, one))

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answered


def judge(answered: Answered) -> str:
    """What is wrong with an answer; nothing if nothing is."""
    asked, status, text, _ = answered
    if asked.expected is None:
        message = json.loads(text).get("message", "") if 400 <= status < 500 else ""
        whole = 20 < len(message) < 400 and "Traceback" not in text
        return "" if whole else f"{asked.kind}: status {status}, {text[:200]}"
    if status != 200:
        return f"a good request: status {status}, {text[:200]}"
    rows = json.loads(text)["predictions"]
    if [row["task"] for row in rows] != [name for name, _ in asked.expected]:
        return f"the answer is of other tasks: {[row['task'] for row in rows]}"
    for row, (name, expected) in zip(rows, asked.expected, strict=True):
        found = list(row["probabilities"].values())
        if len(found) != len(expected) or np.abs(np.subtract(found, expected)).max() > MOST_DIFFERENT:
            return f"{name} says {found} and its network alone {expected}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
