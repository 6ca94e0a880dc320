# SPDX-License-Identifier: Apache-2.0

"""What MONAI's Model Zoo asks of a bundle besides, and pushing a bundle to a hub."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from monai_ept.deploy.shipment import Shipment
from monai_ept.files import write_whole
from monai_ept.shipped import list_shipped, shipped_path

__all__ = ["check_version", "hub_place", "push", "write_zoo_files"]

LARGEST = 25_000_000
"""Bytes of a file that the Zoo's repository takes; what is larger is downloaded."""


def check_version(version: str) -> str:
    """
    A bundle's version, three numbers.

    Raises:
        ValueError: when it is none.
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ValueError(f"version must be three numbers with points between them, such as 0.1.0, got {version!r}.")
    return version


def write_zoo_files(shipment: Shipment) -> None:
    """Write ``configs/logging.conf``, and ``large_files.yml`` of what the Zoo's repository does not take."""
    if not shipment.zoo:
        return
    shared = shipped_path("bundle", list_shipped("bundle")[0]) / "configs" / "logging.conf"
    write_whole(shipment.folder / "configs" / "logging.conf", shared.read_bytes())
    large = [path for path in sorted((shipment.folder / "models").iterdir()) if path.stat().st_size > LARGEST]
    if large:
        entries = [_entry(path) for path in large]
        write_whole(shipment.folder / "large_files.yml", "\n".join(["large_files:", *entries]) + "\n")


def _entry(path: Path) -> str:
    known = hashlib.sha256(path.read_bytes()).hexdigest()
    url = f"url-of-{path.name}  # where you have put it"
    return f'  - path: "models/{path.name}"\n    url: {url}\n    hash_val: "{known}"\n    hash_type: "sha256"'


def hub_place(address: str) -> str:
    """
    The repository that ``hf:owner/name`` names.

    Raises:
        ValueError: when it names none.
    """
    found = re.fullmatch(r"hf:([\w.-]+/[\w.-]+)", address)
    if not found:
        raise ValueError(f"--push takes hf:owner/name, a repository of the Hugging Face hub, got {address!r}.")
    return found[1]


def push(folder: Path, repository: str, version: str) -> str:
    """
    Push a bundle to the Hugging Face hub, as a private repository unless it is there already.

    Args:
        version: which is made a tag.

    Raises:
        ConnectionError: when the hub cannot be reached, or does not let this user in.

    Returns:
        the address.
    """
    from monai.bundle import push_to_hf_hub

    try:
        return str(push_to_hf_hub(repository, folder.name, str(folder.parent), version=version))
    except Exception as error:  # of the hub's client, of what it talks with, or of this machine
        said = " ".join(str(error).split())[:200]
        raise ConnectionError(
            f"{folder} is shipped and was not pushed to {repository} ({said}): log in with `hf auth login`, and push "
            f"it with python -m monai.bundle push_to_hf_hub --repo {repository} --name {folder.name} "
            f"--bundle_dir {folder.parent} --version {version}."
        ) from None
