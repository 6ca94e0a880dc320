# SPDX-License-Identifier: Apache-2.0

"""One backbone that holds many tasks at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monai_ept._lazy import lazy_exports

if TYPE_CHECKING:
    from monai_ept.serving.task import Task
    from monai_ept.serving.task_bank import TaskBank

__all__ = ["Task", "TaskBank"]

__getattr__ = lazy_exports(__name__)
