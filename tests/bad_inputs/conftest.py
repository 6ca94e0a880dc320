# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from tests.drawing import nothing_is_drawn  # noqa: F401, a fixture
