# SPDX-License-Identifier: Apache-2.0

"""What an import brings along, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

import monai_ept
from monai_ept import methods

HEAVY = ("torch", "monai", "timm", "mlflow", "sklearn", "matplotlib", "pandas", "scipy", "numpy", "yaml")


def run(script: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["analyze", "--help"],
        ["benchmark", "run", "--help"],
        ["benchmark", "report", "--help"],
        ["compare", "--help"],
        ["train", "--help"],
        ["predict", "--help"],
        ["evaluate", "--help"],
        ["sweep", "list"],
        ["bundle", "list"],
    ],
    ids=" ".join,
)
def test_help_waits_for_no_library(arguments):
    run(f"""
        import sys
        from monai_ept.__main__ import main
        try:
            main({arguments})
        except SystemExit as end:
            assert not end.code
        assert not {set(HEAVY)} & set(sys.modules), {set(HEAVY)} & set(sys.modules)
    """)


@pytest.fixture(scope="module")
def without_mlflow(tmp_path_factory):
    """What ``monai_ept`` brings beside its libraries, in a process that then trains where MLflow cannot be imported."""
    return run(f"""
        import sys

        class NoMLflow:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] == "mlflow":
                    raise ModuleNotFoundError("No module named 'mlflow'", name="mlflow")

        sys.meta_path.insert(0, NoMLflow())
        import monai.networks.nets, timm

        before = set(sys.modules)
        import monai_ept
        [getattr(monai_ept, name) for name in monai_ept.__all__]
        print(*{{name.partition(".")[0] for name in set(sys.modules) - before}} - set(sys.stdlib_module_names))

        from monai.bundle import run
        from tests.bundles.cases import SMALL, config
        from tests.drawing import no_pictures
        from tests.engines.scenes import small_fit
        from pathlib import Path

        folder = Path({str(tmp_path_factory.mktemp("run"))!r})
        with no_pictures():
            result = small_fit(folder / "fit", epochs=1)
            train, settings = config("ept_derm", "train.yaml"), {{**SMALL["ept_derm"], "shots": 1, "epochs": 1}}
            run(config_file=train, **settings, track=False, run_dir=folder / "bundle")
        import monai_ept.analysis, monai_ept.benchmark.run.run_sweep, monai_ept.bundle, monai_ept.tracking
        print("mlflow" in sys.modules, result.metrics["num_images"], (folder / "bundle/delta.safetensors").is_file())
        try:
            small_fit(folder / "tracked", epochs=1, track=True)
        except ImportError as error:
            print(error)
    """).splitlines()


def test_a_network_brings_only_what_its_libraries_bring(without_mlflow):
    assert without_mlflow[0].split() == ["monai_ept"]


def test_training_needs_no_mlflow(without_mlflow):
    assert without_mlflow[-2:] == [
        "False 12 True",
        "a record in MLflow needs MLflow, which cannot be imported (No module named 'mlflow'): "
        "pip install mlflow, or say track=False.",
    ]


@pytest.mark.parametrize("name", sorted({"Adapter", "Damp", "Ept", "Lora", "Vpt"}))
def test_method_classes_at_the_top_say_where_they_are_now(name):
    with pytest.warns(DeprecationWarning, match=f"monai_ept.{name} has moved: import it from monai_ept.methods"):
        assert getattr(monai_ept, name) is getattr(methods, name)
    assert name not in monai_ept.__all__


def test_the_top_has_ten_names_at_most_and_no_others():
    assert len(monai_ept.__all__) <= 10
    assert set(monai_ept.__all__) <= set(dir(monai_ept))
    with pytest.raises(AttributeError, match="module 'monai_ept' has no attribute 'TunedVit'"):
        _ = monai_ept.TunedVit
