# SPDX-License-Identifier: Apache-2.0

"""Where a bundle is, wherever it is run from."""

from __future__ import annotations

from pathlib import Path

import monai_ept
from monai_ept.bundle.options import config_files

__all__ = ["find_root"]


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
    candidates.append(Path(monai_ept.__file__).resolve().parents[1] / "bundles" / name)
    for folder in candidates:
        if folder.name == name and (folder / "configs" / "metadata.json").is_file():
            return str(folder)
    return str(here)
