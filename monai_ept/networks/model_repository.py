# SPDX-License-Identifier: Apache-2.0

"""A model's files as its authors share them: a repository of the Hugging Face hub, or a folder with the same files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from monai_ept.checks import shown

__all__ = ["FOLDER", "HUB", "ModelRepository", "repository_of"]

HUB, FOLDER = "hf-hub:", "local-dir:"
_CONFIGS = ("config.json", "open_clip_config.json")
_WEIGHTS = (
    "model.safetensors",
    "open_clip_model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "open_clip_pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
)


class ModelRepository:
    """
    The files of a model by name.

    Args:
        name: ``hf-hub:owner/name``, with ``@revision`` behind it if need be, or ``local-dir:FOLDER``.

    Raises:
        ValueError: when it is neither.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._folder: Path | None = None
        if name.startswith(FOLDER):
            self._folder = Path(name.removeprefix(FOLDER)).expanduser()
            return
        self._id, _, revision = name.removeprefix(HUB).partition("@")
        self._revision = revision or None
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", self._id):
            raise ValueError(f"backbone {shown(name)} is no repository of the hub: write it as hf-hub:owner/name.")

    def check(self) -> None:
        """
        Refuse a folder that holds no model; what the hub has is not asked.

        Raises:
            ValueError: when the folder is not there, or has no configuration.
        """
        if self._folder is not None and not any((self._folder / name).is_file() for name in _CONFIGS):
            what = f"has neither {' nor '.join(_CONFIGS)}" if self._folder.is_dir() else "is no folder"
            raise ValueError(
                f"backbone {shown(self.name)}: {self._folder} {what}: pass the folder that the model was downloaded "
                "or saved to, or a timm name with pretrained: PATH."
            )

    def config(self, name: str) -> dict[str, Any] | None:
        """
        What a file of JSON says; None where there is no such file.

        Raises:
            ValueError: when it is no mapping in JSON.
            ConnectionError: when the hub gives out nothing of this model.
        """
        path = self._file(name)
        if path is None:
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{name} of {self.name} is no JSON ({error}): download it again.") from None
        if not isinstance(content, dict):
            raise ValueError(f"{name} of {self.name} is no mapping: download it again.")
        return content

    def weights(self) -> list[Path]:
        """
        The files of the weights, one unless they were saved in parts.

        Raises:
            FileNotFoundError: when there are none.
            ConnectionError: when the hub does not give them out.
        """
        for name in _WEIGHTS:
            path = self._file(name)
            if path is None:
                continue
            if path.suffix != ".json":
                return [path]
            parts = [self._file(part) for part in sorted(set((self.config(name) or {}).get("weight_map", {}).values()))]
            if parts and all(part is not None for part in parts):
                return [part for part in parts if part is not None]
        raise FileNotFoundError(
            f"{self.name} has no weights that are known here ({_WEIGHTS[0]}, {_WEIGHTS[3]} and others), or they are "
            "not in the hub's cache: download all of it, or pass pretrained='PATH' with the weights."
        )

    def _file(self, name: str) -> Path | None:
        if self._folder is not None:
            path = self._folder / name
            return path if path.is_file() else None
        from huggingface_hub import constants, errors, hf_hub_download, try_to_load_from_cache

        try:
            return Path(hf_hub_download(self._id, name, revision=self._revision))
        except errors.GatedRepoError:
            problem = (
                "its authors give it to those who have accepted its licence: "
                f"accept it at {constants.ENDPOINT}/{self._id}, log in with 'hf auth login', and try again"
            )
        except errors.RepositoryNotFoundError:
            problem = "the hub has no such model, or shows it only to its owners: check the name, or log in"
        except errors.RevisionNotFoundError:
            problem = f"the hub has no revision {self._revision!r} of it: check what stands behind the @"
        except errors.LocalEntryNotFoundError as error:
            if any(self._cached(one, try_to_load_from_cache) for one in _CONFIGS):
                return None  # of a model that is in the cache, it holds what was asked for
            reason = "offline" if constants.HF_HUB_OFFLINE else type(error.__cause__ or error).__name__
            problem = (
                f"{name} is not in the cache {constants.HF_HUB_CACHE}, and the hub is out of reach ({reason}): run "
                f"'hf download {self._id}' where there is a network, or pass backbone 'local-dir:FOLDER'"
            )
        except errors.EntryNotFoundError:
            return None
        except (OSError, errors.HfHubHTTPError, ValueError) as error:
            problem = f"it could not be fetched ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        cached = self._cached(name, try_to_load_from_cache)
        if cached is not None:  # fetched earlier, when one was logged in
            return cached
        raise ConnectionError(f"{self.name}: {problem}.")

    def _cached(self, name: str, look: Any) -> Path | None:
        found = look(self._id, name, revision=self._revision)
        return Path(found) if isinstance(found, str) else None


def repository_of(name: Any) -> ModelRepository | None:
    """The repository that a backbone's name means; None for the name of a timm model."""
    if not isinstance(name, str):
        return None
    name = name.replace("hf_hub:", HUB, 1) if name.startswith("hf_hub:") else name
    return ModelRepository(name) if name.startswith((HUB, FOLDER)) else None
