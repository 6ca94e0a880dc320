# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from monai_ept.shipped import copy_shipped, describe_shipped, list_shipped, shipped_path
from tests.bundles.cases import SMALL, command

ROOT = Path(__file__).parents[1]


def test_what_comes_along_has_a_description_and_can_be_copied_once(tmp_path):
    for kind in ("bundle", "sweep"):
        for name in list_shipped(kind):
            assert describe_shipped(kind, name) and shipped_path(kind, name).exists()
    made = copy_shipped("sweep", "quick", tmp_path / "new")
    assert made.read_bytes() == shipped_path("sweep", "quick").read_bytes() and made.parent == tmp_path / "new"
    with pytest.raises(FileExistsError, match="is there already and stays as it is"):
        copy_shipped("sweep", "quick", tmp_path / "new")
    with pytest.raises(ValueError, match="bundle 'derm' does not come with monai_ept: did you mean 'ept_derm'"):
        shipped_path("bundle", "derm")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The scripts of a fresh environment with our wheel and the libraries of this one; nothing is downloaded."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("monai_ept", "bundles", "sweeps"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "models"))
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    run(*pip, "wheel", "--no-build-isolation", *offline, "-w", folder, source)
    (wheel,) = folder.glob("*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    run(*pip, "--python", scripts / "python", "install", "--no-compile", *offline, wheel)
    where = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    libraries = Path(run(scripts / "python", "-c", where).strip())
    (libraries / "libraries.pth").write_text(sysconfig.get_paths()["purelib"])
    return scripts


def run(*command: object, cwd: Path | None = None) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


BOTH = """
import runpy
from monai_ept.__main__ import main
assert main(["benchmark", "run", "quick.yaml", "--dry-run"]) == 0
runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
"""
"""What imports torch, in one process."""


def test_the_wheel_is_a_front_door(installed, tmp_path):
    find = "import importlib.util; print(importlib.util.find_spec('monai_ept').origin)"
    place = Path(run(installed / "python", "-c", find, cwd=tmp_path).strip()).parent
    assert place.is_relative_to(installed.parent)
    ept = installed / "monai-ept"
    assert "ept_derm" in run(ept, "bundle", "list", cwd=tmp_path)
    assert "quick" in run(ept, "sweep", "list", cwd=tmp_path)
    # What is no module is in it too.
    for path in (ROOT / "monai_ept").rglob("*"):
        if path.is_file() and path.suffix not in (".pyc", ".py"):
            assert (place / path.relative_to(ROOT / "monai_ept")).is_file(), path


@pytest.mark.slow
def test_bundles_and_sweeps_of_the_wheel_run(installed, tmp_path):
    ept = installed / "monai-ept"
    run(ept, "sweep", "copy", "quick", cwd=tmp_path)
    run(ept, "bundle", "copy", "ept_derm", cwd=tmp_path)
    training = command("ept_derm/configs/train.yaml", **SMALL["ept_derm"], epochs=1, shots=1)
    said = run(installed / "python", "-c", BOTH, *training[training.index("run") :], cwd=tmp_path)
    assert "54 cells" in said and "balanced_accuracy" in said
    assert list((tmp_path / "runs").rglob("delta.safetensors"))
