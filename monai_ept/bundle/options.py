# SPDX-License-Identifier: Apache-2.0

"""The command line of a bundle: where the bundle is, misspelled settings are errors, errors are one sentence."""

from __future__ import annotations

import ast
import inspect
import os
import re
import sys
import traceback
from pathlib import Path
from types import TracebackType

from monai.bundle import ConfigParser
from monai.bundle.utils import DEFAULT_MLFLOW_SETTINGS

from monai_ept._moved import moved_names
from monai_ept.checks import did_you_mean

__all__ = ["check_command_line", "config_files", "find_root", "short_errors"]


def _arguments() -> list[str] | None:
    """The arguments of ``python -m monai.bundle run``, or None in any other program."""
    program = Path(sys.argv[0]).parts[-3:] if sys.argv else ()
    if program != ("monai", "bundle", "__main__.py") or len(sys.argv) < 2:
        return None
    return sys.argv[1:]


def config_files() -> list[Path]:
    """The configuration files that the command line names, none in a program that was not started by one."""
    arguments = _arguments() or []
    for index, argument in enumerate(arguments):
        name, given, value = argument.partition("=")
        if name.lstrip("-").replace("-", "_") != "config_file":
            continue
        text = value if given else (arguments[index + 1] if index + 1 < len(arguments) else "")
        try:
            found = ast.literal_eval(text)
        except (SyntaxError, ValueError):
            found = text.split(",")
        return [Path(path) for path in ([found] if isinstance(found, str) else found)]
    return []


def find_root(name: str) -> str:
    """
    The folder of a bundle.

    A configuration cannot know where its file is, and MONAI's usual ``bundle_root: .`` is the working directory. So we
    look where it can be: at the file that the command line names, in the working directory and around it, in
    ``bundles/`` of the working directory, and beside the installed package.

    Args:
        name: name of the bundle's folder.

    Returns:
        its path; the working directory when it is nowhere, as MONAI has it.
    """
    for file in config_files()[:1]:
        if file.is_file() and file.resolve().parent.name == "configs":
            return str(file.resolve().parents[1])
    here = Path.cwd()
    candidates = [here, here.parent, here / name, here / "bundles" / name]
    candidates.append(Path(__file__).resolve().parents[2] / "bundles" / name)
    for folder in candidates:
        if folder.name == name and (folder / "configs" / "metadata.json").is_file():
            return str(folder)
    return str(here)


def check_command_line() -> None:
    """
    Refuse settings that no configuration file has: MONAI would add them, and nobody would read them.

    Raises:
        ValueError: naming the setting and the nearest one that there is.
    """
    arguments, files = _arguments(), config_files()
    if arguments is None or not all(path.is_file() for path in files):
        return
    from monai.bundle import run

    ours = {
        key.lstrip("+").split("#")[0].split("::")[0] for path in files for key in ConfigParser.load_config_file(path)
    }
    theirs = {*inspect.signature(run).parameters, "_meta_"}
    if any(re.match(r"--?tracking(=|$)", argument) for argument in arguments):
        theirs.update(DEFAULT_MLFLOW_SETTINGS["configs"])  # type: ignore[arg-type]
    for argument in arguments:
        match = re.match(r"--([A-Za-z_][\w-]*)", argument)
        name = match.group(1).replace("-", "_") if match else None
        if name is not None and name not in ours | theirs:
            raise ValueError(
                f"--{name} is no setting of {' and '.join(map(str, files))}: "
                f"{did_you_mean(name, sorted(ours)) if _near(name, ours) else 'open the file to see what there is.'}"
            )


def _near(name: str, options: set[str]) -> bool:
    return did_you_mean(name, options).startswith("did you mean")


def short_errors() -> None:
    """
    Show what went wrong instead of where MONAI's configuration parser was, if the command line runs this program.

    MONAI raises its own errors from ours, which leaves the one line that helps in the middle of a hundred others.
    MONAI_EPT_TRACEBACK=1 brings them back.
    """
    if _arguments() is None or os.environ.get("MONAI_EPT_TRACEBACK") or sys.excepthook is _show:
        return
    sys.excepthook = _show


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    cause = error
    while cause.__cause__ is not None and isinstance(cause, RuntimeError):
        cause = cause.__cause__
    if not isinstance(cause, (ValueError, TypeError, OSError, ImportError, ArithmeticError, KeyboardInterrupt)):
        traceback.print_exception(kind, error, trace)
        return
    message = str(cause) or type(cause).__name__
    if isinstance(cause, KeyboardInterrupt):
        print(f"\n{message}", file=sys.stderr)
    else:
        print(f"\nerror: {message}", file=sys.stderr)
        print("(MONAI_EPT_TRACEBACK=1 shows where it happened)", file=sys.stderr)


__getattr__ = moved_names(__name__)
