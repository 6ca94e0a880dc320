# SPDX-License-Identifier: Apache-2.0

"""One file per data set or kind of data; :py:func:`load_source` finds them by name."""

from __future__ import annotations

from monai_ept.data.sources.registry import list_sources, load_source, register_source

__all__ = ["list_sources", "load_source", "register_source"]
